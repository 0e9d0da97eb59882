"""`pipeline query` against a real database, through the settings and secrets that a terminal would have."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from pipeline_project.analytics import catalogue
from pipeline_project.analytics.catalogue import InvalidParameters, UnknownOperation
from pipeline_project.analytics.execution import Column
from pipeline_project.cli.results import operations, query, table
from pipeline_project.settings import Settings
from pipeline_project_tests.analytics_rows import entity, insert
from pipeline_project_tests.fix_postgres import FreshDatabase

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(settings: Settings, database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    rows = [entity("crm_1", name="[red]Acme", revenue=Decimal("1.50"), industry="steel"), entity("crm_2", name="=1+1")]
    insert(database.loader, "entities", rows)
    monkeypatch.setattr(Settings, "load", lambda: settings)
    app = typer.Typer()
    app.command("query")(query)
    app.command("operations")(operations)
    return lambda *arguments: CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments))


def test_a_table(invoke: Invoke) -> None:
    answered = invoke("query", "revenue_analysis", "--param", "group_by=source")
    assert answered.exit_code == 0, answered.output
    assert "[red]Acme" in answered.output
    assert "1.50" in answered.output
    assert "1 rows" in answered.output


def test_a_file_format(invoke: Invoke) -> None:
    statement = "query=SELECT name, revenue FROM entities ORDER BY canonical_id"
    answered = invoke("query", "custom_complex_query", "-p", statement, "--format", "csv")
    assert answered.stdout_bytes == b"name,revenue\r\n[red]Acme,1.50\r\n'=1+1,\r\n"
    answered = invoke("query", "simple_demo", "--format", "ndjson")
    assert json.loads(answered.stdout, parse_float=Decimal)["revenue"] == Decimal("1.50")


def test_a_plot(invoke: Invoke, tmp_path: Path) -> None:
    picture = tmp_path / "plot.png"
    answered = invoke("query", "simple_demo", "--plot", str(picture))
    assert answered.exit_code == 0, answered.output
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_listing(invoke: Invoke) -> None:
    answered = invoke("operations")
    assert all(name in answered.output for name in catalogue.operations())


def test_what_is_wrong_is_told(invoke: Invoke) -> None:
    assert isinstance(invoke("query", "nonsense").exception, UnknownOperation)
    assert isinstance(invoke("query", "revenue_analysis", "-p", "metric=profit").exception, InvalidParameters)
    assert isinstance(invoke("query", "revenue_analysis", "-p", "metric").exception, InvalidParameters)


def test_long_tables_say_what_they_leave_out() -> None:
    shown = table([Column("n", "bigint")], [(n,) for n in range(1200)], most=50)
    assert (shown.row_count, shown.caption) == (50, "1,200 rows, of which 1,150 are not shown")
