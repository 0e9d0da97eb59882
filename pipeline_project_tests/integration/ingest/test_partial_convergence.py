"""Records that send only what changed end in the same tables, whatever the order of loading and whatever dies on the way."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_project.ingest.ledger import ObjectSeen
from pipeline_project.ingest.loading import prune_patches
from pipeline_project.sources import registry
from pipeline_project_tests import partial_records as partial
from pipeline_project_tests.convergence import RELAXED, Bench, apply, small_limits
from pipeline_project_tests.fix_ingest import register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import BEGINNING, Landing
from pipeline_project_tests.partial_records import FEED, MENDED_FEED, Delta, deltas


class PatchBench(Bench):
    """A bench whose database also has patches."""

    emptied = (*Bench.emptied, "ingest.patches")
    read = partial.READ


@pytest.fixture
def bench(database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[PatchBench]:
    register(monkeypatch, FEED)
    made = PatchBench(database)
    yield made
    made.close()


def put(landing: Landing, uploads: list[Delta]) -> dict[int, tuple[Delta, ObjectSeen]]:
    """Put uploads into the landing bucket. Return them with their objects, by object ID."""
    seen = [landing.put(f"feed-data/{each.name}", each.content(), second=each.second) for each in uploads]
    return {each.object_id: (delta, each) for each, delta in zip(seen, uploads, strict=True)}


@settings(RELAXED, max_examples=40)
@given(uploads=st.lists(deltas(), min_size=1, max_size=7), data=st.data())
def test_partial_records_converge(bench: PatchBench, uploads: list[Delta], data: st.DataObject) -> None:
    landing = Landing()
    unique = put(landing, uploads)
    with small_limits(data):
        bench.empty()
        apply(bench, landing, [seen for _, seen in unique.values()], data)
        bench.check_counts()
        found = bench.tables(bench.read)
    expected = partial.model((object_id, delta, 1) for object_id, (delta, _) in unique.items())
    for name, rows in found.items():
        assert rows == expected[name], name


@settings(RELAXED, max_examples=25)
@given(
    uploads=st.lists(deltas(partial.MENDABLE), min_size=2, max_size=7, unique_by=lambda each: each.content()),
    data=st.data(),
)
def test_partial_records_under_a_corrected_mapping_converge(
    bench: PatchBench, uploads: list[Delta], data: st.DataObject
) -> None:
    """Some are loaded before the mapping is corrected. Then come the others, and some of the first again."""
    landing = Landing()
    unique = put(landing, uploads)
    order = data.draw(st.permutations(list(unique)), "order")
    first = order[: data.draw(st.integers(0, len(order)), "before")]
    again = data.draw(st.lists(st.sampled_from(first), unique=True), "again") if first else []
    then = data.draw(st.permutations([*again, *order[len(first) :]]), "order after")
    with small_limits(data), pytest.MonkeyPatch.context() as patch:
        bench.empty()
        before = registry.sources()["feed"].fingerprint("entities")
        bench.admin.execute("INSERT INTO ingest.mappings VALUES ('feed', 'entities', 1, %s)", (before,))
        if first:
            apply(bench, landing, [unique[each][1] for each in first], data)
        register(patch, MENDED_FEED)
        bench.replay([unique[each][1] for each in again])
        for object_id in then:
            bench.discover([unique[object_id][1]])
            bench.ingest(landing, [object_id])
        bench.check_counts()
        found = bench.tables(bench.read)
    expected = partial.model((each, unique[each][0], 2 if each in then else 1) for each in unique)
    for name, rows in found.items():
        assert rows == expected[name], name


@settings(RELAXED, max_examples=25)
@given(uploads=st.lists(deltas(partial.REPEATED, ids=(1,)), min_size=3, max_size=9), data=st.data())
def test_the_current_state_is_right_after_pruning(bench: PatchBench, uploads: list[Delta], data: st.DataObject) -> None:
    """Records that arrive later than the horizon may blur when an earlier version ended, and nothing else."""
    landing = Landing()
    unique = put(landing, uploads)
    order = data.draw(st.permutations(list(unique)), "order")
    count = data.draw(st.integers(0, len(order)), "before")
    with small_limits(data):
        bench.empty()
        bench.ingest(landing, bench.discover([unique[each][1] for each in order[:count]]))
        before = bench.tables(bench.read)
        with bench.database.loader.connect(autocommit=True) as connection:
            prune_patches(connection, BEGINNING + timedelta(seconds=data.draw(st.integers(0, 4), "horizon")))
        pruned = bench.tables(bench.read)
        assert (pruned["entities"], pruned["versions"]) == (before["entities"], before["versions"])
        assert set(pruned["patches"]) <= set(before["patches"])
        bench.ingest(landing, bench.discover([unique[each][1] for each in order[count:]]))
        found = bench.tables(bench.read)
    expected = partial.model((object_id, delta, 1) for object_id, (delta, _) in unique.items())
    now = [(row[0], *row[8:]) for row in found["entities"]]
    assert now == [(row[0], *row[8:]) for row in expected["entities"]]


@settings(RELAXED, max_examples=25)
@given(uploads=st.lists(deltas(), min_size=2, max_size=7), data=st.data())
def test_a_source_that_becomes_partial_keeps_its_history(
    bench: PatchBench, uploads: list[Delta], data: st.DataObject
) -> None:
    """Records that were loaded before are whole: they keep nothing of what was before them."""
    landing = Landing()
    unique = put(landing, uploads)
    order = data.draw(st.permutations(list(unique)), "order")
    first = order[: data.draw(st.integers(1, len(order)), "before")]
    again = data.draw(st.lists(st.sampled_from(first), unique=True), "again")
    with small_limits(data), pytest.MonkeyPatch.context() as patch:
        bench.empty()
        register(patch, partial.WHOLE_FEED)
        bench.ingest(landing, bench.discover([unique[each][1] for each in first]))
        register(patch, FEED)
        bench.replay([unique[each][1] for each in again])
        bench.ingest(landing, bench.discover([unique[each][1] for each in order[len(first) :]]))
        bench.check_counts()
        found = bench.tables(bench.read)
    whole = {each for each in first if each not in again}
    said = partial.by_entity((each, delta, 1) for each, (delta, _) in unique.items() if each not in whole)
    for object_id in whole:
        for key, row in partial.whole_rows(object_id, unique[object_id][0]):
            said.setdefault(key, []).append(row)
    expected = {key: partial.folded(of_entity) for key, of_entity in said.items()}
    for key, states in sorted(expected.items()):
        rows = [row for name in ("versions", "entities") for row in found[name] if row[0] == key]
        # If a replay leaves no version at all, the stored ones stay.
        if states:
            assert [(*row[1:5], *row[7:12]) for row in rows] == [
                (*each.patch.position, *each.content) for each in states
            ]
