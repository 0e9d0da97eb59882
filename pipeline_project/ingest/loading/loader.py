"""Loads decoded objects into PostgreSQL: one transaction writes their rows, their rejects and their ledger entries.

While PostgreSQL works on one piece, the next is decoded and mapped: its statements run in a thread of their own, in the
order in which they are given. A piece goes through

    peek ──► probe: is it there in this very form? ──► map what is not ──► COPY ──► merge

Loads of one source and dataset take turns (an advisory lock); loads of different ones do not meet, since a canonical id
begins with its source.
"""

import gc
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from decimal import Decimal, localcontext
from itertools import chain, groupby, islice
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from pipeline_project.database import Connection
from pipeline_project.datasets.registry import datasets
from pipeline_project.ingest import ledger
from pipeline_project.ingest.decoding import RAW_LIMIT, Chunk, ObjectFault
from pipeline_project.ingest.ledger import Merged, ObjectState, Outcome
from pipeline_project.ingest.loading.acceptance import TOO_MANY_REJECTS, accept_or_refuse
from pipeline_project.ingest.loading.microbatches import MicroBatch, Opened, micro_batches_of, read_whole, whole_objects
from pipeline_project.ingest.loading.time_limit import TimeLimit, TimeLimits
from pipeline_project.ingest.mapping import (
    DIGITS_OF_TOTAL,
    Bad,
    FieldError,
    ProbeKeys,
    Rows,
    joined,
    mapper_for,
    to_binary_copy,
    without_repeated_keys,
)
from pipeline_project.schema.dataset import Versioned
from pipeline_project.schema.sql_files import query
from pipeline_project.schema.templates import statement
from pipeline_project.sources.source import Source

MAX_PENDING_STATEMENTS = 3
"""Statements that may wait for PostgreSQL before decoding waits too; bounds the memory."""
PROBE_BACKOFF = 8
"""After a piece in which next to nothing was known, so many go without a probe: an initial load gains nothing from it."""
KNOWN_ENOUGH = 0.05
"""Share of known records from which a probe pays."""
GARBAGE_THRESHOLD = 200_000
"""New containers before Python looks for circles among them; it begins with 700."""
SWITCH_SECONDS = 0.0005
"""How long a thread may keep another waiting; Python begins with 0.005."""
TOGETHER_UNPACKED = 32 * 1024 * 1024
"""Most bytes of records of small objects that are loaded together; packed they may be few."""
FIRST_KEYS = 10
"""Rows of an object whose keys are kept in its outcome."""
REJECTS_TOGETHER = 1_000
"""Rejected rows that are replayed together."""
REJECTS_OF_REFUSED = 100
"""How many of the bad rows of a refused object are kept for people to look at."""
NO_LIMIT: AbstractContextManager[None] = nullcontext()

Known = dict[int, set[int]]
"""Of each object, by id, the ordinals of the records that are there already."""


class Loader:
    """Loads objects over one connection, which nobody else may use meanwhile.

    `worker` is the name under which the objects were claimed. `limits` bound the time in which objects are decoded and
    mapped; the time in which PostgreSQL works, or others have the turn, does not count. None: there is no bound.
    """

    def __init__(self, connection: Connection, worker: str, limits: TimeLimits | None = None) -> None:
        self._connection = connection
        self._worker = worker
        self._limits = limits
        self._probe_backoff: dict[tuple[str, str], int] = {}
        with connection.transaction():
            connection.execute("SET client_min_messages = warning")  # the temporary tables may be there

    def load_one(self, source: Source, dataset: str, opened: Opened) -> Outcome | None:
        """Load an object of any size, streaming. None: the claim has run out and another worker has taken it."""
        limit = self._limit([opened])
        try:
            with self._load(source, dataset, limit) as load:
                if not load.hold([opened]):
                    return None
                load.run(micro_batches_of(opened))
                with limit:
                    accept_or_refuse(source, opened)
                load.settle([opened])
        except ObjectFault as fault:
            # What was written of it is rolled back; that it failed is told in a transaction of its own.
            opened.outcome.refuse(fault)
            with self._load(source, dataset) as load:
                if not load.hold([opened]):
                    return None
                load.settle([opened])
        return opened.outcome

    def rehearse(self, source: Source, dataset: str, opened: Opened) -> None:
        """Decode and map an object and write nothing: if this ends the process, no other load has waited for it.

        What is wrong with the object in other ways shows when it is loaded.
        """
        with suppress(Exception), self._limit([opened]):
            for chunk in opened.chunks:
                mapper_for(source, dataset).map_all(chunk, list(range(len(chunk.records))), opened.position)

    def load_many(self, source: Source, dataset: str, opened: Sequence[Opened]) -> list[Outcome]:
        """Load small objects in one transaction; each is loaded or refused as a whole, whatever its neighbours do.

        All their records are in memory at once. Left out are objects that another worker has taken, and those that unpack
        to more than there is room for.
        """
        unpacked: dict[Opened, list[Chunk]] = {}
        room = TOGETHER_UNPACKED
        limit = self._limit(opened)
        for each in opened:
            try:
                with limit:
                    chunks, size = read_whole(each, room)
            except ObjectFault as fault:
                each.outcome.refuse(fault)
                chunks, size = [], 0
            if size <= room:
                unpacked[each] = chunks
                room -= size
        with self._load(source, dataset, limit) as load:
            held = load.hold(list(unpacked))
            load.run(whole_objects((each, unpacked[each]) for each in held), whole=True)
            load.settle(held)
        return [each.outcome for each in held]

    def load_rejected(self, source: Source, dataset: str, opened: Opened) -> None:
        """Load rows of an object that were rejected before; its chunks are those rows. The caller settles the ledger."""
        with self._load(source, dataset) as load:
            load.lock_dataset([opened], partial=True)
            while rows := list(islice(opened.chunks, REJECTS_TOGETHER)):  # a chunk each: their ordinals have gaps
                load.run([[(opened, row) for row in rows]])
            load.raise_data_version([opened])

    @contextmanager
    def _load(self, source: Source, dataset: str, limit: AbstractContextManager[None] = NO_LIMIT) -> Iterator["_Load"]:
        # In this order: the connection has to be idle before it can commit or roll back.
        with _tuned(), self._connection.transaction(), ThreadPoolExecutor(1, "postgres") as postgres:
            yield _Load(self._connection, self._worker, source, dataset, postgres, self._probe_backoff, limit)

    def _limit(self, opened: Sequence[Opened]) -> AbstractContextManager[None]:
        """The time for all of these objects; entered where they are decoded and mapped."""
        if self._limits is None:
            return NO_LIMIT
        return TimeLimit(self._limits.of(sum(each.claimed.size for each in opened)))


class _Load:
    """The work of one transaction."""

    def __init__(
        self,
        connection: Connection,
        worker: str,
        source: Source,
        dataset: str,
        postgres: ThreadPoolExecutor,
        probe_backoff: dict[tuple[str, str], int],
        limit: AbstractContextManager[None],
    ) -> None:
        """`probe_backoff`: by source and dataset, how many of the next pieces go without a probe.

        `limit` is entered as long as records are decoded or mapped.
        """
        self._limit = limit
        self._connection = connection
        self._worker = worker
        self._source = source
        self._dataset = dataset
        self._declared = datasets()[dataset]
        self._versioned = isinstance(self._declared.kind, Versioned)
        # lock_dataset puts in their place the version that the mapping has, and a mapper that writes it into rows.
        self._mapping_version = 0
        self._mapper = mapper_for(source, dataset)
        self._has_totals = bool(source.totals_of(dataset))
        self._postgres = postgres
        self._steps: list[Future[None]] = []
        self._held: dict[int, Opened] = {}
        # Whether an object may already have said something about an entity that is not its current state any more.
        self._repeats = False
        # Whether of its objects only some records are read.
        self._partial = False
        self._open_rejects = False
        self._history_changed = False
        self._probe_backoff = probe_backoff

    def _statement(self, name: str) -> bytes:
        return statement(f"ingest/{name}", self._declared)

    def hold(self, opened: Sequence[Opened]) -> list[Opened]:
        """Take the turn and the ledger rows; those of the objects that are still the worker's."""
        ids = [each.claimed.object_id for each in opened]
        rows = self._connection.execute(
            query("ingest/ledger/hold"), {"object_ids": ids, "worker": self._worker}
        ).fetchall()
        held = {object_id for (object_id,) in rows}
        still = [each for each in opened if each.claimed.object_id in held]
        self.lock_dataset(still)
        return still

    def lock_dataset(self, opened: Sequence[Opened], *, partial: bool = False) -> None:
        """Wait until nobody else loads this source and dataset. `partial`: only some records of the objects are read."""
        ledger.lock_dataset(self._connection, self._source.name, self._dataset)
        self._mapping_version = ledger.mapping_version(self._connection, self._source, self._dataset)
        self._mapper = mapper_for(self._source, self._dataset, self._mapping_version)
        self._connection.execute(self._statement("loading/staging"))
        self._held = {each.claimed.object_id: each for each in opened}
        self._repeats = any(each.claimed.replayed for each in opened)
        self._partial = partial
        if self._versioned:
            which = {"source": self._source.name, "dataset": self._dataset}
            self._open_rejects = self._connection.execute(query("ingest/rejects/any_open"), which).rowcount > 0

    def run(self, pieces: Iterable[MicroBatch], *, whole: bool = False) -> None:
        """Stage and merge, piece by piece. `whole`: a piece holds whole objects, and each may be refused."""
        try:
            self._run(pieces, whole=whole)
        except psycopg.errors.InFailedSqlTransaction:
            # A statement met what an earlier one had left behind: the reason is the error of that one.
            for step in self._steps:
                step.result()
            raise

    def _run(self, pieces: Iterable[MicroBatch], *, whole: bool) -> None:
        previous: tuple[MicroBatch, Future[Known] | None] | None = None
        for piece, peeks in self._peeked(pieces):
            if whole and previous is not None:
                # What the objects of one piece say must be there when those of the next are compared: the notes of what is
                # known have to wait until it shows which objects are refused.
                self._finish(*previous, whole=whole)
                previous = None
            probe = self._postgres.submit(self._probe, piece, peeks, whole=whole) if peeks else None
            if previous is not None:
                self._finish(*previous, whole=whole)
            previous = (piece, probe)
        if previous is not None:
            self._finish(*previous, whole=whole)
        while self._steps:
            self._steps.pop(0).result()

    def settle(self, opened: Sequence[Opened]) -> None:
        """Data version, what became of rejects, and the ledger."""
        for each in opened:
            outcome = each.outcome
            outcome.format = each.envelope.format
            if outcome.fault is not None:
                # With another reason, how far it was read depends on its neighbours.
                if outcome.fault.code == TOO_MANY_REJECTS and not each.claimed.loaded_before:
                    self._add_rejects(each, each.first_bad)
                    self._resolve_rejects(each)
                continue
            outcome.state = ObjectState.LOADED_WITH_REJECTS if each.bad_ordinals else ObjectState.LOADED
            self._resolve_rejects(each)
        with_bad = [each.claimed.object_id for each in opened if each.bad_ordinals]
        if with_bad and self._versioned:
            self._connection.execute(self._statement("rejects/supersede_own_rejects"), {"object_ids": with_bad})
        self.raise_data_version(opened)
        ledger.settle(self._connection, [each.outcome for each in opened], worker=self._worker)

    def _resolve_rejects(self, opened: Opened) -> None:
        """Settle those of an earlier reading that are good now."""
        if opened.claimed.replayed:
            which = {"object_id": opened.claimed.object_id, "bad": opened.bad_ordinals}
            self._connection.execute(query("ingest/rejects/resolve_rejects"), which)

    def raise_data_version(self, opened: Sequence[Opened]) -> None:
        """Unless none of the objects has changed anything. A late row has, if it is a state of its own in the history."""
        if self._history_changed or any(each.outcome.inserted or each.outcome.updated for each in opened):
            version = {"source": self._source.name, "dataset": self._dataset}
            self._connection.execute(query("ingest/ledger/raise_data_version"), version)

    # --- decoding side

    def _peeked(self, pieces: Iterable[MicroBatch]) -> Iterator[tuple[MicroBatch, bytes]]:
        iterator = iter(pieces)
        while True:
            with self._limit:
                piece = next(iterator, None)
                if piece is None:
                    return
                peeks = to_binary_copy(self._probe_projection(piece))
            yield piece, peeks

    def _probe_projection(self, piece: MicroBatch) -> ProbeKeys:
        mapper = self._mapper
        if not self._versioned:
            return joined([])
        if probe_backoff := self._probe_backoff.get((self._source.name, self._dataset)):
            self._probe_backoff[self._source.name, self._dataset] = probe_backoff - 1
            return joined([])
        return joined(
            [
                # Of two records for one entity the newer counts, if it is good: that is known after mapping.
                without_repeated_keys(
                    joined([mapper.probe_keys(chunk, opened.position, place) for opened, chunk in of_object])
                )
                for place, (_, of_object) in enumerate(groupby(piece, lambda each: id(each[0])), 1)
            ]
        )

    def _finish(self, piece: MicroBatch, probe: Future[Known] | None, *, whole: bool) -> None:
        """Map what the probe did not know, and hand it to PostgreSQL."""
        known = probe.result() if probe is not None else {}
        with self._limit:
            accepted, bad = self._map(piece, known, whole=whole)
            staged = _to_stage(accepted)
        confirmed = list(accepted) if whole and known else []
        self._steps.append(self._postgres.submit(self._merge, staged, bad, confirmed))
        while len(self._steps) > MAX_PENDING_STATEMENTS:
            self._steps.pop(0).result()

    def _map(
        self, piece: MicroBatch, known: Known, *, whole: bool
    ) -> tuple[dict[Opened, Rows], list[tuple[Opened, Bad]]]:
        """Map the records that are not known. Returns the rows to be merged, and the rejects."""
        rows: dict[Opened, Rows] = {}
        bad: list[tuple[Opened, Bad]] = []
        for opened, chunk in piece:
            opened.outcome.records += len(chunk.records)
            here = known.get(opened.position.object_id, ())
            places = [place for place in range(len(chunk.records)) if chunk.first_ordinal + place not in here]
            mapped = self._mapper.map_all(chunk, places, opened.position)
            for each in mapped.bad:
                line = chunk.line(each.ordinal - chunk.first_ordinal)
                bad.append((opened, self._note_bad(opened, each, line)))
            if self._has_totals:
                self._sum_up(opened, chunk, mapped.bad)
            rows.setdefault(opened, Rows()).extend(mapped.rows)
        if whole:
            for opened in rows:
                self._refuse_if_faulty(opened)
            bad = [(opened, each) for opened, each in bad if opened.outcome.fault is None]
        accepted = {opened: each.deduplicated() for opened, each in rows.items() if opened.outcome.fault is None}
        for opened, each in accepted.items():
            opened.outcome.stale += len(rows[opened].keys) - len(each.keys)
            first_keys = opened.outcome.first_keys
            first_keys += each.keys[: FIRST_KEYS - len(first_keys)]
        return accepted, bad

    def _sum_up(self, opened: Opened, chunk: Chunk, bad: Sequence[Bad]) -> None:
        """Add to the object's control totals its good records."""
        ordinals = {each.ordinal for each in bad}
        places = [place for place in range(len(chunk.records)) if chunk.first_ordinal + place not in ordinals]
        with localcontext(prec=DIGITS_OF_TOTAL):
            for column, more in self._mapper.sums(chunk, places, opened.position).items():
                opened.totals[column] = opened.totals.get(column, Decimal(0)) + more

    def _note_bad(self, opened: Opened, bad: Bad, line: int | None) -> Bad:
        bad = bad._replace(
            line=line, raw=bad.raw[:RAW_LIMIT], raw_complete=bad.raw_complete and len(bad.raw) <= RAW_LIMIT
        )
        opened.outcome.rejected += 1
        opened.bad_ordinals.append(bad.ordinal)
        if len(opened.first_bad) < REJECTS_OF_REFUSED:
            opened.first_bad.append(bad)
        return bad

    def _refuse_if_faulty(self, opened: Opened) -> None:
        if opened.outcome.fault is None:
            try:
                accept_or_refuse(self._source, opened)
            except ObjectFault as fault:
                opened.outcome.refuse(fault)

    # --- PostgreSQL's side: these run in its thread

    def _probe(self, piece: MicroBatch, peeks: bytes, *, whole: bool) -> Known:
        """The records that are there already; they are counted, and confirmed unless `whole`."""
        positions = [opened.position for opened in {id(opened): opened for opened, _ in piece}.values()]
        parameters = {
            "object_ids": [each.object_id for each in positions],
            "object_modified_ats": [each.modified_at for each in positions],
            "mapping_version": self._mapping_version,
            "repeats": self._repeats,
        }
        self._connection.execute(self._statement("loading/empty_probe"))
        peeked = sql.Identifier(f"peeked_{self._dataset}")
        with self._connection.cursor() as cursor:
            with cursor.copy(sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(peeked)) as copy:
                copy.write(peeks)
            rows = cursor.execute(self._statement("loading/probe"), parameters, binary=True).fetchall()
        known: Known = {}
        for object_id, ordinals, unchanged in rows:
            known.setdefault(object_id, set()).update(ordinals)
            self._held[object_id].outcome.count(Merged.UNCHANGED if unchanged else Merged.STALE, len(ordinals), 0)
        if sum(map(len, known.values())) < KNOWN_ENOUGH * sum(len(chunk.records) for _, chunk in piece):
            self._probe_backoff[self._source.name, self._dataset] = PROBE_BACKOFF
        if known and not whole:
            # Now: the next piece is probed before this one is merged.
            self._confirm([opened for opened, _ in piece[:1]])
        return known

    def _confirm(self, opened: Sequence[Opened]) -> None:
        """Keep what the last probe found of these objects, which are not refused."""
        object_ids = [each.claimed.object_id for each in opened]
        which = {"object_ids": object_ids, "source": self._source.name, "mapping_version": self._mapping_version}
        self._connection.execute(self._statement("loading/confirm"), which)
        if self._open_rejects:
            self._connection.execute(self._statement("rejects/supersede_rejects_by_known"), which)

    def _merge(self, staged: "_Staged", bad: list[tuple[Opened, Bad]], confirmed: list[Opened]) -> None:
        """`confirmed`: objects of which the last probe found something and which are not refused."""
        if confirmed:
            self._confirm(confirmed)
        for opened in {id(opened): opened for opened, _ in bad}.values():
            self._add_rejects(opened, [each for owner, each in bad if owner is opened])
        if staged.lines:
            self._stage(staged)
            with self._connection.cursor() as cursor:
                if self._partial and self._versioned:
                    for (object_id,) in cursor.execute(self._statement("loading/drop_overruled")).fetchall():
                        self._held[object_id].outcome.count(Merged.STALE, 1, 0)
                merge = self._statement("loading/merge")
                late = False
                for object_id, result, count, deleted in cursor.execute(merge, {"repeats": self._repeats}).fetchall():
                    self._held[object_id].outcome.count(result, count, deleted)
                    late = late or result == Merged.LATE
                if late:
                    self._place_late(cursor)
        if self._open_rejects:
            self._connection.execute(self._statement("rejects/supersede_rejects"))

    def _stage(self, staged: "_Staged") -> None:
        table = sql.Identifier(f"incoming_{self._dataset}")
        names = (*(["late"] if staged.late else []), *self._mapper.columns)
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        with self._connection.cursor() as cursor:
            cursor.execute(self._statement("loading/empty_incoming"))
            with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN (NULL '')").format(table, columns)) as copy:
                copy.write(staged.lines)
            if self._declared.partition_by:
                cursor.execute(self._statement("loading/make_partitions"))

    def _place_late(self, cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
        """Give late rows their place in history. Some may be the current state after all."""
        self._repeats = True
        cursor.execute(self._statement("loading/staging_timeline"))
        cursor.execute(self._statement("loading/empty_timeline"))
        cursor.execute(self._statement("loading/place_late"))
        cursor.execute(self._statement("loading/rewrite_confirmations"), {"source": self._source.name})
        for object_id, count, deleted in cursor.execute(self._statement("loading/rewrite")).fetchall():
            if object_id is None:
                self._history_changed |= count > 0
                continue
            outcome = self._held[object_id].outcome
            outcome.stale -= count
            outcome.count(Merged.CHANGED, count, deleted)
        cursor.execute(self._statement("loading/empty_late"))

    def _add_rejects(self, opened: Opened, bad: Sequence[Bad]) -> None:
        if not bad:
            return
        rejects = [
            {
                "object_id": opened.claimed.object_id,
                "ordinal": each.ordinal,
                "line": each.line,
                "source": self._source.name,
                "dataset": self._dataset,
                "record_key": each.key,
                "source_updated_at": each.updated_at,
                "object_modified_at": opened.position.modified_at,
                "raw": each.raw,
                "raw_complete": each.raw_complete,
                "errors": _stored(each.errors),
                "mapping_version": self._mapping_version,
            }
            for each in bad
        ]
        with self._connection.cursor() as cursor:
            cursor.executemany(query("ingest/rejects/add_rejects"), rejects)


@contextmanager
def _tuned() -> Iterator[None]:
    """Python as a load wants it.

    Rows are many, live shortly and never in circles: looking for circles among them took a sixth of the time. And the thread
    that PostgreSQL answers has little to do each time: to wait for its turn longer than that left PostgreSQL idle, for a
    tenth of the time.
    """
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(GARBAGE_THRESHOLD, *thresholds[1:])
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)


class _Staged(NamedTuple):
    """Rows on their way into PostgreSQL."""

    lines: bytes
    """For COPY."""
    late: bool
    """Whether each begins with a flag: is another row of the same piece newer?"""


def _to_stage(rows: dict[Opened, Rows]) -> _Staged:
    """The rows of some objects. Several may speak of the same entity: the others are placed behind its newest row."""
    if len({key for each in rows.values() for key in each.keys}) == sum(len(each.keys) for each in rows.values()):
        lines = chain.from_iterable(each.lines for each in rows.values())
        return _Staged("\n".join(chain(lines, [""])).encode(), late=False)
    newest: dict[str, tuple[datetime, datetime, int]] = {}
    positioned = [
        (key, (time, opened.position.modified_at, opened.position.object_id), line)
        for opened, each in rows.items()
        for key, time, line in zip(each.keys, each.times, each.lines, strict=True)
    ]
    for key, position, _ in positioned:
        newest[key] = max(newest.get(key, position), position)
    flagged = [f"{'f' if position == newest[key] else 't'}\t{line}\n" for key, position, line in positioned]
    return _Staged("".join(flagged).encode(), late=True)


def _stored(errors: Sequence[FieldError]) -> str:
    """As JSON that PostgreSQL takes: the name of a field may hold the NUL that is wrong with it."""
    return json.dumps(
        [{part: text.replace("\0", "\ufffd") for part, text in error._asdict().items()} for error in errors]
    )
