"""`pipeline sources draft`: a draft that asks nothing loads its file right, as it is. TOML and Python say the same."""

import json
import runpy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from pipeline_project import plugins
from pipeline_project.cli.main import app
from pipeline_project.errors import Permanent
from pipeline_project.ingest.drafting import Draft, draft
from pipeline_project.sources.source import Source
from pipeline_project.sources.toml_files import read_source
from pipeline_project_tests.fix_ingest import Rows, register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing, ingest

LOADED = {
    "duplicate-header.csv": (b"customer_id,company_name,phone,phone\nV-1,Alder,1,2\n", [("V-1", "Alder", None)]),
    "header-repeated.csv": (
        b"customer_id,company_name,annual_revenue\nR-1,Alder,1\ncustomer_id,company_name,annual_revenue\nR-2,Birch,2\n",
        [("R-1", "Alder", 1), ("R-2", "Birch", 2)],
    ),
    "headers-in-other-case.csv": (
        b"customer_id,company_name,Annual Revenue\nH-1,Alder,1000\n",
        [("H-1", "Alder", 1000)],
    ),
    "headers-with-blanks.csv": (b"Customer ID,Company Name,Annual Revenue\nA-1,Alder,1000\n", [("A-1", "Alder", 1000)]),
    "marks-in-quoted-header.csv": (
        b'customer_id,company_name,"type (a;b;c;d)"\nM-1,Alder,a\n',
        [("M-1", "Alder", None)],
    ),
    "one-bad-optional-field.csv": (
        b"customer_id,company_name,annual_revenue\nY-1,Alder,1000\nY-2,Birch,12%\nY-3,Cedar,1\n",
        [("Y-1", "Alder", 1000), ("Y-2", "Birch", None), ("Y-3", "Cedar", 1)],
    ),
    "pipes.csv": (b"customer_id|company_name|annual_revenue\nP-1|Alder|1000\n", [("P-1", "Alder", 1000)]),
    "sep-line.csv": (b"sep=;\ncustomer_id;company_name;annual_revenue\nE-1;Alder;1000\n", [("E-1", "Alder", 1000)]),
    "title-lines.csv": (
        b"Account export\nCreated 2024-05-01\n\ncustomer_id,company_name,annual_revenue\nL-1,Alder,1000\n",
        [("L-1", "Alder", 1000)],
    ),
    "german.csv": (
        b"Kundennummer;Firma;Jahresumsatz\nG-1;Dune;12.500\nG-2;Elm;1.234,56\n",
        [("G-1", "Dune", 12500), ("G-2", "Elm", 1234.56)],
    ),
    "trailing-minus.csv": (
        b"LIFNR;NAME1;Total Spent;UMSAT\n1;Dune;1.234,56-;1,5\n2;Elm;5,00;2\n",
        [("1", "Dune", 1.5), ("2", "Elm", 2)],
    ),
    "unknown-id.csv": (
        b"Mandant;Schluessel;Firma\n1;K1;Alder\n1;K2;Birch\n",
        [("K1", "Alder", None), ("K2", "Birch", None)],
    ),
    "concatenated.json": (
        b'{"customer_id": "F-1", "company_name": "Firm 1"}{"customer_id": "F-2", "company_name": "Firm 2"}',
        [("F-1", "Firm 1", None), ("F-2", "Firm 2", None)],
    ),
    "odata-value.json": (
        b'{"@odata.context": "x", "value": [{"customer_id": "O-1", "company_name": "Alder"}]}',
        [("O-1", "Alder", None)],
    ),
}
"""Files whose drafts ask nothing, with ID, name and revenue of their entities. The shapes of public bug reports."""

ASKED = {
    "german-thousands.csv": (b"customer_id;company_name;annual_revenue\nG-1;Dune;12.500\nG-2;Elm;1.234\n", "Ambiguous"),
    "windows-1252.csv": ("customer_id;company_name\nX-1;Müller\n".encode("cp1252"), "Which encoding"),
    "spreadsheet-ids.csv": (b"customer_id,company_name\n1.23457E+11,Alder\n", "lost digits"),
    "null-texts.csv": (b"customer_id,company_name\nT-1,Alder\nN/A,Birch\n", "stands for a missing value"),
    "local-times.csv": (b"Record ID,Company name,Last Modified Date\n1,A,2024-01-01 10:00\n", "Which time zone"),
    "deletion.csv": (b"Kundennummer;Name1;Loeschkz\n1;A;\n2;B;X\n", "Does Loeschkz mark"),
    "wrapper-with-own-id.json": (
        b'{"id": "list-7", "name": "All", "members": [{"customer_id": "W-1", "company_name": "A", "annual_revenue": 1}]}',
        "members",
    ),
}
"""Files with a question that only a person can answer, and words of the question."""


def drafted(tmp_path: Path, name: str, content: bytes) -> Draft:
    file = tmp_path / name
    file.write_bytes(content)
    return draft([file], "demo")


def of_toml(tmp_path: Path, found: Draft) -> Source:
    file = tmp_path / "demo.toml"
    file.write_text(found.toml, "utf-8")
    return read_source(file)


def of_python(tmp_path: Path, found: Draft) -> Source:
    file = tmp_path / "demo.py"
    file.write_text(found.python, "utf-8")
    return runpy.run_path(str(file))["SOURCE"]


@pytest.mark.parametrize("form", [of_toml, of_python])
@pytest.mark.parametrize("name", LOADED)
def test_a_draft_that_asks_nothing_loads_its_file(
    name: str,
    form: Any,
    tmp_path: Path,
    database: FreshDatabase,
    landing: Landing,
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content, entities = LOADED[name]
    found = drafted(tmp_path, name, content)
    assert found.questions == []
    register(monkeypatch, form(tmp_path, found))
    outcome = ingest(database.loader, landing, landing.put(f"demo-data/{name}", content))[f"demo-data/{name}"]
    assert (outcome.fault, outcome.rejected) == (None, 0)
    loaded = rows("SELECT source_id, name, revenue::float FROM canonical.entities ORDER BY source_id")
    assert loaded == entities


@pytest.mark.parametrize("name", ASKED)
def test_a_draft_asks_what_only_a_person_knows(name: str, tmp_path: Path) -> None:
    content, words = ASKED[name]
    found = drafted(tmp_path, name, content)
    assert any(words in question.text for question in found.questions)


def test_answers_make_a_sap_like_file_load(
    tmp_path: Path, database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (
        "Kundennummer;Name1;Umsatz;Anlagedatum;Loeschkz\n"
        "0000100001;Müller KG;1.234,56;31.12.2024;\n0000100002;Söhne AG;12.500,00;00000000;X\n"
    ).encode("cp1252")
    found = drafted(tmp_path, "kna1.csv", content)
    assert len(found.questions) == 2
    answers = '[dialect]\nencoding = "cp1252"\ntrue = ["X"]\nfalse = [""]'
    toml = found.toml.replace("[dialect]", answers).replace("[entity]", '[entity]\ndeleted = ["Loeschkz"]')
    file = tmp_path / "demo.toml"
    file.write_text(toml, "utf-8")
    register(monkeypatch, read_source(file))
    outcome = ingest(database.loader, landing, landing.put("demo-data/kna1.csv", content))["demo-data/kna1.csv"]
    assert (outcome.fault, outcome.rejected, outcome.deleted) == (None, 0, 1)
    assert rows("SELECT source_id, name, revenue::float, attributes, deleted FROM canonical.entities ORDER BY 1") == [
        ("0000100001", "Müller KG", 1234.56, {"anlagedatum": "2024-12-31"}, False),
        ("0000100002", "Söhne AG", 12500, {}, True),
    ]


def test_a_parquet_file_is_drafted(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"customer_id": [1, 2], "company_name": ["A", "B"], "annual_revenue": [1.5, 2.0]}), file)
    found = draft([file], "demo")
    assert found.questions == []
    assert 'revenue = ["annual_revenue"]' in found.toml


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "250"}).invoke(app, ["sources", "draft", *map(str, arguments)])


def test_the_command_exits_with_3_while_a_question_is_open(tmp_path: Path) -> None:
    folder = tmp_path / "shop-data"
    folder.mkdir()
    file = folder / "a.csv"
    file.write_bytes(LOADED["pipes.csv"][0])
    result = run(file)
    assert (result.exit_code, result.output.splitlines()[1]) == (0, 'name = "shop"')
    assert "Please confirm:" in result.output
    file.write_bytes(ASKED["windows-1252.csv"][0])
    result = run(file)
    assert result.exit_code == 3
    assert "Questions that you have to answer:\n- Which encoding" in result.output
    assert 'Declare one of: encoding = "cp1252"' in result.output


def test_the_command_writes_the_draft_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(LOADED["pipes.csv"][0])
    assert isinstance(run(file).exception, Permanent)  # no folder says the name
    assert isinstance(run(file, "--name", "Shop").exception, Permanent)
    monkeypatch.setattr(plugins, "folder", lambda: None)
    assert "PIPELINE_PLUGINS" in str(run(file, "--name", "shop", "--write").exception)
    monkeypatch.setattr(plugins, "folder", lambda: tmp_path)
    assert run(file, "--name", "shop", "--write").exit_code == 0
    assert read_source(tmp_path / "sources" / "shop.toml").name == "shop"
    assert run(file, "--name", "shop", "--write", "--python").exit_code == 0
    compile((tmp_path / "sources" / "shop.py").read_text("utf-8"), "shop.py", "exec")
    assert "exists" in str(run(file, "--name", "shop", "--write").exception)


def test_json_lines_are_drafted(tmp_path: Path) -> None:
    content = "\n".join(json.dumps({"id": n, "name": "A", "address": {"country": "DE"}}) for n in range(3)).encode()
    found = drafted(tmp_path, "a.jsonl", content)
    assert 'country = ["address.country"]' in found.toml
