"""docs/how-to/prepare-an-export.md: each declaration loads the sample that follows it."""

import re
from pathlib import Path

import pytest

from pipeline_project.sources.toml_files import read_source
from pipeline_project_tests.fix_ingest import Rows, register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing, ingest

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "prepare-an-export.md"
EXAMPLES = {
    title: (declaration, sample)
    for title, declaration, sample in re.findall(
        r"^## ([^\n]+)\n(?:(?!^## ).)*?^```toml\n(.*?)^```\n\n```(?:csv|json)\n(.*?)^```",
        PAGE.read_text("utf-8"),
        re.DOTALL | re.MULTILINE,
    )
}
LOADED = {
    "Salesforce": [("001A000001AbCdEIAV", "Alder", 125000, 12, False, "2024-01-01 10:00:00")],
    "HubSpot": [("9001", "Alder Works", 125000, None, False, "2024-01-01 09:00:00")],
    "SAP": [
        ("0000100001", "Müller KG", 1234.56, None, False, None),
        ("0000100002", "Söhne AG", 12500, None, True, None),
    ],
    "Dynamics": [("7f3a", "Alder", 125000.5, 12, False, "2024-01-01 10:00:00")],
    "A database": [("17", "Alder", None, None, False, "2024-01-01 10:00:00.123456")],
    "Excel": [("00124", "Alder", 1234.5, None, False, None)],
    "Firehose": [("F-1", "Alder", None, None, False, None), ("F-2", "Birch", None, None, False, None)],
}
"""ID, name, revenue, employees, tombstone and time of change. None as the time: the time of the upload."""
STORED = """
    SELECT source_id, name, revenue::float, employees, deleted,
           nullif(source_updated_at, object_modified_at) AT TIME ZONE 'UTC'
    FROM canonical.entities ORDER BY source_id"""


def test_each_example_has_an_expectation() -> None:
    assert EXAMPLES.keys() == LOADED.keys()


@pytest.mark.parametrize("title", LOADED)
def test_the_declaration_loads_its_sample(
    title: str,
    tmp_path: Path,
    database: FreshDatabase,
    landing: Landing,
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declaration, sample = EXAMPLES[title]
    file = tmp_path / "source.toml"
    file.write_text(declaration, "utf-8")
    source = read_source(file)
    register(monkeypatch, source)
    key = f"{source.name}-data/sample"
    content = sample.encode(source.dialect.encoding or "utf-8")
    outcome = ingest(database.loader, landing, landing.put(key, content))[key]
    assert (outcome.fault, outcome.rejected) == (None, 0)
    assert [(*row[:5], row[5] and str(row[5])) for row in rows(STORED)] == LOADED[title]
