"""Each check of sql/checks/ finds what it is about, and leaves out each row that one of its conditions excludes.

Every test writes damaged rows beside sound ones that differ in one condition only, at the bound and one step beyond.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from pipeline_project_tests.fix_checks import BEGINNING, HASH, LOADED, NOT_LOADED, Found, Writer
from pipeline_project_tests.fix_postgres import FreshDatabase

# ---- the ledger


def test_objects_wait_too_long_after_a_quarter_of_an_hour(write: Writer, found: Found) -> None:
    now = datetime.now(UTC)
    late, soon = now - timedelta(minutes=15, seconds=1), now - timedelta(minutes=14)
    write.object("late", state="discovered", discovered_at=late)
    write.object("later", state="claimed", discovered_at=late + timedelta(milliseconds=1))
    write.object("soon", state="discovered", discovered_at=soon)
    write.object("soon in work", state="claimed", discovered_at=soon)
    # An operator put it back. It was discovered long ago, and its rows stay meanwhile.
    write.object("replayed", state="discovered", discovered_at=late, replayed=True)
    for state in (*LOADED, "failed", "unroutable", "superseded"):
        write.object(state, state=state, discovered_at=late)
    assert found("objects_do_not_wait", "key") == ["late", "later"]


def test_objects_without_a_source_are_counted_by_folder(write: Writer, found: Found) -> None:
    write.object("twice/1", state="unroutable", size=2)
    write.object("twice/2/deep", state="unroutable", size=3)
    write.object("once/1", state="unroutable")
    for state in (*LOADED, "discovered", "claimed", "failed", "superseded"):
        write.object(f"known/{state}", state=state)
    assert found("objects_have_a_source", "folder") == ["twice", "once"]
    assert found("objects_have_a_source", "objects") == [2, 1]
    assert found("objects_have_a_source", "bytes") == [5, 1]


COUNTS = ("inserted", "updated", "unchanged", "stale")


def test_every_record_of_a_loaded_object_is_accounted_for(write: Writer, found: Found) -> None:
    for count in COUNTS:
        write.object(f"sound {count}", records=2, **{count: 2})
    sound = write.object("sound rejects", state="loaded_with_rejects", records=3, inserted=1, rejected=2)
    write.reject(sound, 1)
    write.reject(sound, 2)
    missing = {write.object(state, state=state, records=3, inserted=2) for state in LOADED}
    missing.add(write.object("one too many", records=1, inserted=2))
    for state in NOT_LOADED:
        write.object(f"not loaded {state}", state=state, records=3)
    assert set(found("objects_add_up", "object_id")) == missing


def test_every_reject_that_was_counted_is_kept(write: Writer, found: Found) -> None:
    kept = write.object("kept", state="loaded_with_rejects", records=2, rejected=2)
    lost = write.object("lost", state="loaded_with_rejects", records=2, rejected=2)
    none = write.object("none", state="loaded_with_rejects", records=1, rejected=1)
    # A replay with a better mapping rejects fewer rows. Those of before stay, as resolved.
    better = write.object("better", records=2, inserted=1, rejected=1)
    for object_id, number in ((kept, 2), (lost, 1), (better, 2)):
        for ordinal in range(number):
            write.reject(object_id, ordinal)
    assert set(found("objects_add_up", "object_id")) == {lost, none}
    assert sorted(found("objects_add_up", "kept")) == [0, 1]


def test_rejects_are_too_many_above_one_in_a_hundred(write: Writer, found: Found) -> None:
    now = datetime.now(UTC)
    edge = now - timedelta(days=7)
    for source, rejects in (("many", 2), ("bound", 1)):
        object_id = write.object(source, source=source, records=100)
        for ordinal in range(rejects):
            write.reject(object_id, ordinal, source=source)
    # Two rejects of 100 rows each, of which only one is open, or only one is of this week.
    for status in ("resolved", "superseded", "discarded"):
        object_id = write.object(status, source=status, records=100)
        write.reject(object_id, 1, source=status)
        write.reject(object_id, 2, source=status, status=status, settled_at=now)
    object_id = write.object("old reject", source="old reject", records=100)
    write.reject(object_id, 1, source="old reject")
    write.reject(object_id, 2, source="old reject", created_at=edge - timedelta(minutes=1))
    # Rows of last week, and rows that were not loaded, do not make the share smaller.
    for source, state, finished_at in (
        ("old rows", "loaded", edge - timedelta(minutes=1)),
        ("failed rows", "failed", now),
    ):
        object_id = write.object(f"{source} 1", source=source, records=100)
        write.object(f"{source} 2", source=source, state=state, records=900, finished_at=finished_at)
        write.reject(object_id, 1, source=source)
        write.reject(object_id, 2, source=source)
    # Rows that are nearly a week old count.
    object_id = write.object("week 1", source="week", records=100)
    write.object("week 2", source="week", records=100, state=LOADED[1], finished_at=edge + timedelta(minutes=1))
    write.reject(object_id, 1, source="week")
    write.reject(object_id, 2, source="week", created_at=edge + timedelta(minutes=1))
    # So do rejects that are nearly a week old.
    object_id = write.object("week of rejects", source="week of rejects", records=100)
    write.reject(object_id, 1, source="week of rejects")
    write.reject(object_id, 2, source="week of rejects", created_at=edge + timedelta(minutes=1))
    # Each dataset is judged by itself.
    write.object("metrics", source="many", dataset="metrics", records=1_000)
    assert found("rejects_are_few", "source") == ["failed rows", "many", "old rows", "week of rejects"]


NOON = time(12, tzinfo=UTC)


def days_ago(number: int) -> datetime:
    """Noon of that day in UTC."""
    return datetime.combine(datetime.now(UTC).date() - timedelta(days=number), NOON)


def deliver(write: Writer, source: str, days: "range | list[int]", records: int, **values: Any) -> None:
    for number in days:
        key = f"{source} {values.get('dataset', '')} {number} {values.get('state', '')}"
        write.object(key, **{"source": source, "records": records, "finished_at": days_ago(number), **values})


def test_a_day_drifts_below_a_fifth_or_above_five_times_the_median(write: Writer, found: Found) -> None:
    for source, yesterday in (("fifth", 20), ("less", 19), ("five times", 500), ("more", 501), ("same", 100)):
        deliver(write, source, range(2, 9), 100)
        deliver(write, source, [1], yesterday)
    deliver(write, "nothing", range(2, 9), 100)
    # Six days are too few to know what is usual.
    deliver(write, "new", range(2, 8), 100)
    assert found("counts_do_not_drift", "source") == ["less", "more", "nothing"]
    assert found("counts_do_not_drift", "records") == [19, 501, 0]
    assert set(found("counts_do_not_drift", "days")) == {7}


def test_the_judged_day_is_yesterday_and_no_part_of_what_is_usual(write: Writer, found: Found) -> None:
    # Six days before yesterday: with yesterday they would be seven, with today too.
    deliver(write, "six", range(2, 8), 100)
    deliver(write, "six", [1, 0], 1)
    # Today is not over, and is not judged.
    deliver(write, "today", range(1, 9), 100)
    deliver(write, "today", [0], 1)
    # Half of yesterday's rows are not in the median: 100 is usual, not the 600 of yesterday.
    deliver(write, "yesterday", range(2, 9), 100)
    deliver(write, "yesterday", [1], 600)
    assert found("counts_do_not_drift", "source") == ["yesterday"]
    assert found("counts_do_not_drift", "median") == [100]


def test_what_is_usual_is_that_of_four_whole_weeks_in_utc(write: Writer, found: Found) -> None:
    """A part of a day would be taken for a day with few rows."""
    deliver(write, "four weeks", [2, 3, 4, 5, 6, 7, 29], 100)
    deliver(write, "older", [2, 3, 4, 5, 6, 7, 30], 100)
    first = datetime.combine(datetime.now(UTC).date() - timedelta(days=29), time(0, tzinfo=UTC))
    deliver(write, "first moment", [2, 3, 4, 5, 6, 7], 100)
    write.object("first moment", source="first moment", records=100, finished_at=first)
    last = first - timedelta(microseconds=1)
    deliver(write, "moment before", [2, 3, 4, 5, 6, 7], 100)
    write.object("moment before", source="moment before", records=100, finished_at=last)
    assert found("counts_do_not_drift", "source") == ["first moment", "four weeks"]


@pytest.mark.parametrize(
    ("zone", "usual_hour", "delivered"),
    [
        ("Pacific/Kiritimati", 6, time(23, 59, tzinfo=UTC)),  # there it is tomorrow
        ("Etc/GMT+12", 18, time(0, tzinfo=UTC)),  # there it is the day before
    ],
)
def test_days_are_those_of_utc_wherever_the_server_is(
    write: Writer, found: Found, database: FreshDatabase, zone: str, usual_hour: int, delivered: time
) -> None:
    change = sql.SQL("ALTER DATABASE {} SET timezone TO {}").format(sql.Identifier(database.name), zone)
    with psycopg.connect(database.admin, autocommit=True) as connection:
        connection.execute(change)
    for number in range(2, 9):
        at = days_ago(number).replace(hour=usual_hour)
        # The day before the judged one stands out, and today has no rows yet: neither must be judged instead.
        write.object(str(number), records=1_000 if number == 2 else 100, finished_at=at)
    write.object("judged", records=100, finished_at=datetime.combine(days_ago(1).date(), delivered))
    assert found("counts_do_not_drift", "source") == []


def test_only_loaded_rows_count_and_each_dataset_by_itself(write: Writer, found: Found) -> None:
    deliver(write, "unloaded", range(2, 9), 100)
    for state in NOT_LOADED:
        deliver(write, "unloaded", [1], 100, state=state)
    deliver(write, "rejects", range(2, 9), 100)
    deliver(write, "rejects", [1], 100, state="loaded_with_rejects")
    for dataset, yesterday in (("entities", 100), ("metrics", 1)):
        deliver(write, "two", range(2, 9), 100, dataset=dataset)
        deliver(write, "two", [1], yesterday, dataset=dataset)
    # Two files of one day are one day.
    deliver(write, "files", [2, 3, 4, 5], 100)
    for number in (2, 3, 4, 5):
        at = days_ago(number) + timedelta(hours=1)
        write.object(f"second file {number}", source="files", records=100, finished_at=at)
    assert found("counts_do_not_drift", "source") == ["two", "unloaded"]
    assert found("counts_do_not_drift", "dataset") == ["metrics", "entities"]


# ---- entities


def test_entities_come_from_objects_that_are_loaded(write: Writer, found: Found) -> None:
    for state in (*LOADED, *NOT_LOADED):
        write.entity(f"crm_{state}", object_id=write.object(state, state=state))
        write.entity(f"crm_replayed_{state}", object_id=write.object(f"r {state}", state=state, replayed=True))
    write.entity("crm_unknown", object_id=10**9)
    # A replay takes an object back to the beginning for a while. Its rows stay.
    assert set(found("entities_from_known_objects", "canonical_id")) == {
        *(f"crm_{state}" for state in NOT_LOADED),
        *(f"crm_replayed_{state}" for state in ("failed", "unroutable", "superseded")),
        "crm_unknown",
    }


def test_ids_that_differ_in_case_or_space_are_one_customer(write: Writer, found: Found) -> None:
    for canonical_id in ("crm_a", "crm_A", "crm_ b", "crm_B ", "crm_c", "crm_cc", "crm_d"):
        write.entity(canonical_id)
    write.entity("erp_D", source="erp")  # another system's numbers are its own
    write.entity("crm_e")
    write.entity("crm_E", deleted=True)
    assert found("entities_unique", "same_id") == ["a", "b"]


@pytest.mark.parametrize("attribute", ["industry", "country", "revenue"])
def test_an_attribute_is_missing_when_more_than_half_lack_it(write: Writer, found: Found, attribute: str) -> None:
    full = {"industry": "Steel", "country": "DE", "revenue": 1}
    lacking = {**full, attribute: None}
    for source, with_it, without in (("half", 2, 2), ("more", 2, 3), ("odd", 3, 2)):
        for number in range(with_it):
            write.entity(f"{source}_{number}", source=source, **full)
        for number in range(without):
            write.entity(f"{source}_x{number}", source=source, **lacking)
    # Of one type all lack it, and of all types half: the share is that of the source.
    for number in range(4):
        kind = "supplier" if number < 2 else "customer"
        write.entity(f"types_{number}", source="types", entity_type=kind, **(lacking if number < 2 else full))
    # Tombstones have no attributes: they are no reason to look at the source.
    write.entity("gone_1", source="gone", **full)
    for number in range(2, 5):
        write.entity(f"gone_{number}", source="gone", **{**lacking, "deleted": True})
    assert found("entities_complete", "source") == ["more"]
    assert found("entities_complete", "attribute") == [attribute]


def test_systems_disagree_when_revenues_differ_by_more_than_a_fifth(write: Writer, found: Found) -> None:
    def pair(number: int, first: Any, second: Any, **changed: Any) -> None:
        same = {"name": f"Company {number}", "country": "DE"}
        write.entity(f"crm_{number}", revenue=first, **same)
        write.entity(f"erp_{number}", **{"source": "erp", "revenue": second, **same, **changed})

    pair(1, 100, 79)
    pair(2, 100, 80)  # exactly a fifth of the greater
    pair(3, 79, 100)
    pair(4, 100, 1, country="FR")
    pair(5, 100, 1, deleted=True)
    pair(6, 100, 0)  # nobody knows it
    pair(7, 100, None)
    pair(8, 100, 1, source="crm")  # one system: two companies of one name
    pair(9, 100, 1, name=" COMPANY 9 ")
    pair(10, 100, 1, name="Company ten")
    write.entity("crm_11", name="Company 11", revenue=100)
    write.entity("erp_11", source="erp", name="Company 11", revenue=1)  # neither has a country
    assert sorted(found("entities_agree_across_sources", "canonical_id")) == ["crm_1", "crm_11", "crm_3", "crm_9"]


# ---- histories


def test_sound_histories_are_sound(write: Writer, found: Found) -> None:
    write.current(1, 1, 0)
    write.version(2, 1, 0, 3)
    write.current(2, 2, 3)
    write.version(3, 1, 0, 1)
    write.version(3, 2, 1, 1)  # two states of one moment: the object decides which came first
    write.version(3, 3, 1, 4)
    write.current(3, 4, 4)
    assert found("entity_versions_are_gapless", "entity_id") == []


@pytest.mark.parametrize(
    ("versions", "current"),
    [
        pytest.param([(1, 0, 1), (3, 1, 2)], (4, 2), id="a hole in the middle"),
        pytest.param([(2, 0, 1), (3, 1, 2)], (4, 2), id="no beginning"),
        pytest.param([(0, 0, 1), (2, 1, 2)], (3, 2), id="a hole, and as many versions as there should be"),
        pytest.param([(1, 0, 1), (2, 1, 2)], (4, 2), id="a hole before the current state"),
        pytest.param([(1, 0, 1), (2, 1, 2)], (2, 2), id="a current state that is a version too"),
        pytest.param([(1, 0, 1)], (1, 1), id="a current state that says it is the first"),
        pytest.param([], (2, 1), id="no history"),
        pytest.param([(1, 0, 1)], None, id="no current state"),
        pytest.param([(1, 0, 2), (2, 1, 3)], (3, 3), id="versions that overlap"),
        pytest.param([(1, 0, 1), (2, 2, 3)], (3, 3), id="a time without a version"),
        pytest.param([(1, 0, 3)], (2, 2), id="a version that overlaps the current state"),
        pytest.param([(1, 0, 1)], (2, 2), id="a time without a version before the current state"),
        pytest.param([(1, 5, 1), (2, 1, 2)], (3, 2), id="a version that ends before it begins"),
    ],
)
def test_a_damaged_history_is_found(
    write: Writer, found: Found, versions: list[tuple[int, int, int]], current: tuple[int, int] | None
) -> None:
    for entity_id in (1, 3):  # sound neighbours
        write.version(entity_id, 1, 0, 1)
        write.current(entity_id, 2, 1)
    for version, begins, ends in versions:
        write.version(2, version, begins, ends)
    if current:
        write.current(2, *current)
    assert found("entity_versions_are_gapless", "entity_id") == [2]


def test_a_version_has_an_end(write: Writer) -> None:
    """The table itself refuses a version that does not end."""
    with pytest.raises(psycopg.errors.NotNullViolation, match="valid_to"):
        write.version(1, 1, 0, 1, valid_to=None)


# ---- relationships and metrics


def test_relationships_wait_a_day_for_both_ends(write: Writer, found: Found) -> None:
    late = datetime.now(UTC) - timedelta(days=1, minutes=1)
    for canonical_id in ("crm_a", "crm_b"):
        write.entity(canonical_id)
    write.entity("crm_gone", deleted=True)
    write.relationship("crm_a", "crm_b", created_at=late)
    write.relationship("crm_a", "crm_gone", created_at=late)  # it was sent, and deleted
    write.relationship("crm_a", "crm_x", created_at=late)
    write.relationship("crm_y", "crm_b", created_at=late + timedelta(seconds=1))
    write.relationship("crm_x", "crm_y", created_at=late + timedelta(seconds=2))
    write.relationship("crm_a", "crm_soon", created_at=late + timedelta(minutes=2))
    write.relationship("crm_a", "crm_dropped", created_at=late, deleted=True)
    assert found("relationships_have_ends", "parent_canonical_id") == ["crm_a", "crm_y", "crm_x"]
    assert found("relationships_have_ends", "parent_is_missing") == [False, True, True]
    assert found("relationships_have_ends", "child_is_missing") == [True, False, True]


def test_metrics_need_an_entity_that_was_sent(write: Writer, found: Found) -> None:
    write.entity("crm_a")
    write.entity("crm_gone", deleted=True)
    write.metric("crm_a")
    write.metric("crm_gone")
    write.metric("crm_dropped", deleted=True)
    write.metric("crm_once")
    for metric_type in ("sales", "visits"):
        write.metric("crm_twice", metric_type=metric_type)
    write.metric("crm_twice", metric_type="old", deleted=True, metric_date=date(2025, 1, 31))
    assert found("metrics_have_entities", "canonical_id") == ["crm_twice", "crm_once"]
    assert found("metrics_have_entities", "metrics") == [2, 1]
    assert found("metrics_have_entities", "last_date") == [BEGINNING.date()] * 2


# ---- records of partial sources


def test_records_wait_more_than_a_day_for_the_rest_of_their_entity(write: Writer, found: Found) -> None:
    late = datetime.now(UTC) - timedelta(days=1, minutes=1)

    def send(key: str, at: datetime, ordinal: int = 1, **values: Any) -> None:
        given = {
            **{"source_updated_at": at, "object_modified_at": at, "object_id": 1, "ordinal": ordinal},
            **{"mapping_version": 1, "record_digest": HASH, "deleted": False, "whole": False, "source": "crm"},
            **{"dataset": "entities", "record_key": key, "fields": Jsonb({})},
            **values,
        }
        write.insert("ingest", "patches", **given)

    write.entity("crm_known")
    send("crm_known", late)
    send("crm_waits", late)
    send("crm_waits", late + timedelta(hours=20), ordinal=2)
    send("crm_also", late)
    send("crm_first", late - timedelta(hours=1))
    send("crm_soon", late + timedelta(minutes=2))
    send("crm_metric", late, dataset="metrics")
    assert found("records_wait_for_the_rest", "canonical_id") == ["crm_first", "crm_also", "crm_waits"]
    assert found("records_wait_for_the_rest", "records") == [1, 1, 2]
    assert found("records_wait_for_the_rest", "since") == [late - timedelta(hours=1), late, late]
