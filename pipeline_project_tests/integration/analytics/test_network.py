"""relationship_network against a walk of the same graph in Python: diamonds, cycles, loops, dead ends, any direction."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from fractions import Fraction
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


def network(edges: Edges, root: int, depth: int, direction: str, roll_up_to: int = 300_000) -> list[tuple[Any, ...]]:
    steps = set(edges) if direction != "upstream" else set()
    if direction != "downstream":
        steps |= {(child, parent) for parent, child in edges}
    distance = {root: 0}
    for far in range(1, depth + 1):
        for parent, child in steps:
            if distance.get(parent) == far - 1:
                distance.setdefault(child, far)
    inner = {(parent, child) for parent, child in edges if parent in distance and child in distance}
    pairs = sum(len(closure(inner, node)) for node in distance)
    # An entity has a relationship at least, as far as the steps are counted.
    everybody = pairs * max(Fraction(len(inner), len(distance)), Fraction(1)) <= roll_up_to
    expected = []
    for node, far in distance.items():
        children = sum(parent == node != child for parent, child in inner)
        known: tuple[Any, ...] = (far, name(node), REVENUE[node], children)
        if everybody or node == root:
            below = closure(inner, node)
            amounts = [revenue for each in {node, *below} if (revenue := REVENUE[each]) is not None]
            total = sum(amounts, Decimal(0)) if amounts else None
            expected.append((*known, len(below - {node}), total, node in below))
        else:
            expected.append((*known, None, None, None))
    return sorted(expected, key=lambda row: row[:2])


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
    roll_up_to=st.integers(0, 60) | st.just(300_000),
)
def test_any_graph(database: FreshDatabase, edges: Edges, depth: int, direction: Direction, roll_up_to: int) -> None:
    with database.owner.connect() as connection:
        connection.execute("TRUNCATE canonical.entities, canonical.entity_relationships")
    insert(database.loader, "entities", [entity(name(n), revenue=REVENUE[n]) for n in range(7)])
    insert(database.loader, "entity_relationships", [edge(name(a), name(b)) for a, b in sorted(edges)])
    asked = {"root": name(0), "depth": depth, "direction": direction, "roll_up_to": roll_up_to}
    assert shown(ask(database.reader, "relationship_network", **asked)) == network(
        edges, 0, depth, direction, roll_up_to
    )


@pytest.mark.parametrize(
    ("edges", "steps"),
    [
        pytest.param({(0, 1), (1, 2), (2, 3), (1, 4)}, 8, id="tree"),
        pytest.param({(0, 1), (1, 2), (2, 3), (3, 0)}, 16, id="cycle"),
        pytest.param({(0, 1), (0, 2), (1, 3), (2, 3)}, 5, id="diamond"),
        pytest.param({(a, b) for a in range(5) for b in range(5)}, 25 * 5, id="everything"),
    ],
)
def test_beyond_the_bound_only_the_root_is_rolled_up(database: FreshDatabase, edges: Edges, steps: int) -> None:
    insert(database.loader, "entities", [entity(name(n), revenue=REVENUE[n]) for n in range(5)])
    insert(database.loader, "entity_relationships", [edge(name(a), name(b)) for a, b in sorted(edges)])
    within = ask(database.reader, "relationship_network", root=name(0), depth=10, roll_up_to=steps)
    beyond = ask(database.reader, "relationship_network", root=name(0), depth=10, roll_up_to=steps - 1)
    assert shown(within) == network(edges, 0, 10, "downstream")
    assert beyond[0] == within[0]
    rolled_up = dict.fromkeys(("downstream_entities", "total_revenue", "in_cycle"))
    assert beyond[1:] == [{**row, **rolled_up} for row in within[1:]]


def test_a_network_in_which_everything_lies_below_everything(database: FreshDatabase) -> None:
    """Each of 800 leads to two others, and so to all within ten steps: 640,000 pairs, of which the root's are counted."""
    count = 800
    insert(database.loader, "entities", [entity(name(n), revenue=Decimal(1)) for n in range(count)])
    edges = {(n, (2 * n + side) % count) for n in range(count) for side in (0, 1)}
    insert(database.loader, "entity_relationships", [edge(name(a), name(b)) for a, b in sorted(edges)])
    root, *others = ask(database.reader, "relationship_network", root=name(1), depth=10)
    assert (len(others), root["downstream_entities"], root["total_revenue"], root["in_cycle"]) == (799, 799, 800, True)
    assert set(columns(others, "downstream_entities", "total_revenue", "in_cycle")) == {(None, None, None)}
    assert [row["canonical_id"] for row in others if row["children"] == 1] == [name(0), name(799)]  # and themselves


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
