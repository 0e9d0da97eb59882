"""Snapshots in any order: parts, late files, late snapshots, replays and crashes end in the tables that the model says.

The files of a source with snapshots are random, like those of test_convergence.py, and are loaded in random order with
everything that can happen on the way. `history` of snapshot_model.py says what each entity has to be.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_project.ingest import ledger
from pipeline_project.sources import registry
from pipeline_project.sources.crm import SOURCE as CRM
from pipeline_project.sources.snapshot import Snapshot
from pipeline_project_tests.convergence import (
    RELAXED,
    Bench,
    File,
    Position,
    Said,
    Tables,
    apply,
    in_order,
    model,
    put,
    small_limits,
)
from pipeline_project_tests.fix_ingest import register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import BEGINNING, Landing
from pipeline_project_tests.snapshot_model import Mark, Row, history

FORMAT = "%Y%m%dT%H%M%S"
DECLARED = Snapshot(
    keys=r"crm-data/full/(?P<snapshot>\w+)/",
    as_of=f"snapshot:{FORMAT}",
    complete=r"parts:(?P<part>\d)-of-(?P<parts>\d)",
    max_deletes=1,
)
SCOPED = dataclasses.replace(DECLARED, keys=r"crm-data/full/(?P<snapshot>\w+)/(?P<land>\w+)/", scope="land")


SENT = st.builds(
    Said,
    number=st.integers(1, 3),
    value=st.integers(0, 2),
    updated=st.none() | st.integers(0, 3),
    deleted=st.sampled_from([False, False, False, True]),
    fault=st.sampled_from([None] * 9 + ["not json", "future", "date"]),
    spelling=st.integers(0, 2),
)


class SnapshotBench(Bench):
    """A database whose snapshots are emptied, too."""

    emptied = ("ingest.snapshot_members", "ingest.snapshot_marks", "ingest.snapshots", *Bench.emptied)


@pytest.fixture
def bench(database: FreshDatabase) -> Iterator[Bench]:
    made = SnapshotBench(database)
    yield made
    made.close()


@dataclass(frozen=True)
class Part(File):
    """A part of a snapshot."""

    read: int = 0
    """Quarters of a day before the beginning."""
    land: str = ""
    part: int = 1
    parts: int = 1

    @property
    def key(self) -> str:
        land = f"{self.land}/" if self.land else ""
        return f"crm-data/full/{self.as_of.strftime(FORMAT)}/{land}{self.part}-of-{self.parts}"

    @property
    def as_of(self):
        return BEGINNING - timedelta(hours=6 * self.read)

    @property
    def snapshot(self) -> tuple[str, str]:
        return self.land, self.as_of.strftime(FORMAT)


def parts(lands: str) -> st.SearchStrategy[Part]:
    return st.builds(
        Part,
        source=st.just("crm"),
        dataset=st.just("entities"),
        name=st.just(""),
        second=st.integers(0, 3),
        rows=st.lists(SENT, min_size=1, max_size=4).map(tuple),
        form=st.sampled_from(["array", "lines"]),
        fault=st.just(None),
        read=st.integers(0, 7),
        land=st.sampled_from(lands) if lands else st.just(""),
        parts=st.just(0),
    ).flatmap(
        lambda part: st.integers(1, 2).flatmap(
            lambda count: st.integers(1, count).map(lambda n: dataclasses.replace(part, part=n, parts=count))
        )
    )


DELTAS = st.builds(
    File,
    source=st.just("crm"),
    dataset=st.just("entities"),
    name=st.sampled_from("ab"),
    second=st.integers(0, 3),
    rows=st.lists(SENT, min_size=1, max_size=5).map(tuple),
    form=st.sampled_from(["array", "lines"]),
    fault=st.just(None),
)


def marks_of(files: Sequence[tuple[int, File]], *, scoped: bool) -> dict[str, list[Mark]]:
    """The marks of the complete snapshots, by key. Where a snapshot has a record without an ID, it waits for a person."""
    of_snapshot: dict[tuple[str, str], list[Part]] = defaultdict(list)
    failed: dict[tuple[str, str], set[str]] = defaultdict(set)
    for _, file in files:
        if isinstance(file, Part):
            refused = file.refusal or 2 * sum(bool(row.fault) for row in file.rows) > len(file.rows)
            if refused:
                failed[file.snapshot].add(file.key)
            else:
                of_snapshot[file.snapshot].append(file)
    numbers = (1, 2, 3)
    marks: dict[str, list[Mark]] = defaultdict(list)
    for (land, name), loaded in of_snapshot.items():
        keys = {file.key for file in loaded}
        if failed[land, name] - keys or len({file.part for file in loaded}) < max(file.parts for file in loaded):
            continue
        if any(row.fault == "not json" for file in loaded for row in file.rows):
            continue
        present = {number for number in numbers if any(_sends(file, number) for file in loaded)}
        if not present:
            continue
        place = ledger.snapshot_id_of(registry.sources()["crm"], "entities", loaded[0].key, "")
        at = loaded[0].as_of
        for number in numbers:
            position = (at, at + timedelta(microseconds=1), place)
            marks[f"crm_{number}"].append(Mark(position, number in present, land if scoped else None))
    return marks


def _sends(file: Part, number: int) -> bool:
    """Whether a part contains an entity: its last good row is no tombstone, or one of its rows is bad."""
    rows = [
        (row.position(file.modified_at, 0), place, row) for place, row in enumerate(file.rows) if row.number == number
    ]
    good = [each for each in rows if not each[2].fault]
    return any(row.fault and row.fault != "not json" for _, _, row in rows) or (
        bool(good) and not max(good, key=lambda each: each[:2])[2].deleted
    )


def with_snapshots(files: Sequence[tuple[int, File]], *, scoped: bool) -> Tables:
    """What has to be in the tables."""
    marks = marks_of(files, scoped=scoped)

    def versions(result: Tables, dataset: str, key: str, rows: list[tuple[Position, int, Said]]) -> None:
        ordinals: dict[Row | Mark, int] = {
            Row(position, (said.value, said.deleted), said.deleted): ordinal for position, ordinal, said in rows
        }
        walked = history([row for row in ordinals if isinstance(row, Row)], marks[key])
        states = [
            (*state.by.position, ordinals.get(state.by, 0), version, state.deleted, Decimal(state.content[0]))
            for version, state in enumerate(walked, 1)
        ]
        began = {state.by for state in walked}
        result["confirmations"] += [(key, *row.position, n) for row, n in ordinals.items() if row not in began]
        result[dataset].append((key, *states[-1]))
        result["versions"] += [(key, *state, following[0]) for state, following in pairwise(states)]

    return model(files, versions)


def check(bench: Bench, files: list[File], data: st.DataObject, declared: Snapshot) -> None:
    scoped = bool(declared.scope)
    with pytest.MonkeyPatch.context() as patch:
        register(patch, dataclasses.replace(CRM, snapshot=declared))
        landing = Landing()
        unique = {seen.object_id: (seen, file) for seen, file in ((put(landing, file), file) for file in files)}
        with small_limits(data):
            bench.empty()
            apply(bench, landing, [each for each, _ in unique.values()], data)
            found = bench.tables(bench.read)
            everything = bench.tables(bench.everything)
            bench.check_counts()
        expected = with_snapshots([(object_id, file) for object_id, (_, file) in unique.items()], scoped=scoped)
        for name in ("entities", "versions", "confirmations", "rejects", "objects"):
            assert found[name] == expected[name], name
        bench.empty()
        bench.load_in_order(landing, in_order(unique.values()))
        again = bench.tables(bench.everything)
        for name in ("entities", "versions"):
            assert again[name] == everything[name], name


@settings(RELAXED, max_examples=12)
@given(files=st.lists(st.one_of(parts(""), parts(""), DELTAS), min_size=1, max_size=8), data=st.data())
def test_snapshots_converge(bench: Bench, files: list[File], data: st.DataObject) -> None:
    check(bench, files, data, DECLARED)


@settings(RELAXED, max_examples=12)
@given(files=st.lists(st.one_of(parts("xy"), parts("xy"), DELTAS), min_size=1, max_size=8), data=st.data())
def test_snapshots_of_scopes_converge(bench: Bench, files: list[File], data: st.DataObject) -> None:
    check(bench, files, data, SCOPED)
