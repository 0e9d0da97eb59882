"""relationship_network against a walk of the same graph in Python: diamonds, cycles, loops, dead ends, any direction."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_project.analytics.catalogue import InvalidParameters
from pipeline_project.analytics.parameters import Direction
from pipeline_project_tests.analytics_rows import ask, columns, edge, entity, insert
from pipeline_project_tests.fix_postgres import FreshDatabase

REVENUE = {n: Decimal(10**n) if n != 3 else None for n in range(7)}
Edges = set[tuple[int, int]]


def name(number: int) -> str:
    return f"crm_{number}"


def closure(edges: Edges, start: int) -> set[int]:
    """All that can be reached from `start` over at least one edge."""
    seen: set[int] = set()
    waiting = [child for parent, child in edges if parent == start]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += [child for parent, child in edges if parent == node]
    return seen


def network(edges: Edges, root: int, depth: int, direction: str) -> list[tuple[Any, ...]]:
    steps = set(edges) if direction != "upstream" else set()
    if direction != "downstream":
        steps |= {(child, parent) for parent, child in edges}
    distance = {root: 0}
    for far in range(1, depth + 1):
        for parent, child in steps:
            if distance.get(parent) == far - 1:
                distance.setdefault(child, far)
    inner = {(parent, child) for parent, child in edges if parent in distance and child in distance}
    expected = []
    for node, far in distance.items():
        below = closure(inner, node)
        known = [revenue for each in {node, *below} if (revenue := REVENUE[each]) is not None]
        total = sum(known, Decimal(0)) if known else None
        children = sum(parent == node != child for parent, child in inner)
        expected.append((far, name(node), REVENUE[node], children, len(below - {node}), total, node in below))
    return sorted(expected)


def shown(rows: Iterable[dict[str, Any]]) -> list[tuple[Any, ...]]:
    columns_shown = (
        "distance",
        "canonical_id",
        "revenue",
        "children",
        "downstream_entities",
        "total_revenue",
        "in_cycle",
    )
    return columns(rows, *columns_shown)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edges=st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14),
    depth=st.integers(1, 5),
    direction=st.sampled_from(Direction),
)
def test_any_graph(database: FreshDatabase, edges: Edges, depth: int, direction: Direction) -> None:
    with database.owner.connect() as connection:
        connection.execute("TRUNCATE canonical.entities, canonical.entity_relationships")
    insert(database.loader, "entities", [entity(name(n), revenue=REVENUE[n]) for n in range(7)])
    insert(database.loader, "entity_relationships", [edge(name(a), name(b)) for a, b in sorted(edges)])
    got = ask(database.reader, "relationship_network", root=name(0), depth=depth, direction=direction)
    assert shown(got) == network(edges, 0, depth, direction)


def test_a_diamond_counts_its_foot_once(database: FreshDatabase) -> None:
    insert(database.loader, "entities", [entity(name(n), revenue=REVENUE[n]) for n in range(5)])
    diamond = [(0, 1), (0, 2), (1, 4), (2, 4)]
    # The same edge from two sources, and of two types, is one way.
    twice = [edge(name(0), name(1), source="erp"), edge(name(0), name(1), relationship_type="supplies")]
    insert(database.loader, "entity_relationships", [edge(name(a), name(b)) for a, b in diamond] + twice)
    root = ask(database.reader, "relationship_network", root=name(0))[0]
    assert (root["downstream_entities"], root["total_revenue"], root["children"]) == (3, Decimal(10111), 2)


def test_only_relationships_of_the_day_count(database: FreshDatabase) -> None:
    insert(database.loader, "entities", [entity(name(n)) for n in range(4)] + [entity(name(4), deleted=True)])
    edges = [
        edge(name(0), name(1), valid_to=date(2024, 6, 30)),
        edge(name(0), name(2), valid_from=date(2024, 7, 1)),
        edge(name(0), name(3), deleted=True),
        edge(name(0), name(4)),
    ]
    insert(database.loader, "entity_relationships", edges)
    for day, expected in (("2024-06-30", [name(0), name(1)]), ("2024-07-01", [name(0), name(2)])):
        got = ask(database.reader, "relationship_network", root=name(0), as_of=day)
        assert columns(got, "canonical_id") == [(each,) for each in expected]


def test_an_unknown_root_is_named(database: FreshDatabase) -> None:
    with pytest.raises(InvalidParameters, match="root: names nothing that is there") as raised:
        ask(database.reader, "relationship_network", root="crm_nobody")
    assert raised.value.errors[0]["field"] == "root"
