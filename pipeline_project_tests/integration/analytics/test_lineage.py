"""Column lineage of the operations is what their SQL says, in columns that there are."""

import pytest

from pipeline_project.analytics.catalogue import Operation, operations
from pipeline_project.analytics.execution import execute
from pipeline_project.analytics.lineage import column_lineage
from pipeline_project_tests.fix_postgres import FreshDatabase

WITH_DEFAULTS = [
    operation
    for operation in operations().values()
    if not any(each.is_required() for each in operation.parameters.model_fields.values())
]
COLUMNS = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'analytics'"


def lineage(sql: str) -> dict[str, set[str]]:
    return {
        name: {f"{each.view}.{each.column}" for each in found} for name, found in column_lineage(sql.encode()).items()
    }


@pytest.mark.parametrize("operation", WITH_DEFAULTS, ids=lambda operation: operation.name)
def test_every_column_of_a_result_is_told_of(operation: Operation, database: FreshDatabase) -> None:
    found = column_lineage(operation.statement)
    with execute(database.reader, operation, operation.validate({}), timeout_seconds=60) as rows:
        assert list(found) == [column.name for column in rows.columns]
    with database.reader.connect() as connection:
        known = set(connection.execute(COLUMNS).fetchall())
    assert {tuple(each) for sources in found.values() for each in sources} <= known


def test_values_are_followed_through_ctes_subqueries_and_windows() -> None:
    found = lineage(
        """WITH a (x, y) AS (SELECT name, sum(revenue) FROM analytics.entities WHERE country = %(c)s::text GROUP BY name),
                b AS (SELECT x AS z, y, row_number() OVER w AS place FROM a WINDOW w AS (ORDER BY y))
           SELECT z, b.*, y * 2, (SELECT max(t.value) FROM analytics.time_series_data t WHERE t.canonical_id = z) AS top,
                  count(*) FROM b JOIN LATERAL unnest(ARRAY[y]) AS each ON true"""
    )
    assert found == {
        "z": {"entities.name"},
        "y": {"entities.revenue"},
        "place": {"entities.revenue"},
        "?column?": {"entities.revenue"},
        "top": {"time_series_data.value"},
        "count": set(),
    }


def test_values_of_unions_have_the_sources_of_both_sides() -> None:
    found = lineage(
        """WITH RECURSIVE below AS (
               SELECT canonical_id AS id, 0 AS depth FROM analytics.entities
               UNION ALL
               SELECT r.child_canonical_id, depth + 1
               FROM below JOIN analytics.entity_relationships r ON r.parent_canonical_id = id)
           SELECT id, depth FROM below"""
    )
    assert found == {"id": {"entities.canonical_id", "entity_relationships.child_canonical_id"}, "depth": set()}
