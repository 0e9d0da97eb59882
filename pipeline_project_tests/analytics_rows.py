"""Rows for the analytics tests, put straight into the canonical tables, and what an operation answers as plain dicts.

The oracles of those tests work on the same rows in Python, with fractions: exact, and sharing nothing with the SQL.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from pipeline_project.analytics.catalogue import operation
from pipeline_project.analytics.execution import execute
from pipeline_project.database import Database

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
NO_HASH = "00000000-0000-0000-0000-000000000000"
POSITION = {
    "source_updated_at": EPOCH,
    "object_modified_at": EPOCH,
    "object_id": 1,
    "ordinal": 1,
    "content_hash": NO_HASH,
}


def entity(canonical_id: str, **fields: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(("status", "industry", "region", "country", "customer_tier", "revenue", "employees")),
        **dict.fromkeys(("lifetime_value", "total_spent", "total_orders")),
        **POSITION,
        "canonical_id": canonical_id,
        "source": canonical_id.partition("_")[0],
        "entity_type": "customer",
        "deleted": False,
        "name": f"Name of {canonical_id}",
        "attributes": {},
        "mapping_version": 1,
        "quality_score": 1,
        "record_digest": NO_HASH,
        "version": 1,
        **fields,
    }


def edge(parent: str, child: str, **fields: Any) -> dict[str, Any]:
    return {
        **POSITION,
        "parent_canonical_id": parent,
        "child_canonical_id": child,
        "relationship_type": "owns",
        "valid_from": date(2020, 1, 1),
        "valid_to": None,
        "source": "crm",
        "deleted": False,
        "attributes": {},
        **fields,
    }


def point(canonical_id: str, day: date, value: Decimal | None, **fields: Any) -> dict[str, Any]:
    return {
        **POSITION,
        "canonical_id": canonical_id,
        "metric_type": "revenue",
        "metric_date": day,
        "value": value,
        "quality": 1,
        "tags": {},
        "source": canonical_id.partition("_")[0],
        "deleted": False,
        **fields,
    }


def insert(database: Database, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put rows into `canonical.<table>` as the role of `database`, which may write there."""
    if not rows:
        return
    names = list(rows[0])
    with database.connect() as connection:
        if table == "time_series_data":
            days = [row["metric_date"] for row in rows]
            connection.execute("SELECT canonical.ensure_month_partitions(%s::date[])", (days,))
        copy = sql.SQL("COPY canonical.{} ({}) FROM STDIN").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, names))
        )
        with connection.cursor().copy(copy) as target:
            for row in rows:
                target.write_row([Jsonb(row[name]) if isinstance(row[name], dict) else row[name] for name in names])


def ask(reader: Database, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """All rows of an operation, as dicts."""
    asked = operation(name)
    with execute(reader, asked, asked.validate(parameters), timeout_seconds=60) as rows:
        names = [column.name for column in rows.columns]
        return [dict(zip(names, row, strict=True)) for batch in rows for row in batch]


def columns(rows: Iterable[Mapping[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def rounded(value: Fraction | Decimal | int | None, places: int = 6) -> Decimal | None:
    """As PostgreSQL rounds numerics: half away from zero."""
    if value is None:
        return None
    value = Fraction(value)
    scaled = Decimal(value.numerator * 10 ** (places + 20) // value.denominator).scaleb(-(places + 20))
    return scaled.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def median(values: Sequence[Decimal]) -> Decimal | None:
    if not values:
        return None
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def some_entities(seed: int, count: int) -> list[dict[str, Any]]:
    """Generated entities with what makes trouble: nulls in every dimension and amount, ties, tombstones, zeros, losses."""
    chance = random.Random(seed)

    def amount(nulls: float) -> Decimal | None:
        if chance.random() < nulls:
            return None
        return Decimal(chance.choice([0, 100, 100, -5000, chance.randrange(10**8)])) / 100

    def one_of(*choices: str) -> str | None:
        return chance.choice([*choices, None])

    return [
        entity(
            f"{chance.choice(['crm', 'erp'])}_{number}",
            entity_type=chance.choice(["customer", "customer", "supplier"]),
            deleted=chance.random() < 0.1,
            industry=one_of("energy", "food", "steel"),
            region=one_of("north", "south"),
            country=one_of("DE", "FR"),
            customer_tier=one_of("gold", "silver"),
            status=one_of("active"),
            revenue=amount(0.2),
            lifetime_value=amount(0.5),
            total_spent=amount(0.1),
            total_orders=chance.choice([None, 0, 1, 7]),
            employees=chance.choice([None, 1, 50, 2**40]),
            source_updated_at=EPOCH - timedelta(days=chance.randrange(800), hours=chance.randrange(24)),
        )
        for number in range(count)
    ]


def alive(entities: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (each for each in entities if not each["deleted"])


def grouped(rows: Iterable[dict[str, Any]], *names: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def nulls_last(*values: Any) -> tuple[tuple[bool, Any], ...]:
    """A sort key in which None comes last."""
    return tuple((value is None, "" if value is None else value) for value in values)
