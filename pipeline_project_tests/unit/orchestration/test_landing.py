"""How objects are packed into batches and batches into run requests, and where a listing goes on. No I/O."""

import dataclasses
import itertools
import json
from datetime import UTC, date, datetime, timedelta

import pytest
from dagster._daemon import sensor as sensor_daemon
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.ingest.discovery.landing import ListingCursor
from pipeline_project.ingest.ledger.batches import Batch, Candidate, pack
from pipeline_project.orchestration.automation.landing_sensors import LOOP_SECONDS, TICK_SECONDS, run_request

HEAVY_BYTES = 100
TODAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVERY = timedelta(minutes=10)

candidates = st.lists(
    st.builds(
        Candidate,
        object_id=st.integers(0, 2**63 - 1),
        day=st.dates(TODAY - timedelta(days=2), TODAY),
        size=st.integers(1, 100),
    ),
    max_size=50,
)


@given(candidates, st.integers(1, 10), st.integers(1, 150))
def test_packing_loses_nothing_and_keeps_within_bounds(found: list[Candidate], objects: int, size: int) -> None:
    parts = list(pack(found, objects=objects, size=size))
    assert sorted(each for part in parts for each in part) == sorted(found)
    for part in parts:
        assert len({each.day for each in part}) == 1
        assert len(part) <= objects
        assert len(part) == 1 or sum(each.size for each in part) <= size


@given(candidates)
def test_no_two_neighbouring_batches_would_fit_into_one(found: list[Candidate]) -> None:
    parts = list(pack(found, objects=5, size=150))
    for one, next_one in itertools.pairwise(parts):
        if one[0].day == next_one[0].day:
            assert len(one) == 5 or sum(each.size for each in (*one, next_one[0])) > 150


def test_a_burst_makes_few_batches() -> None:
    burst = [Candidate(number, TODAY, 1_000) for number in range(10_000)]
    assert len(list(pack(burst, objects=200, size=2**28))) == 50


def test_a_run_request_names_its_objects_and_is_asked_for_once() -> None:
    batch = Batch(id="crm-1", source="crm", day=TODAY, object_ids=[1, 2**63 - 1], bytes=10)
    request = run_request(batch, HEAVY_BYTES)
    assert (request.run_key, request.partition_key) == ("crm-1", "2026-03-01")
    assert json.loads(json.dumps(request.run_config)) == {
        "ops": {"canonical_crm__records": {"config": {"object_ids": [1, 2**63 - 1]}}}
    }
    assert request.tags["pipeline/batch"] == "crm-1"
    assert "pipeline/weight" not in request.tags
    assert run_request(batch, heavy=10).tags["pipeline/weight"] == "heavy"
    assert run_request(dataclasses.replace(batch, suspects=True), heavy=10).tags["pipeline/weight"] == "suspect"


def test_ticks_end_just_before_the_next_and_rarely_together() -> None:
    assert sensor_daemon.MIN_INTERVAL_LOOP_TIME == LOOP_SECONDS
    assert all(seconds % LOOP_SECONDS == LOOP_SECONDS - 1 for seconds in TICK_SECONDS)
    assert len(set(TICK_SECONDS)) == len(TICK_SECONDS)


@pytest.mark.parametrize(
    ("cursor", "due"),
    [
        (ListingCursor(), True),
        (ListingCursor(NOW - EVERY), True),
        (ListingCursor(NOW - EVERY / 2), False),
        (ListingCursor(NOW - EVERY / 2, {"KeyMarker": "a"}), True),
    ],
)
def test_a_listing_is_due_in_a_pass_and_every_so_often(cursor: ListingCursor, due: bool) -> None:
    assert cursor.is_due(NOW, EVERY) is due
    assert ListingCursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize("text", [None, "", "x", "[]", "{}", '{"began": 1, "resume": null}'])
def test_an_unknown_cursor_is_the_beginning(text: str | None) -> None:
    assert ListingCursor.parse(text) == ListingCursor()
