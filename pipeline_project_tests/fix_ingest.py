"""What tests of ingestion share: a landing bucket, a look into the tables, and source systems that are other than they are."""

import dataclasses
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest

from pipeline_project.datasets.entities import Entity
from pipeline_project.ingest.loading import snapshots, worker
from pipeline_project.ingest.rejects import rejected_rows as quarantine
from pipeline_project.schema.fields import Label, aliased
from pipeline_project.sources import registry
from pipeline_project.sources.legacy import SOURCE as LEGACY
from pipeline_project.sources.source import Source
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing


class Rows:
    """Queries of one test, as the superuser."""

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
        self._connection = connection

    def __call__(self, statement: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement.encode()).fetchall()


@pytest.fixture
def rows(database: FreshDatabase) -> Iterator[Rows]:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        yield Rows(connection)


@pytest.fixture
def landing() -> Landing:
    return Landing()


def register(monkeypatch: pytest.MonkeyPatch, *changed: Source) -> None:
    """Other source systems than there are."""
    known = {**registry.sources(), **{source.name: source for source in changed}}
    for module in (registry, worker, quarantine, snapshots):
        monkeypatch.setattr(module, "sources", lambda: known)


class Titled(Entity):
    """A mapping that was mended: it knows what the source calls a name and a time."""

    name: Label | None = aliased("name", "title")
    updated_at: datetime | None = aliased("updated_at", "changed")


LENIENT = dataclasses.replace(LEGACY, reject_threshold=0.9)
MENDED = dataclasses.replace(LENIENT, records=(Titled,))
