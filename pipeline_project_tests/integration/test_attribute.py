"""One attribute more on a loaded database: no entity is changed by it, and its value arrives everywhere."""

from collections.abc import Iterator

import msgspec
import pytest

from pipeline_project.canonical.difference import difference
from pipeline_project.canonical.relations import analytics_views
from pipeline_project.datasets import registry
from pipeline_project.datasets.entities import ENTITIES
from pipeline_project.ingest.mapping.mappers import mapper_for
from pipeline_project.schema import templates
from pipeline_project_tests.declared_datasets import ENTITIES_WITH_NICKNAMES
from pipeline_project_tests.fix_ingest import Rows
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing, ingest

EXPORT = [
    {"id": 1, "name": "A", "revenue": 10, "updated_at": "2024-01-01", "colour": "red"},
    {"id": 2, "name": "B", "region": "EMEA", "updated_at": "2024-01-01"},
    {"id": 3, "_deleted": True, "updated_at": "2024-01-01"},
    {"id": 4, "name": "D", "total_orders": 7, "updated_at": "2024-01-01"},
]
STORED = "SELECT entity_id, version, name, updated_at FROM canonical.entities ORDER BY canonical_id"
HASHES = "SELECT content_hash FROM canonical.entities"
CACHES = (registry.datasets, templates.statement, templates._values, mapper_for)  # pyright: ignore[reportPrivateUsage]


def forget() -> None:
    """Let everything that is derived from the declaration be derived again."""
    for each in CACHES:
        each.cache_clear()


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """At the end, the declaration is again what it was."""
    with monkeypatch.context() as patch:
        yield patch
    forget()


def add_nickname(database: FreshDatabase, declare: pytest.MonkeyPatch) -> None:
    """What an engineer does: one line in the declaration, and the migration that follows from it."""
    others = tuple(each for each in registry.BUILT_IN if each != ENTITIES)
    declare.setattr(registry, "BUILT_IN", (ENTITIES_WITH_NICKNAMES, *others))
    forget()
    with database.owner.connect() as connection:
        assert difference(connection, registry.datasets().values()).by_hand == []
        connection.commit()


def test_no_entity_is_changed_if_the_new_mapping_reads_each_record_again(
    database: FreshDatabase, landing: Landing, rows: Rows, declare: pytest.MonkeyPatch
) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", EXPORT))
    rows("UPDATE canonical.entities SET mapping_version = 0 RETURNING 1")
    before, hashes = rows(STORED), rows(HASHES)
    add_nickname(database, declare)
    # Other bytes, so that no probe finds the records.
    spaced = msgspec.json.format(msgspec.json.encode(EXPORT), indent=2)
    ingest(database.loader, landing, landing.put("legacy-data/b", spaced))
    assert rows(STORED) == before
    assert rows("SELECT count(*) FROM canonical.entity_versions") == [(0,)]
    assert not {*rows(HASHES)} & {*hashes}, (
        "the hash of the new mapping is stored, so that later records need no comparison"
    )
    changed = [{**record, "updated_at": "2024-02-01", "region": "APAC"} for record in EXPORT]
    ingest(database.loader, landing, landing.put("legacy-data/c", changed))
    assert rows("SELECT DISTINCT version, region FROM canonical.entities") == [(2, "APAC")]


LATE = [{**record, "updated_at": "2023-06-01"} for record in EXPORT]
"""The same companies half a year before: the state is valid from then on."""


@pytest.mark.parametrize("fills_the_gap", [False, True])
def test_a_late_row_of_the_new_mapping_confirms_a_state_that_the_old_one_read(
    database: FreshDatabase, landing: Landing, rows: Rows, declare: pytest.MonkeyPatch, fills_the_gap: bool
) -> None:
    """The hashes differ, since there is a column more. The states do not, so no version begins between them."""
    other = [{**record, "name": "before", "updated_at": "2022-01-01"} for record in EXPORT]
    if fills_the_gap:
        ingest(database.loader, landing, landing.put("legacy-data/before", other))
    ingest(database.loader, landing, landing.put("legacy-data/a", EXPORT))
    rows("UPDATE canonical.entities SET mapping_version = 0 RETURNING 1")
    rows("UPDATE canonical.entity_versions SET mapping_version = 0 RETURNING 1")
    before = rows("SELECT entity_id, version, name, updated_at FROM canonical.entities ORDER BY canonical_id")
    add_nickname(database, declare)
    outcome = ingest(database.loader, landing, landing.put("legacy-data/late", LATE))["legacy-data/late"]
    assert (outcome.updated, outcome.stale) == (0, len(LATE))
    assert rows(STORED) == before
    assert rows("SELECT DISTINCT source_updated_at::date::text FROM canonical.entities") == [("2023-06-01",)]
    assert rows("SELECT count(*) FROM canonical.entity_versions") == [(len(other) if fills_the_gap else 0,)]
    assert rows("SELECT count(*) FROM canonical.entity_confirmations") == [(len(EXPORT),)]
    # A late row that says something else is a version of its own, as before.
    changed = [{**record, "region": "APAC", "updated_at": "2023-09-01"} for record in EXPORT]
    ingest(database.loader, landing, landing.put("legacy-data/changed", changed))
    assert rows(
        "SELECT DISTINCT version, region IS NOT DISTINCT FROM 'EMEA' FROM canonical.entities ORDER BY 1, 2"
    ) == [
        (4 if fills_the_gap else 3, False),
        (4 if fills_the_gap else 3, True),
    ]


def test_no_entity_is_changed_by_an_attribute_and_its_value_arrives_everywhere(
    database: FreshDatabase, landing: Landing, rows: Rows, declare: pytest.MonkeyPatch
) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", EXPORT))
    before = rows(STORED)
    assert len(before) == len(EXPORT)
    add_nickname(database, declare)
    ingest(database.loader, landing, landing.put("legacy-data/b", EXPORT))
    assert rows(STORED) == before

    retail = {**EXPORT[0], "nickname": "retail", "updated_at": "2024-02-01"}
    public = {**retail, "nickname": "public", "updated_at": "2024-03-01"}
    for name, record in (("c", retail), ("d", public)):
        ingest(database.loader, landing, landing.put(f"legacy-data/{name}", [record]))
    assert rows("SELECT nickname, attributes FROM canonical.entities WHERE canonical_id = 'legacy_1'") == [
        ("public", {"colour": "red"})
    ]
    with database.reader.connect() as connection:
        history = "SELECT version, nickname FROM analytics.entity_versions ORDER BY version"
        assert connection.execute(history).fetchall() == [(1, None), (2, "retail")]
        current = "SELECT canonical_id FROM analytics.entities WHERE nickname = 'public'"
        assert connection.execute(current).fetchall() == [("legacy_1",)]
    views = analytics_views(registry.datasets().values())
    assert all("nickname" in {each.name for each in views[name].columns} for name in ("entities", "entity_versions"))
