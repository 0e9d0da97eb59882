"""Rows that a check shows: the worst first, and rows that are equally bad in the order of their names."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg

from pipeline_project_tests.fix_checks import Found, Writer
from pipeline_project_tests.fix_postgres import FreshDatabase


def test_the_oldest_waiting_object_is_first_and_of_equal_ones_that_with_the_lower_id(
    write: Writer, found: Found, database: FreshDatabase
) -> None:
    late = datetime.now(UTC) - timedelta(hours=1)
    for key in ("a", "b", "c"):
        write.object(key, state="discovered", discovered_at=late)
    write.object("older", state="discovered", discovered_at=late - timedelta(seconds=1))
    with psycopg.connect(database.admin) as connection:  # written again, the first row is the last of the table
        connection.execute("UPDATE ingest.objects SET size = 2 WHERE key = 'a'")
    assert found("objects_do_not_wait", "key") == ["older", "a", "b", "c"]


def test_folders_with_most_objects_are_first_and_then_by_name(write: Writer, found: Found) -> None:
    latest = datetime.now(UTC)
    for folder, number in (("z", 1), ("b", 2), ("a", 2), ("y", 3)):
        for each in range(number):
            discovered = latest - timedelta(hours=each)
            write.object(f"{folder}/{each}", state="unroutable", discovered_at=discovered)
    assert found("objects_have_a_source", "folder") == ["y", "a", "b", "z"]
    assert found("objects_have_a_source", "latest") == [latest] * 4


def test_ids_with_most_entities_are_first_then_by_source_and_id(write: Writer, found: Found) -> None:
    for source, ids in (("erp", ("b", "B", "a", "A")), ("crm", ("z", "Z", " z", "d", "D")), ("legacy", ("e", "E"))):
        for each in ids:
            write.entity(f"{source}_{each}", source=source)
    assert found("entities_unique", "same_id") == ["z", "d", "a", "b", "e"]
    assert found("entities_unique", "entities") == [3, 2, 2, 2, 2]
    assert found("entities_unique", "canonical_ids")[3] == ["erp_B", "erp_b"]


def test_attributes_that_are_missing_most_are_first_then_by_source_and_name(write: Writer, found: Found) -> None:
    full = {"industry": "Steel", "country": "DE", "revenue": 1}
    for source in ("erp", "crm"):
        for number in range(3):
            lacks = {"country": None, "industry": None} if number else {}
            write.entity(f"{source}_{number}", source=source, **{**full, **lacks})
    write.entity("legacy_1", source="legacy", **{**full, "revenue": None})
    shown = list(zip(*(found("entities_complete", name) for name in ("source", "attribute", "share")), strict=True))
    two_thirds = Decimal("0.667")
    assert shown == [
        ("legacy", "revenue", 1),
        *(("crm", each, two_thirds) for each in ("country", "industry")),
        *(("erp", each, two_thirds) for each in ("country", "industry")),
    ]


def test_the_largest_disagreement_is_first_then_by_ids(write: Writer, found: Found) -> None:
    for name, ids, revenues in (
        ("A", ("crm_2", "erp_2", "legacy_2"), (100, 50, 50)),
        ("B", ("crm_1", "erp_1"), (100, 50)),
        ("C", ("crm_3", "erp_3"), (100, 10)),
    ):
        for canonical_id, revenue in zip(reversed(ids), reversed(revenues), strict=True):
            source = canonical_id.partition("_")[0]
            write.entity(canonical_id, source=source, name=name, revenue=revenue, country="DE")
    check = "entities_agree_across_sources"
    pairs = list(zip(found(check, "canonical_id"), found(check, "other_id"), strict=True))
    assert pairs == [("crm_3", "erp_3"), ("crm_1", "erp_1"), ("crm_2", "erp_2"), ("crm_2", "legacy_2")]


def test_sources_with_most_rejects_are_first_then_by_source_and_dataset(write: Writer, found: Found) -> None:
    for source, dataset, rejects in (
        ("erp", "metrics", 2),
        ("erp", "entities", 2),
        ("crm", "metrics", 2),
        ("x", "y", 3),
    ):
        object_id = write.object(f"{source}/{dataset}", source=source, dataset=dataset, records=70)
        for ordinal in range(rejects):
            write.reject(object_id, ordinal, source=source, dataset=dataset)
    shown = list(zip(*(found("rejects_are_few", name) for name in ("source", "dataset", "share")), strict=True))
    assert shown == [
        ("x", "y", Decimal("0.0429")),
        ("crm", "metrics", Decimal("0.0286")),
        ("erp", "entities", Decimal("0.0286")),
        ("erp", "metrics", Decimal("0.0286")),
    ]


def test_entities_with_most_metrics_are_first_then_by_id(write: Writer, found: Found) -> None:
    for canonical_id, number in (("crm_c", 1), ("crm_b", 2), ("crm_a", 2)):
        for each in range(number):
            write.metric(canonical_id, metric_type=f"type {each}")
    assert found("metrics_have_entities", "canonical_id") == ["crm_a", "crm_b", "crm_c"]


def test_objects_that_ended_last_are_first_then_by_id(write: Writer, found: Found, database: FreshDatabase) -> None:
    now = datetime.now(UTC)
    first = write.object("first", records=1, finished_at=now)
    second = write.object("second", records=1, finished_at=now)
    third = write.object("third", records=1, finished_at=now + timedelta(seconds=1))
    with psycopg.connect(database.admin) as connection:
        connection.execute("UPDATE ingest.objects SET size = 2 WHERE object_id = %s", (first,))
    assert found("objects_add_up", "object_id") == [third, first, second]


def test_entities_of_unknown_objects_and_damaged_histories_are_in_the_order_of_their_ids(
    write: Writer, found: Found
) -> None:
    for canonical_id in ("crm_b", "crm_a", "crm_c"):
        write.entity(canonical_id, object_id=10**9)
    assert found("entities_from_known_objects", "canonical_id") == ["crm_a", "crm_b", "crm_c"]
    for entity_id in (103, 101, 102):
        write.current(entity_id, 2, 1)
    assert found("entity_versions_are_gapless", "entity_id") == [101, 102, 103]


def test_relationships_that_wait_longest_are_first(write: Writer, found: Found) -> None:
    late = datetime.now(UTC) - timedelta(days=2)
    for parent, hours in (("crm_b", 2), ("crm_c", 1), ("crm_a", 3)):
        write.relationship(parent, "crm_x", created_at=late - timedelta(hours=hours))
    assert found("relationships_have_ends", "parent_canonical_id") == ["crm_a", "crm_b", "crm_c"]
