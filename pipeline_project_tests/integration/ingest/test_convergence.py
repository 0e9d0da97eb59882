"""Any order, duplication or interleaving of the same files ends in the identical tables, whatever dies on the way.

Random sets of files are applied in random order and batches, with re-deliveries, replays, crashes between any two
statements and parallel workers. The tables have to be those that `model` says, a few lines of plain Python, and those
that the files give when they are loaded one after another in their own order.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_project.sources import registry
from pipeline_project_tests.convergence import (
    FILES,
    RELAXED,
    Bench,
    File,
    Position,
    Said,
    apply,
    check,
    in_order,
    put,
    small_limits,
)
from pipeline_project_tests.fix_ingest import MENDED, register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import BEGINNING, Landing


@pytest.fixture
def bench(database: FreshDatabase) -> Iterator[Bench]:
    made = Bench(database)
    yield made
    made.close()


MENDABLE = st.builds(
    File,
    source=st.just("legacy"),
    dataset=st.just("entities"),
    name=st.sampled_from("abc"),
    second=st.integers(0, 3),
    rows=st.lists(
        st.builds(
            Said,
            number=st.integers(1, 3),
            value=st.integers(0, 2),
            updated=st.none() | st.integers(0, 3),
            fault=st.sampled_from([None, None, None, "title", "invalid"]),
        ),
        min_size=1,
        max_size=5,
    ).map(tuple),
    form=st.just("array"),
)
"""Files of which a mended mapping understands more than the one before."""


def check_mended(bench: Bench, files: list[File], data: st.DataObject, patch: pytest.MonkeyPatch) -> None:
    """Rejects and objects that are replayed under a mended mapping end as if they had been read with it at once."""
    landing = Landing()
    unique = {seen.object_id: (seen, file) for seen, file in ((put(landing, file), file) for file in files)}
    seen = [each for each, _ in unique.values()]
    with small_limits(data):
        bench.empty()
        apply(bench, landing, seen, data)
        register(patch, dataclasses.replace(MENDED, reject_threshold=0.5))
        bench.replay_rejects()
        bench.check_counts()
        bench.replay(seen)
        bench.ingest(landing, data.draw(st.permutations(bench.discover([])), "order of replays"))
        bench.check_counts()
        replayed = bench.tables(bench.everything)
    bench.empty(mappings=False)
    bench.load_in_order(landing, in_order(unique.values()))
    at_once = bench.tables(bench.everything)
    for name in ("entities", "versions"):
        assert replayed[name] == at_once[name], name
    open_rejects = [[row for (row,) in found["rejects"] if row["status"] == "open"] for found in (replayed, at_once)]
    assert open_rejects[0] == open_rejects[1]


# --- late rows among many confirmations, read by two mappings


@dataclass(frozen=True)
class Export:
    """An upload like many others: most say the same again."""

    second: int
    rows: tuple[tuple[int, str, int | None], ...]
    """Number, name, and a time in half days before the beginning: only the mended mapping takes it for the row's own."""

    @property
    def modified_at(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.second)

    def content(self) -> bytes:
        records = [
            {"id": number, "name": name} | ({} if half_days is None else {"changed": self._changed(half_days)})
            for number, name, half_days in self.rows
        ]
        return json.dumps(records).encode()

    def said(self, object_id: int, mapping: int) -> Iterator[tuple[int, Position, int, tuple[str, str | None]]]:
        """Number, position, ordinal and content of each row, as that mapping reads it."""
        for ordinal, (number, name, half_days) in enumerate(self.rows, 1):
            changed = None if half_days is None else self._changed(half_days)
            at = self.modified_at if changed is None or mapping == 1 else datetime.fromisoformat(changed)
            yield number, (at, self.modified_at, object_id), ordinal, (name, changed if mapping == 1 else None)

    @staticmethod
    def _changed(half_days: int) -> str:
        return (BEGINNING - timedelta(hours=12 * half_days)).isoformat()


EXPORTS = st.builds(
    Export,
    second=st.integers(0, 20),
    rows=st.lists(
        st.tuples(
            st.sampled_from([1, 1, 1, 2]), st.sampled_from("AAAAAB"), st.sampled_from([None, None, None, None, 0, 1, 2])
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
)
TOLD = """
    SELECT canonical_id, {row}.source_updated_at, {row}.object_modified_at, {row}.object_id, {row}.ordinal,
           {row}.mapping_version"""
TIMELINES = {
    "states": f"""
        {TOLD.format(row="e")}, version, name, attributes ->> 'changed', NULL FROM canonical.entities e
        UNION ALL
        {TOLD.format(row="v")}, v.version, v.name, v.attributes ->> 'changed', v.valid_to
        FROM canonical.entity_versions v JOIN canonical.entities USING (entity_id)
        ORDER BY 1, 2, 3, 4""",
    "confirmations": f"""
        {TOLD.format(row="c")}
        FROM canonical.entity_confirmations c JOIN canonical.entities USING (entity_id) ORDER BY 1, 2, 3, 4""",
}


def timelines(exports: Iterable[tuple[int, Export, int]]) -> dict[str, list[tuple[Any, ...]]]:
    """What has to be there, of each export its object id and the newest mapping that has read it beside it."""
    found: dict[str, list[tuple[Any, ...]]] = {"states": [], "confirmations": []}
    told: dict[int, dict[int, tuple[Position, int, int, tuple[str, str | None]]]] = {}
    for object_id, export, mapping in exports:
        for number, position, ordinal, content in export.said(object_id, mapping):
            of_entity = told.setdefault(number, {})
            of_entity[object_id] = max(
                of_entity.get(object_id, (position, 0, 0, content)), (position, ordinal, mapping, content)
            )
    for number, of_entity in sorted(told.items()):
        states: list[tuple[Any, ...]] = []
        for position, ordinal, mapping, content in sorted(of_entity.values()):
            row = (f"legacy_{number}", *position, ordinal, mapping)
            if states and states[-1][7:] == content:
                found["confirmations"].append(row)
            else:
                states.append((*row, len(states) + 1, *content))
        ends = [state[1] for state in states[1:]] + [None]
        found["states"] += [(*state, end) for state, end in zip(states, ends, strict=True)]
    return found


def check_late(bench: Bench, exports: list[Export], data: st.DataObject, patch: pytest.MonkeyPatch) -> None:
    """Some are loaded before the mapping is mended; then the others, and some of the first again."""
    landing = Landing()
    seen = [landing.put(f"legacy-data/{name}", each.content(), second=each.second) for name, each in enumerate(exports)]
    order = data.draw(st.permutations(range(len(seen))), "order")
    first = order[: data.draw(st.integers(0, len(order)), "before")]
    again = data.draw(st.lists(st.sampled_from(first), unique=True), "again") if first else []
    then = data.draw(st.permutations([*again, *order[len(first) :]]), "order after")
    with small_limits(data):
        bench.empty()
        # Also where nothing is loaded before the mapping is corrected, its version is the second.
        before = registry.sources()["legacy"].fingerprint("entities")
        bench.admin.execute("INSERT INTO ingest.mappings VALUES ('legacy', 'entities', 1, %s)", (before,))
        for mapping, rest in ((1, [seen[n] for n in first]), (2, [seen[n] for n in then])):
            if mapping == 2:
                register(patch, MENDED)
            while rest:
                now = [rest.pop() for _ in range(data.draw(st.integers(1, len(rest)), "together"))]
                bench.discover(now)
                if mapping == 2:
                    bench.replay(now)
                bench.ingest(landing, [each.object_id for each in now])
                bench.check_counts()
                if data.draw(st.integers(0, 9), "load again") == 0:
                    bench.replay(now)
                    bench.ingest(landing, [each.object_id for each in now])
    expected = timelines((seen[n].object_id, exports[n], 2 if n in then else 1) for n in range(len(seen)))
    assert bench.tables(TIMELINES) == expected


@settings(RELAXED, max_examples=30)
@given(files=st.lists(FILES, min_size=1, max_size=6), data=st.data())
def test_convergence(bench: Bench, files: list[File], data: st.DataObject) -> None:
    check(bench, files, data)


@settings(RELAXED, max_examples=25)
@given(files=st.lists(MENDABLE, min_size=1, max_size=4), data=st.data())
def test_replays_under_a_mended_mapping_converge(bench: Bench, files: list[File], data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        check_mended(bench, files, data, patch)


@settings(RELAXED, max_examples=25)
@given(exports=st.lists(EXPORTS, min_size=4, max_size=16), data=st.data())
def test_late_rows_find_their_places_among_confirmations(
    bench: Bench, exports: list[Export], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        check_late(bench, exports, data, patch)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@settings(RELAXED, max_examples=300)
@given(files=st.lists(FILES, min_size=1, max_size=10), data=st.data())
def test_convergence_at_length(bench: Bench, files: list[File], data: st.DataObject) -> None:
    check(bench, files, data)
