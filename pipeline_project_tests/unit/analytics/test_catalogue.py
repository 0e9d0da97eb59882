"""The catalogue: what is validated, how a refusal reads, and that what is made from it is current."""

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline_project.analytics.catalogue import BUILT_IN, InvalidParameters, UnknownOperation, operation, operations
from pipeline_project.analytics.documentation import markdown
from pipeline_project.analytics.execution import Column
from pipeline_project.analytics.plots import CHARTS, figure, plot
from pipeline_project.schema.sql_files import SQL
from pipeline_project_tests.custom_sql_corpus import LEGITIMATE

ROOT = Path(__file__).parents[3]
NAMES = (
    "count_analysis custom_complex_query customer_analysis data_integrity_analysis database_info multi_dimensional_analytics"
    " relationship_network revenue_analysis simple_demo time_series_patterns"
)


def test_the_platform_offers_its_ten_operations_and_may_offer_more() -> None:
    assert set(NAMES.split(" ")) <= {each.name for each in BUILT_IN} <= set(operations())


def test_documentation_is_current() -> None:
    """Mend with: python -m pipeline_project.analytics.documentation > docs/operations.md"""
    assert (ROOT / "docs" / "operations.md").read_text("utf-8") == markdown()


@pytest.mark.parametrize("name", operations())
def test_examples_are_valid_and_normal_forms_are_stable(name: str) -> None:
    asked = operation(name)
    normal = asked.validate(asked.example).as_json()
    assert asked.validate(normal).as_json() == normal


@pytest.mark.parametrize("name", sorted(set(operations()) - {"custom_complex_query"}))
def test_the_sql_takes_just_the_parameters(name: str) -> None:
    text = operations()[name].statement.decode()
    assert set(re.findall(r"%\((\w+)\)s", text)) == set(operations()[name].parameters.model_fields)
    assert text.startswith("-- "), "a header says what it is for"


def test_every_sql_file_is_used() -> None:
    used = {name for each in BUILT_IN for name in (each.sql, each.known) if name}
    used |= {"limits", "versions"}
    assert {path.stem for path in (SQL / "analytics").glob("*.sql")} == used


@pytest.mark.parametrize("name", ["", "nonsense", "REVENUE_ANALYSIS", None, 1, {}, ["revenue_analysis"]])
def test_an_unknown_operation_is_told_which_there_are(name: Any) -> None:
    with pytest.raises(UnknownOperation, match="there are database_info, simple_demo"):
        operation(name)


@pytest.mark.parametrize(
    ("name", "given", "field", "message"),
    [
        ("revenue_analysis", {"metric": "profit"}, "metric", "'revenue', 'lifetime_value' or 'total_spent'"),
        ("revenue_analysis", {"metric": {"a": 1}}, "metric", "'revenue'"),
        ("revenue_analysis", {"metric": ["revenue"]}, "metric", "'revenue'"),
        ("revenue_analysis", {"group_by": "name; DROP TABLE x"}, "group_by", "'industry', 'region'"),
        ("revenue_analysis", {"group_by": None}, "group_by", "'industry'"),
        ("revenue_analysis", {"top_n": 0}, "top_n", "greater than or equal to 1"),
        ("revenue_analysis", {"top_n": 101}, "top_n", "less than or equal to 100"),
        ("revenue_analysis", {"top_n": "ten"}, "top_n", "valid integer"),
        ("revenue_analysis", {"top_n": 1.5}, "top_n", "valid integer"),
        ("revenue_analysis", {"top_n": True}, "top_n", "a number, not a boolean"),
        ("revenue_analysis", {"topn": 3}, "topn", "takes metric, group_by, top_n"),
        ("simple_demo", {"limit": 3}, "limit", "takes no parameters"),
        ("customer_analysis", {"min_customers": -1}, "min_customers", "greater than or equal to 1"),
        ("count_analysis", {"metric": "rows"}, "metric", "'entities', 'relationships'"),
        ("multi_dimensional_analytics", {"timeframe": "decade"}, "timeframe", "'week', 'month', 'quarter' or 'year'"),
        ("multi_dimensional_analytics", {"subtotals": "sets"}, "subtotals", "'rollup' or 'cube'"),
        ("multi_dimensional_analytics", {"dimensions": []}, "dimensions", "at least 1 item"),
        ("multi_dimensional_analytics", {"dimensions": ["type", "type"]}, "dimensions", "each value at most once"),
        (
            "multi_dimensional_analytics",
            {"dimensions": "type,colour"},
            "dimensions.1",
            "'type', 'industry' or 'region'",
        ),
        ("relationship_network", {}, "root", "required"),
        ("relationship_network", {"root": ""}, "root", "at least 1 character"),
        ("relationship_network", {"root": {"id": 1}}, "root", "valid string"),
        ("relationship_network", {"root": "a\0b"}, "root", "pattern"),
        ("relationship_network", {"root": "a", "depth": 11}, "depth", "less than or equal to 10"),
        ("relationship_network", {"root": "a", "as_of": "soon"}, "as_of", "date"),
        ("time_series_patterns", {"analysis_period": "month; --"}, "analysis_period", "'day', 'week'"),
        ("time_series_patterns", {"metric": 7}, "metric", "valid string"),
        ("data_integrity_analysis", {"min_similarity": 0.2}, "min_similarity", "greater than or equal to 0.6"),
        ("data_integrity_analysis", {"min_similarity": "nan"}, "min_similarity", "finite number"),
        ("data_integrity_analysis", {"systems": ["crm"]}, "systems", "at least 2 items"),
        ("data_integrity_analysis", {"systems": ["crm", "Robert'); --"]}, "systems.1", "pattern"),
        ("custom_complex_query", {}, "query", "required"),
        ("custom_complex_query", {"query": ["SELECT 1"]}, "query", "valid string"),
        ("custom_complex_query", {"query": "DROP TABLE x"}, "query", "only SELECT is allowed"),
        ("custom_complex_query", {"query": "SELECT $1"}, "query", "a parameter $n without a value"),
        ("custom_complex_query", {"query": "SELECT 1", "params": {"a": 1}}, "params", "valid list"),
        ("simple_demo", [], "parameters", "an object of names and values"),
        ("simple_demo", "x", "parameters", "an object of names and values"),
        ("simple_demo", None, "parameters", "an object of names and values"),
    ],
)
def test_a_refusal_names_the_field_and_what_is_allowed(name: str, given: Any, field: str, message: str) -> None:
    with pytest.raises(InvalidParameters) as refused:
        operation(name).validate(given)
    told = {error["field"].removesuffix(".list[nullable[str]]"): error["message"] for error in refused.value.errors}
    assert field in told, told
    assert message in told[field]


def test_texts_of_a_query_string_are_understood() -> None:
    given = {"dimensions": "region, type", "timeframe": "year"}
    assert operation("multi_dimensional_analytics").validate(given).as_json() == {
        "timeframe": "year",
        "dimensions": ["region", "type"],
        "subtotals": "rollup",
    }
    assert operation("revenue_analysis").validate({"top_n": "7"}).model_dump()["top_n"] == 7


def test_every_legitimate_query_is_taken() -> None:
    for text in LEGITIMATE:
        operation("custom_complex_query").validate({"query": text, "params": ["x"] if "$1" in text else []})


SAMPLES: dict[str, Any] = {
    "bigint": 3,
    "numeric": Decimal("1.5"),
    "text": "a $x$ \\frac name",
    "date": date(2026, 1, 1),
    "boolean": True,
}


@pytest.mark.parametrize("name", [*CHARTS, "custom_complex_query"])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_every_operation_has_a_plot(name: str, count: int) -> None:
    chart = CHARTS.get(name)
    kinds = {"period": "date", "grouped_by": "text[]", "anomaly": "boolean"}
    names = [*chart.label, chart.value, *chart.also] if chart else ["a", "b"]
    columns = [Column(each, kinds.get(each, "text" if n == 0 else "numeric")) for n, each in enumerate(names)]
    columns += [Column("grouped_by", "text[]"), Column("kind", "text"), Column("anomaly", "boolean")]
    rows = [
        tuple(
            {"grouped_by": ["period"], "kind": "total", chart.value if chart else "b": None if n == 5 else n}.get(
                column.name, SAMPLES.get(column.type)
            )
            for column in columns
        )
        for n in range(count)
    ]
    assert plot(name, columns, rows).startswith(b"\x89PNG")


@pytest.mark.parametrize(("factor", "tick"), [(1_000_000, "60 M"), (Decimal("0.1"), "6")])
def test_a_plot_is_read_at_a_glance(factor: Decimal, tick: str) -> None:
    columns = [Column("segment", "text"), Column("segment_total", "numeric")]
    drawn = figure(
        "revenue_analysis",
        columns,
        [("Energy", 60 * factor), ("Food", 20 * factor), (None, 50 * factor), ("Steel", None)],
    )
    drawn.draw_without_rendering()
    [axes] = drawn.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Food", "Energy"]
    assert tick in {label.get_text() for label in axes.get_xticklabels()}
