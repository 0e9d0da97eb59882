"""Rows for the checks of sql/checks/, sound or damaged, and what a check finds."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from pipeline_project.canonical.checks import checks, run
from pipeline_project_tests.fix_postgres import FreshDatabase

CHECKS = {check.name: check for check in checks()}
LOADED = ("loaded", "loaded_with_rejects")
NOT_LOADED = ("discovered", "claimed", "failed", "unroutable", "superseded")
BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
HASH = "00000000-0000-0000-0000-000000000001"
POSITION = {"source_updated_at": BEGINNING, "object_modified_at": BEGINNING, "object_id": 1, "ordinal": 1}
STATE = {"entity_type": "customer", "deleted": False, "name": "Company", "attributes": Jsonb({}), "quality_score": 1}
ENTITY = {
    **POSITION,
    **STATE,
    "source": "crm",
    "mapping_version": 1,
    "record_digest": HASH,
    "content_hash": HASH,
    "version": 1,
}


class Writer:
    """Writes rows as the superuser. What a test does not say is as in a sound row."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection = connection
        self._objects = 0

    def insert(self, schema: str, table: str, **values: Any) -> None:
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(schema, table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        self._connection.execute(statement, list(values.values()))

    def object(self, key: str, **values: Any) -> int:
        """An object of the ledger; its id."""
        self._objects += 1
        object_id = self._objects
        given = {
            **{"bucket": "b", "version": key, "versioned": True, "size": 1, "discovered_by": "event"},
            **{"source": "crm", "dataset": "entities", "state": "loaded", "finished_at": datetime.now(UTC)},
            **values,
        }
        if given["state"] == "claimed":
            given |= {"claimed_by": "worker", "claim_expires_at": datetime.now(UTC)}
        self.insert("ingest", "objects", object_id=object_id, key=key, **given)
        return object_id

    def reject(self, object_id: int, ordinal: int, **values: Any) -> None:
        given = {
            **{"source": "crm", "dataset": "entities", "raw": b"{}", "raw_complete": True, "errors": Jsonb([])},
            **{"source_updated_at": BEGINNING, "object_modified_at": BEGINNING, "mapping_version": 1},
            **values,
        }
        self.insert("ingest", "rejects", object_id=object_id, ordinal=ordinal, **given)

    def entity(self, canonical_id: str, **values: Any) -> None:
        self.insert("canonical", "entities", canonical_id=canonical_id, **{**ENTITY, **values})

    def version(self, entity_id: int, version: int, begins: int, ends: int, **values: Any) -> None:
        """A version of an entity from one day to another."""
        given = {key: value for key, value in ENTITY.items() if key != "source"} | {
            **{"version": version, "source_updated_at": day(begins), "valid_to": day(ends)},
            **values,
        }
        self.insert("canonical", "entity_versions", entity_id=entity_id, **given)

    def current(self, entity_id: int, version: int, begins: int) -> None:
        self._connection.execute(
            "INSERT INTO canonical.entities (entity_id, canonical_id, version, source_updated_at, source, entity_type,"
            " deleted, name, attributes, object_modified_at, object_id, ordinal, mapping_version, record_digest,"
            " content_hash, quality_score) OVERRIDING SYSTEM VALUE"
            " VALUES (%s, %s, %s, %s, 'crm', 'customer', false, 'Company', '{}', %s, 1, 1, 1, %s, %s, 1)",
            (entity_id, f"crm_{entity_id}", version, day(begins), BEGINNING, HASH, HASH),
        )

    def relationship(self, parent: str, child: str, **values: Any) -> None:
        given = {
            **{"relationship_type": "owns", "valid_from": BEGINNING.date(), "source": "crm", "deleted": False},
            **{"attributes": Jsonb({}), "content_hash": HASH},
            **POSITION,
            **values,
        }
        self.insert("canonical", "entity_relationships", parent_canonical_id=parent, child_canonical_id=child, **given)

    def metric(self, canonical_id: str, **values: Any) -> None:
        self._connection.execute("SELECT canonical.ensure_month_partitions(%s)", ([BEGINNING.date()],))
        given = {
            **{"metric_type": "sales", "metric_date": BEGINNING.date(), "value": 1, "tags": Jsonb({})},
            **{"source": "crm", "deleted": False, "content_hash": HASH},
            **POSITION,
            **values,
        }
        self.insert("canonical", "time_series_data", canonical_id=canonical_id, **given)


def day(number: int) -> datetime:
    return BEGINNING + timedelta(days=number)


@pytest.fixture
def write(database: FreshDatabase) -> Iterator[Writer]:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        yield Writer(connection)


Found = Callable[[str, str], list[Any]]


@pytest.fixture
def found(database: FreshDatabase) -> Found:
    def find(check: str, column: str) -> list[Any]:
        """The values of that column in the rows that the check finds, in their order."""
        finding = run(database.loader, CHECKS[check])
        return [row[finding.columns.index(column)] for row in finding.rows]

    return find
