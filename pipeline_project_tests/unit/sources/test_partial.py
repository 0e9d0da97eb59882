"""Partial sources: which declarations are refused, and with which remedy."""

import dataclasses
from pathlib import Path

import pytest

from pipeline_project.plugins import PluginError
from pipeline_project.sources.crm import SOURCE as CRM
from pipeline_project.sources.toml_files import read_source


@pytest.mark.parametrize(
    ("dataset", "reason", "remedy"),
    [
        ("custmers", "does not exist", "Use one of: entities"),
        ("metrics", "keeps no history", "Remove 'metrics' from `partial`"),
        ("relationships", "keeps no history", "Remove 'relationships' from `partial`"),
    ],
)
def test_only_datasets_with_a_history_can_be_partial(dataset: str, reason: str, remedy: str) -> None:
    with pytest.raises(ValueError, match="source 'crm'") as error:
        dataclasses.replace(CRM, partial=(dataset,))
    assert reason in str(error.value)
    assert remedy in str(error.value)


def test_the_declaration_belongs_to_the_mapping() -> None:
    """Otherwise records that were loaded before would be read as if nothing had changed."""
    partial = dataclasses.replace(CRM, partial=("entities",))
    assert partial.fingerprint("entities") != CRM.fingerprint("entities")
    assert partial.fingerprint("metrics") == CRM.fingerprint("metrics")


TOML = 'name = "feed"\ndescription = "A feed of changes"\npartial = ["{dataset}"]\n\n[entity]\nsource_id = ["id"]\n'


def test_a_file_can_declare_it(tmp_path: Path) -> None:
    file = tmp_path / "feed.toml"
    file.write_text(TOML.format(dataset="entities"))
    assert read_source(file).is_partial("entities")
    file.write_text(TOML.format(dataset="metrics"))
    with pytest.raises(PluginError, match=r"feed\.toml:\d+: .*Remove 'metrics' from `partial`"):
        read_source(file)
