"""The operations that aggregate entities, each computed a second time in Python from the same rows."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from pipeline_project.analytics.allowed import RELATIONS
from pipeline_project.analytics.catalogue import BUILT_IN
from pipeline_project.analytics.parameters import CustomerMetric, Dimension, MoneyMetric
from pipeline_project_tests.analytics_rows import (
    alive,
    ask,
    columns,
    edge,
    entity,
    grouped,
    insert,
    median,
    nulls_last,
    point,
    rounded,
    some_entities,
)
from pipeline_project_tests.fix_postgres import FreshDatabase

SEEDS = (1, 2, 3)
Rows = list[dict[str, Any]]


def amounts(rows: Sequence[dict[str, Any]], metric: str) -> list[Decimal]:
    return [Decimal(row[metric]) for row in rows if row[metric] is not None]


@pytest.mark.parametrize("seed", SEEDS)
def test_revenue_analysis(database: FreshDatabase, seed: int) -> None:
    entities = some_entities(seed, 400)
    # Segments with fewer entities than are listed, one of them far below and one above all others.
    entities += [entity(f"crm_low{n}", industry="mining", country="CH", revenue=Decimal(n - 10**6)) for n in range(3)]
    entities += [entity("crm_high", industry="banks", country="CH", revenue=Decimal(10**9))]
    insert(database.loader, "entities", entities)
    for metric in MoneyMetric:
        for dimension in Dimension:
            for top_n in (1, 7, 100):
                got = ask(database.reader, "revenue_analysis", metric=metric, group_by=dimension, top_n=top_n)
                assert [tuple(row.values()) for row in got] == revenue_analysis(entities, metric, dimension, top_n)


def revenue_analysis(entities: Rows, metric: str, dimension: str, top_n: int) -> list[tuple[Any, ...]]:
    segments = grouped((row for row in alive(entities) if row[metric] is not None), dimension)
    totals = {segment: sum(row[metric] for row in rows) for (segment,), rows in segments.items()}
    expected: list[tuple[Any, ...]] = []
    for (segment,), rows in segments.items():
        place = 1 + sum(other > totals[segment] for other in totals.values())
        running = Fraction(0)
        for row in sorted(rows, key=lambda row: (-row[metric], row["canonical_id"]))[:top_n]:
            running += Fraction(row[metric])
            total = totals[segment]
            rank = 1 + sum(other[metric] > row[metric] for other in rows)
            shares = [rounded(part / Fraction(total)) if total else None for part in (Fraction(row[metric]), running)]
            known = (row["canonical_id"], row["name"], row[metric])
            expected.append((segment, place, len(rows), total, rank, *known, *shares))
    return sorted(expected, key=lambda row: (row[1], nulls_last(row[0])))


def test_revenue_analysis_lists_ties_by_id(database: FreshDatabase) -> None:
    insert(database.loader, "entities", [entity(f"crm_{n}", revenue=Decimal(5)) for n in range(300)])
    got = ask(database.reader, "revenue_analysis", top_n=2)
    assert columns(got, "canonical_id", "rank", "segment") == [("crm_0", 1, None), ("crm_1", 1, None)]


@pytest.mark.parametrize("seed", SEEDS)
def test_customer_analysis(database: FreshDatabase, seed: int) -> None:
    entities = some_entities(seed, 300)
    insert(database.loader, "entities", entities)
    for metric in CustomerMetric:
        for dimension in Dimension:
            for least in (1, 40):
                got = ask(database.reader, "customer_analysis", metric=metric, group_by=dimension, min_customers=least)
                assert [tuple(row.values()) for row in got] == customer_analysis(entities, metric, dimension, least)


def customer_analysis(entities: Rows, metric: str, dimension: str, least: int) -> list[tuple[Any, ...]]:
    customers = [row for row in alive(entities) if row["entity_type"] == "customer"]
    whole = sum(amounts(customers, metric))
    expected = []
    for (segment,), rows in grouped(customers, dimension).items():
        if len(rows) < least:
            continue
        values = amounts(rows, metric)
        total = sum(values) if values else None
        mean = rounded(Fraction(total) / len(values)) if total is not None else None
        share = rounded(Fraction(total) / Fraction(whole)) if total is not None and whole else None
        extremes = (min(values), max(values)) if values else (None, None)
        described = (len(rows), len(values), total, mean, median(values), *extremes)
        expected.append((segment, *described, rounded(Fraction(len(rows), len(customers))), share))
    return sorted(expected, key=lambda row: (row[3] is None, -(row[3] or 0), -row[1], nulls_last(row[0])))


def test_the_median_of_money_is_exact(database: FreshDatabase) -> None:
    large = Decimal("123456789012345678.01")  # a float would lose the cents
    insert(database.loader, "entities", [entity(f"crm_{n}", revenue=large + n) for n in range(2)])
    [got] = ask(database.reader, "customer_analysis", metric="revenue", group_by="source")
    assert (got["median"], got["total"]) == (Decimal("123456789012345678.51"), 2 * large + 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_count_analysis(database: FreshDatabase, seed: int) -> None:
    entities = some_entities(seed, 120)
    ids = [row["canonical_id"] for row in entities]
    pairs = {(ids[(n * 7) % 120], ids[(n * n) % 120]) for n in range(90)}
    days = [(ids[n % 50], date(2024, 1, 1 + n // 10)) for n in range(200)]
    insert(database.loader, "entities", entities)
    insert(database.loader, "entity_relationships", [edge(parent, child) for parent, child in pairs])
    insert(database.loader, "time_series_data", [point(each, day, Decimal(1)) for each, day in set(days)])
    here = {row["canonical_id"] for row in alive(entities)}
    ends = [end for pair in pairs if here.issuperset(pair) for end in set(pair)]
    counted = {
        "entities": list(here),
        "relationships": ends,
        "time_series_points": [i for i, _ in set(days) if i in here],
    }
    for metric, things in {**counted, "versions": []}.items():
        for dimension in Dimension:
            got = ask(database.reader, "count_analysis", metric=metric, group_by=dimension)
            assert [tuple(row.values()) for row in got] == count_analysis(entities, things, dimension)


def count_analysis(entities: Rows, things: list[str], dimension: str) -> list[tuple[Any, ...]]:
    expected = []
    for (segment,), rows in grouped(alive(entities), dimension).items():
        ids = {row["canonical_id"] for row in rows}
        count = sum(thing in ids for thing in things)
        having = len(ids.intersection(things))
        share = rounded(Fraction(count, len(things))) if things else None
        ratios = (rounded(Fraction(count, len(ids))), rounded(Fraction(having, len(ids))))
        expected.append((segment, len(ids), count, having, *ratios, share))
    return sorted(expected, key=lambda row: (-row[2], -row[1], nulls_last(row[0])))


NAMES = {"type": "entity_type", "industry": "industry", "region": "region"}


@pytest.mark.parametrize(
    ("timeframe", "dimensions"),
    [
        ("month", ["type", "industry", "region"]),
        ("quarter", ["region", "type"]),
        ("year", ["industry"]),
        ("week", ["region", "industry", "type"]),
    ],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_multi_dimensional_analytics(database: FreshDatabase, seed: int, timeframe: str, dimensions: list[str]) -> None:
    entities = some_entities(seed, 500)
    insert(database.loader, "entities", entities)
    got = ask(database.reader, "multi_dimensional_analytics", timeframe=timeframe, dimensions=dimensions)
    expected = multi_dimensional(entities, timeframe, dimensions, combinations_of(dimensions, "rollup"))
    assert [tuple(row.values()) for row in got] == expected


@pytest.mark.parametrize("dimensions", [["type", "industry", "region"], ["region", "type"], ["industry"]])
@pytest.mark.parametrize("seed", SEEDS[:2])
def test_every_combination(database: FreshDatabase, seed: int, dimensions: list[str]) -> None:
    entities = some_entities(seed, 300)
    insert(database.loader, "entities", entities)
    got = ask(database.reader, "multi_dimensional_analytics", dimensions=dimensions, subtotals="cube")
    expected = multi_dimensional(entities, "quarter", dimensions, combinations_of(dimensions, "cube"))
    assert [tuple(row.values()) for row in got] == expected


def test_growth_is_positive_where_it_goes_up(database: FreshDatabase) -> None:
    months = [datetime(2025, month, 5, tzinfo=UTC) for month in range(1, 6)]
    revenues = [Decimal(each) for each in (-100, -50, 50, -50, 0)]
    rows = [entity(f"crm_{n}", revenue=revenues[n], source_updated_at=month) for n, month in enumerate(months)]
    insert(database.loader, "entities", rows)
    got = ask(database.reader, "multi_dimensional_analytics", timeframe="month", dimensions=["type"])
    growths = [row["growth"] for row in got if row["grouped_by"] == ["period"]]
    assert growths == [None, *map(Decimal, ("0.5", "2", "-2", "1"))]


@pytest.mark.parametrize("subtotals", ["rollup", "cube"])
def test_many_groups_many_of_them_equal(database: FreshDatabase, subtotals: str) -> None:
    """Tiers go by what is greater: where hundreds of groups tie, or have no revenue, none of their equals may count."""
    entities = [
        {
            **row,
            "industry": f"industry {n % 250}",
            "revenue": row["revenue"] and Decimal(n % 7 * n % 5),
            "source_updated_at": datetime(2025, 1 + n % 2, 5, tzinfo=UTC),
        }
        for n, row in enumerate(some_entities(7, 800))
    ]
    insert(database.loader, "entities", entities)
    asked: dict[str, Any] = {"timeframe": "month", "dimensions": ["industry", "region"], "subtotals": subtotals}
    got = ask(database.reader, "multi_dimensional_analytics", **asked)
    expected = multi_dimensional(
        entities, "month", asked["dimensions"], combinations_of(asked["dimensions"], subtotals)
    )
    assert [tuple(row.values()) for row in got] == expected
    ties = Counter(row["revenue"] for row in got if row["level"] == 3)
    assert min(ties[None], *(ties[Decimal(each)] for each in range(5))) >= 40


def combinations_of(dimensions: list[str], subtotals: str) -> list[list[str]]:
    """What rows are broken down by, in the order of the answer."""
    names = ["period", *dimensions]
    if subtotals == "rollup":
        return [names[:n] for n in range(len(names) + 1)]
    all_bits = sorted(range(16), key=lambda bits: (4 - bits.bit_count(), bits))
    # As GROUPING counts: a bit is set where not grouped.
    chosen = [tuple(name for n, name in enumerate(names) if not bits & 8 >> n) for bits in all_bits]
    return [list(each) for each in dict.fromkeys(chosen)]


def begin_of(day: date, timeframe: str) -> date:
    match timeframe:
        case "week":
            return date.fromisocalendar(*day.isocalendar()[:2], 1)
        case "month":
            return day.replace(day=1)
        case "quarter":
            return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
        case _:
            return date(day.year, 1, 1)


def before(period: date, timeframe: str) -> date:
    return begin_of(date.fromordinal(period.toordinal() - 1), timeframe)


def multi_dimensional(
    entities: Rows, timeframe: str, dimensions: list[str], combinations: list[list[str]]
) -> list[tuple[Any, ...]]:
    """The rows of each combination of period and dimensions, in the order of the combinations."""
    rows = [
        {**row, "period": begin_of(row["source_updated_at"].astimezone(UTC).date(), timeframe)}
        for row in alive(entities)
    ]
    expected = []
    totals: dict[Any, Decimal | None] = {}
    for combination in sorted(combinations, key=len):
        groups = grouped(rows, *(NAMES.get(name, name) for name in combination))
        revenue = {key: total(group) for key, group in groups.items()}
        cells = []
        for key, group in groups.items():
            shown = dict(zip(combination, key, strict=True))
            period, values, own = shown.get("period"), sorted(amounts(group, "revenue")), revenue[key]
            if combination == ["period"]:
                totals[period] = own
            whole = totals[period] if period and len(combination) > 1 else total(rows)
            earlier = revenue.get((before(period, timeframe), *key[1:])) if period else None
            siblings = [r for k, r in revenue.items() if r is not None and (not period or k[0] == period)]
            cells.append(
                (
                    *(len(combination), combination, period),
                    *(shown.get(name) for name in NAMES),
                    *(len(group), own, rounded(Fraction(own) / len(values)) if own is not None else None),
                    *(median(values), values[-(-9 * len(values) // 10) - 1] if values else None),
                    rounded(Fraction(own - earlier) / Fraction(abs(earlier))) if own is not None and earlier else None,
                    rounded(Fraction(own) / Fraction(whole)) if own is not None and whole else None,
                    tier(own, whole, siblings) if own is not None and set(combination) - {"period"} else None,
                )
            )
        cells.sort(key=lambda cell: nulls_last(cell[2], *(cell[3 + list(NAMES).index(d)] for d in dimensions)))
        expected += cells
    return expected


def total(rows: Rows) -> Decimal | None:
    values = amounts(rows, "revenue")
    return sum(values, Decimal(0)) if values else None


def tier(own: Decimal, whole: Decimal | None, siblings: list[Decimal]) -> str | None:
    if not whole or whole < 0:
        return None
    greater = Fraction(sum(each for each in siblings if each > own)) / Fraction(whole)
    return "A" if greater < Fraction(80, 100) else "B" if greater < Fraction(95, 100) else "C"


def test_simple_demo(database: FreshDatabase) -> None:
    entities = some_entities(5, 200)
    insert(database.loader, "entities", entities)
    expected = []
    for (source, kind), rows in sorted(grouped(alive(entities), "source", "entity_type").items()):
        revenue = amounts(rows, "revenue")
        latest = max(row["source_updated_at"] for row in rows)
        totals = (sum(revenue), int(sum(amounts(rows, "employees"))))
        expected.append((source, kind, len(rows), len(revenue), *totals, latest))
    assert [tuple(row.values()) for row in ask(database.reader, "simple_demo")] == expected


def test_database_info(database: FreshDatabase) -> None:
    insert(database.loader, "entities", [entity("crm_1"), entity("crm_2"), entity("crm_3", deleted=True)])
    insert(database.loader, "entity_relationships", [edge("crm_1", "crm_2"), edge("crm_1", "crm_3")])
    insert(database.loader, "time_series_data", [point("crm_1", date(2024, m, 1), Decimal(1)) for m in (1, 2, 3)])
    got = {row["table_name"]: row for row in ask(database.reader, "database_info")}
    assert {name: row["row_count"] for name, row in got.items()} == {
        "entities": 2,
        "entity_relationships": 1,
        "entity_versions": 0,
        "objects": 0,
        "time_series_data": 3,
        **{"object_columns": 0, "reject_counts": 0, "snapshots": 0, "data_version": 1, "schema_version": 1},
    }
    assert {name: frozenset(row["column_names"]) for name, row in got.items()} == RELATIONS
    for row in got.values():
        assert len(row["column_names"]) == len(row["column_types"]) == row["column_count"]
        assert row["bytes"] > 0
    types = dict(zip(got["entities"]["column_names"], got["entities"]["column_types"], strict=True))
    assert (types["revenue"], types["attributes"], types["employees"]) == ("numeric", "jsonb", "bigint")
    # Three partitions, each with a page of rows and one of its index at the least.
    assert got["time_series_data"]["bytes"] >= 3 * 2 * 8192
    assert all(len(row["schema_version"]) == len("20261101000001") for row in got.values())


@pytest.mark.parametrize(
    "name", sorted({each.name for each in BUILT_IN} - {"database_info", "relationship_network", "custom_complex_query"})
)
def test_an_empty_database_gives_columns_and_no_rows(database: FreshDatabase, name: str) -> None:
    assert ask(database.reader, name) == []
