"""Declarations in TOML: each setting arrives, and a typing error is an error with its line and remedy."""

import re
from pathlib import Path

import pytest

from pipeline_project import plugins
from pipeline_project.ingest.mapping import Bad, mapper_for
from pipeline_project.plugins import PluginError
from pipeline_project.schema.fields import aliases
from pipeline_project.sources import registry
from pipeline_project.sources.dialect import Dialect, FieldFormat, Variant
from pipeline_project.sources.toml_files import read_source
from pipeline_project_tests.mapped import POSITION

SAP = """name = "sap"
description = "Customers of the ERP"
entity_type = "customer"
reject_threshold = 0.1

[entity]
source_id = ["KUNNR"]
name = ["NAME1", "address.name"]
revenue = "UMSAT"
deleted = ["LOEVM"]
founded = ["GRDAT"]
note = ["TEXT"]

[entity.types]
founded = "day"

[entity.dialect]
zone = "Europe/Berlin"

[relationships]
parent_id = ["PARENT"]

[dialect]
encoding = "cp1252"
decimal = ","
group = "."
days = ["%d.%m.%Y"]
true = ["X"]
false = [""]
footer = ['^Summe;']

[dialect.fields.UMSAT]
decimal = "."
group = ""

[[variant]]
keys = "sap-data/2023/**"
dialect = { decimal = "." }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sap.toml"
    path.write_text(SAP)
    return path


def test_each_setting_arrives(file: Path) -> None:
    found = read_source(file)
    assert (found.name, found.description, found.reject_threshold) == ("sap", "Customers of the ERP", 0.1)
    assert found.fallbacks == {"entity_type": "customer"}
    assert found.dialect == Dialect(
        encoding="cp1252",
        decimal=",",
        group=".",
        days=("%d.%m.%Y",),
        true=("X",),
        false=("",),
        footer=("^Summe;",),
        fields={"UMSAT": FieldFormat(decimal=".", group="")},
    )
    assert found.dialects == {"entities": Dialect(zone="Europe/Berlin")}
    assert found.variants == (Variant(keys="sap-data/2023/**", dialect=Dialect(decimal=".")),)


def test_fields_get_their_names_and_attributes_their_types(file: Path) -> None:
    entity, relationship = read_source(file).records
    names = {name: aliases(name, field) for name, field in entity.model_fields.items()}
    assert names["source_id"] == [("KUNNR",)]
    assert names["name"] == [("NAME1",), ("address", "name"), ("address.name",)]
    assert names["revenue"] == [("UMSAT",)]
    assert names["industry"] == [("industry",)]
    assert names["founded"] == [("GRDAT",)]
    assert entity.model_fields["source_id"].is_required()
    assert aliases("parent_id", relationship.model_fields["parent_id"]) == [("PARENT",)]


def test_records_are_mapped_by_the_declaration(file: Path) -> None:
    mapper = mapper_for(read_source(file), "entities")
    row = mapper.map(b'{"KUNNR": "7", "address": {"name": "A"}, "GRDAT": "2024-12-31", "TEXT": "x"}', 1, POSITION)
    assert not isinstance(row, Bad)
    assert row.key == "sap_7"
    assert '"founded":"2024-12-31"' in row.line and '"note":"x"' in row.line


def test_equal_files_have_equal_fingerprints_and_other_names_another(file: Path) -> None:
    before = read_source(file).fingerprint("entities")
    assert read_source(file).fingerprint("entities") == before
    file.write_text(SAP.replace("NAME1", "NAME2"))
    assert read_source(file).fingerprint("entities") != before


@pytest.mark.parametrize(
    ("right", "wrong", "line", "message"),
    [
        ('decimal = ","', 'decimall = ","', 25, "there is no setting 'decimall' in [dialect]. Did you mean 'decimal'?"),
        ('encoding = "cp1252"', "encoding = 5", 24, "dialect.encoding: Expected `str"),
        ("reject_threshold", "reject_treshold", 4, "Did you mean 'reject_threshold'?"),
        ("[relationships]", "[relationship]", 20, "Did you mean 'relationships'?"),
        ('name = "sap"', 'name = "SAP"', 1, "'SAP' is not a name"),
        ('"day"', '"dy"', 11, "'dy' is not a type. Use one of: text,"),
        ("[entity.types]\nfounded", "[entity.types]\nfonded", 15, "'fonded', which [entity] does not declare"),
        ("[entity.types]\nfounded", '[entity.types]\nrevenue = "count"\nfounded', 9, "has its type. Remove it"),
        ("note = ", "industri = ", 12, "did you mean 'industry'?"),
        ("note = ", '"Note 1" = ', 12, "is not a name of an attribute"),
        ('revenue = "UMSAT"', 'revenue = "KUNNR"', 9, "'KUNNR' is a name of source_id and of revenue"),
        ('note = ["TEXT"]', "note = []", 12, 'a list of texts, for example note = ["NAME1"]'),
        ('{ decimal = "." }', '{ decimla = "." }', 38, "Did you mean 'decimal'?"),
        ("[dialect.fields.UMSAT]\ndecimal", "[dialect.fields.UMSAT]\ngruop", 33, "Did you mean 'group'?"),
        ('decimal = ","', "decimal = ,", 25, "not valid TOML"),
        ('name = "sap"\n', "", 1, "required field `name`"),
    ],
)
def test_a_wrong_declaration_is_refused_with_line_and_remedy(
    right: str, wrong: str, line: int, message: str, file: Path
) -> None:
    assert SAP.count(right) >= 1
    file.write_text(SAP.replace(right, wrong, 1))
    with pytest.raises(PluginError, match=re.escape(message)) as raised:
        read_source(file)
    assert str(raised.value).startswith(f"{file}:{line}: ")


def test_a_file_in_the_folder_of_plug_ins_is_registered(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = file.parent / "company"
    (folder / "sources").mkdir(parents=True)
    (folder / "sources" / "sap.toml").write_text(SAP)
    (folder / "sources" / "_draft.toml").write_text("not TOML")
    monkeypatch.setattr(plugins, "folder", lambda: folder)
    found = registry.sources.__wrapped__()
    assert found["sap"].prefix == "sap-data"
    (folder / "sources" / "crm.toml").write_text(SAP.replace('"sap"', '"crm"'))
    with pytest.raises(PluginError, match=r"'crm' is declared twice: in .*crm\.py:\d+ and in .*crm\.toml:1"):
        registry.sources.__wrapped__()
