"""`pipeline datasets`: fields, names and SQL of the datasets, without a database."""

import pytest
from typer.testing import CliRunner

from pipeline_project.cli.main import app
from pipeline_project.datasets.registry import datasets
from pipeline_project.errors import Permanent
from pipeline_project.schema.templates import statement, statements
from pipeline_project.sources.registry import sources


def printed(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["datasets", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_all_datasets_are_listed() -> None:
    output = printed()
    for dataset in datasets().values():
        assert dataset.name in output and dataset.description in output and dataset.kind_name in output


@pytest.mark.parametrize("name", sorted(datasets()))
def test_a_dataset_is_shown_with_its_fields_types_and_the_names_of_each_source(name: str) -> None:
    rows = {line.split("│")[1].strip(): line for line in printed("show", name).splitlines() if "│" in line}
    for column in datasets()[name].columns:
        if column.field is not None:
            assert column.name in rows[column.field] and column.type in rows[column.field]
    assert "source_updated_at" in rows["updated_at"]
    for source in sources().values():
        assert set(source.record(name).model_fields) <= rows.keys()


def test_a_nested_name_is_shown_as_a_path_and_a_field_of_one_source_with_its_column() -> None:
    output = printed("show", "entities")
    assert "financials.annualRevenue, annualRevenue, revenue" in output
    assert "Only of this source; goes to `attributes`" in output


def test_a_statement_is_printed_as_it_runs() -> None:
    for name in statements(datasets()["metrics"]):
        assert printed("sql", "metrics", name) == statement(name, datasets()["metrics"]).decode()
    assert printed("sql", "metrics", "merge") == printed("sql", "metrics", "ingest/loading/merge")
    assert printed("sql", "metrics").split() == statements(datasets()["metrics"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "clients"], "There is no dataset 'clients'. Name one of entities"),
        (["sql", "clients", "merge"], "There is no dataset 'clients'"),
        (["sql", "metrics", "rewrite"], "There is no statement 'rewrite' for metrics. Name one of ingest/"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["datasets", *arguments])
    assert isinstance(result.exception, Permanent) and message in str(result.exception)
