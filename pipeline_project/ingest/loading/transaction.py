"""One transaction of a load: the rows, the rejects and the ledger entries of its objects are committed together.

While PostgreSQL works on one micro-batch, the next one is decoded and mapped. A micro-batch passes these steps:

    probe keys ──► probe: which records are already stored? ──► map the others ──► COPY ──► merge

The statements run in a thread of their own (staging.py), in the order in which they are submitted.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from decimal import Decimal, localcontext
from functools import partial

import psycopg

from pipeline_project.database import Connection
from pipeline_project.datasets.registry import datasets
from pipeline_project.ingest import ledger
from pipeline_project.ingest.decoding import RAW_LIMIT, Chunk, ObjectFault
from pipeline_project.ingest.ledger import ObjectState
from pipeline_project.ingest.loading.acceptance import TOO_MANY_REJECTS, accept_or_refuse
from pipeline_project.ingest.loading.column_reports import describe
from pipeline_project.ingest.loading.microbatches import MicroBatch, Opened
from pipeline_project.ingest.loading.patches import PatchStaging
from pipeline_project.ingest.loading.probing import ProbeBackoff, probe_keys_of
from pipeline_project.ingest.loading.snapshots import Marks
from pipeline_project.ingest.loading.staging import Known, Staging, staged_rows
from pipeline_project.ingest.mapping import (
    DIGITS_OF_TOTAL,
    Bad,
    Mapper,
    PatchMapper,
    Rows,
    a_few,
    mapper_for,
    to_binary_copy,
)
from pipeline_project.schema.dataset import Versioned
from pipeline_project.schema.sql_files import query
from pipeline_project.schema.templates import statement
from pipeline_project.sources.source import Source

MAX_PENDING_STATEMENTS = 3
"""Number of merges that may wait for PostgreSQL before decoding waits, too. This bounds the memory."""
FIRST_KEYS = 10
"""Number of keys that the outcome of an object lists."""
REJECTS_OF_REFUSED = 100
"""Number of invalid records that are stored for a refused object."""


class LoadTransaction:
    """The work of one transaction.

    Call `hold` or `lock_dataset` first, then `run`, then `settle` or `raise_data_version`. `limit` is entered while records
    are decoded or mapped.
    """

    _mapping_version: int
    _staging: Staging

    def __init__(
        self,
        connection: Connection,
        worker: str,
        source: Source,
        dataset: str,
        postgres: ThreadPoolExecutor,
        backoff: ProbeBackoff,
        limit: AbstractContextManager[None],
        *,
        probe: bool,
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._source = source
        self._dataset = dataset
        self._declared = datasets()[dataset]
        self._versioned = isinstance(self._declared.kind, Versioned)
        self._partial = source.is_partial(dataset)
        self._has_totals = bool(source.totals_of(dataset))
        self._postgres = postgres
        self._backoff = backoff
        self._limit = limit
        self._probes = probe and self._versioned
        self._merges: list[Future[None]] = []

    def hold(self, opened: Sequence[Opened]) -> list[Opened]:
        """Lock the ledger rows and the dataset. Return the objects that the worker has still claimed."""
        ids = [each.claimed.object_id for each in opened]
        rows = self._connection.execute(
            query("ingest/ledger/hold"), {"object_ids": ids, "worker": self._worker}
        ).fetchall()
        held = {object_id for (object_id,) in rows}
        still = [each for each in opened if each.claimed.object_id in held]
        self.lock_dataset(still)
        return still

    def lock_dataset(self, opened: Sequence[Opened], *, rejects_only: bool = False) -> None:
        """Wait until no other worker loads this source and dataset."""
        ledger.lock_dataset(self._connection, self._source.name, self._dataset)
        self._mapping_version, is_new = ledger.mapping_version(self._connection, self._source, self._dataset)
        which = {"source": self._source.name, "dataset": self._dataset}
        if is_new and self._versioned and not self._partial:
            # The source may have been partial until now.
            self._connection.execute(statement("ingest/patches/settle", self._declared), which)
        declared = self._source.snapshot_of(self._dataset)
        mapper = mapper_for(self._source, self._dataset, self._mapping_version)
        staging = partial(PatchStaging, mapper=mapper) if isinstance(mapper, PatchMapper) else Staging
        self._staging = staging(
            connection=self._connection,
            source=self._source.name,
            dataset=self._declared,
            columns=mapper.columns,
            mapping_version=self._mapping_version,
            held={each.claimed.object_id: each for each in opened},
            repeats=any(each.claimed.replayed for each in opened),
            rejects_only=rejects_only,
            open_rejects=self._versioned
            and self._connection.execute(query("ingest/rejects/any_open"), which).rowcount > 0,
            marks=Marks.of(self._connection, self._source, self._dataset),
            in_snapshots=[
                each.claimed.object_id
                for each in opened
                if declared is not None and declared.includes(each.claimed.key)
            ],
        )
        self._staging.prepare()

    def run(self, batches: Iterable[MicroBatch], *, whole: bool = False) -> None:
        """Stage and merge the micro-batches. `whole`: each contains whole objects, each of which may be refused."""
        try:
            self._run(batches, whole=whole)
        except psycopg.errors.InFailedSqlTransaction:
            # An earlier statement broke the transaction: its error is the cause.
            for merge in self._merges:
                merge.result()
            raise

    def settle(self, opened: Sequence[Opened]) -> None:
        """Write the data version, the final states of rejects, and the ledger entries."""
        for each in opened:
            outcome = each.outcome
            outcome.format = each.envelope.format
            describe(self._mapper(each), each)
            if outcome.fault is not None:
                # An object that fails for another reason has no stable list of rejects: it depends on its neighbours how
                # far the object was read.
                if outcome.fault.code == TOO_MANY_REJECTS and not each.claimed.loaded_before:
                    self._staging.add_rejects(each, each.first_bad)
                    self._resolve_rejects(each)
                continue
            outcome.fields_unread = each.seen.unread.total()
            outcome.state = ObjectState.LOADED_WITH_REJECTS if each.with_rejects else ObjectState.LOADED
            self._resolve_rejects(each)
        self._staging.supersede_own_rejects([each.claimed.object_id for each in opened if each.with_rejects])
        ledger.settle(self._connection, [each.outcome for each in opened], worker=self._worker)
        self.add_to_snapshots(opened)
        self.raise_data_version(opened)

    def add_to_snapshots(self, opened: Sequence[Opened]) -> None:
        """Add the objects that are not refused to their snapshots, and close the snapshots that are complete."""
        if self._staging.in_snapshots and self._staging.marks.add(opened):
            self._staging.history_changed = True

    def raise_data_version(self, opened: Sequence[Opened]) -> None:
        """Raise the data version if an object changed a row, or the version history."""
        if self._staging.history_changed or any(each.outcome.inserted or each.outcome.updated for each in opened):
            version = {"source": self._source.name, "dataset": self._dataset}
            self._connection.execute(query("ingest/ledger/raise_data_version"), version)

    def _mapper(self, opened: Opened) -> Mapper:
        """Return the mapper of the dialect in which an object is written."""
        dialect = self._source.dialect_of(self._dataset, opened.claimed.key)
        return mapper_for(self._source, self._dataset, self._mapping_version, dialect, cells=opened.cells)

    def _resolve_rejects(self, opened: Opened) -> None:
        """Settle the rejects of an earlier load whose records are valid now."""
        if opened.claimed.replayed:
            which = {"object_id": opened.claimed.object_id, "bad": opened.with_rejects}
            self._connection.execute(query("ingest/rejects/resolve_rejects"), which)

    def _run(self, batches: Iterable[MicroBatch], *, whole: bool) -> None:
        previous: tuple[MicroBatch, Future[Known] | None] | None = None
        for batch, probe_keys in self._with_probe_keys(batches):
            if whole and previous is not None:
                # The next probe must see what the objects of this micro-batch have sent. That is stored only once it is
                # known which of the objects are refused.
                self._finish(*previous, whole=whole)
                previous = None
            probe = self._postgres.submit(self._probe, batch, probe_keys, whole=whole) if probe_keys else None
            if previous is not None:
                self._finish(*previous, whole=whole)
            previous = (batch, probe)
        if previous is not None:
            self._finish(*previous, whole=whole)
        while self._merges:
            self._merges.pop(0).result()

    def _with_probe_keys(self, batches: Iterable[MicroBatch]) -> Iterator[tuple[MicroBatch, bytes]]:
        """Decode the micro-batches, each with its probe keys as binary COPY. Without a probe, there are no keys."""
        iterator = iter(batches)
        while True:
            with self._limit:
                batch = next(iterator, None)
                if batch is None:
                    return
                probed = self._probes and not self._backoff.skips(self._source.name, self._dataset)
                probe_keys = to_binary_copy(probe_keys_of(batch, self._mapper)) if probed else b""
            yield batch, probe_keys

    def _probe(self, batch: MicroBatch, probe_keys: bytes, *, whole: bool) -> Known:
        """Run the probe in the thread `postgres`. If whole objects may be refused, their findings are confirmed later."""
        known = self._staging.probe(batch, probe_keys, confirm=not whole)
        found, records = sum(map(len, known.values())), sum(len(chunk.records) for _, chunk in batch)
        self._backoff.note(self._source.name, self._dataset, known=found, records=records)
        return known

    def _finish(self, batch: MicroBatch, probe: Future[Known] | None, *, whole: bool) -> None:
        """Map the records that the probe did not find, and submit their merge."""
        known = probe.result() if probe is not None else {}
        with self._limit:
            accepted, bad = self._map(batch, known, whole=whole)
            staged = staged_rows(accepted, keep_all=self._partial)
        confirmed = list(accepted) if whole and known else []
        self._merges.append(self._postgres.submit(self._staging.merge, staged, bad, confirmed))
        while len(self._merges) > MAX_PENDING_STATEMENTS:
            self._merges.pop(0).result()

    def _map(
        self, batch: MicroBatch, known: Known, *, whole: bool
    ) -> tuple[dict[Opened, Rows], list[tuple[Opened, Bad]]]:
        """Map the records that are not stored yet. Return the rows to be merged, and the rejects."""
        rows: dict[Opened, Rows] = {}
        bad: list[tuple[Opened, Bad]] = []
        for opened, chunk in batch:
            opened.outcome.records += len(chunk.records)
            here = known.get(opened.position.object_id, ())
            places = [place for place in range(len(chunk.records)) if chunk.first_ordinal + place not in here]
            mapper = self._mapper(opened)
            mapped = mapper.map_all(chunk, places, opened.position)
            for each in (*mapped.bad, *mapped.unread):
                line = chunk.line(each.ordinal - chunk.first_ordinal)
                bad.append((opened, _note_bad(opened, each, line)))
            opened.counts.add(mapped.counts)
            opened.required.look_for(chunk)
            opened.seen.add(mapped.seen)
            opened.stored += len(here)
            if here:
                stored = [place for place in a_few(range(len(chunk.records))) if chunk.first_ordinal + place in here]
                opened.counts.add(mapper.look_at(chunk, stored))
            if self._has_totals:
                self._sum_up(opened, chunk, mapped.bad)
            rows.setdefault(opened, Rows()).extend(mapped.rows)
        if whole:
            for opened in rows:
                self._refuse_if_faulty(opened)
            bad = [(opened, each) for opened, each in bad if opened.outcome.fault is None]
        accepted = {
            opened: each if self._partial else each.deduplicated()
            for opened, each in rows.items()
            if opened.outcome.fault is None
        }
        for opened, each in accepted.items():
            opened.outcome.stale += len(rows[opened].keys) - len(each.keys)
            first_keys = opened.outcome.first_keys
            first_keys += each.keys[: FIRST_KEYS - len(first_keys)]
        return accepted, bad

    def _sum_up(self, opened: Opened, chunk: Chunk, bad: Sequence[Bad]) -> None:
        """Add the valid records of a chunk to the control totals of the object."""
        ordinals = {each.ordinal for each in bad}
        places = [place for place in range(len(chunk.records)) if chunk.first_ordinal + place not in ordinals]
        with localcontext(prec=DIGITS_OF_TOTAL):
            for column, more in self._mapper(opened).sums(chunk, places, opened.position).items():
                opened.totals[column] = opened.totals.get(column, Decimal(0)) + more

    def _refuse_if_faulty(self, opened: Opened) -> None:
        if opened.outcome.fault is None:
            try:
                accept_or_refuse(self._source, opened)
            except ObjectFault as fault:
                opened.outcome.refuse(fault)


def _note_bad(opened: Opened, bad: Bad, line: int | None) -> Bad:
    """Note a reject of an object. Return it as it is stored, with its line and with a bounded raw text."""
    bad = bad._replace(line=line, raw=bad.raw[:RAW_LIMIT], raw_complete=bad.raw_complete and len(bad.raw) <= RAW_LIMIT)
    if bad.kind == "field":
        opened.unread_ordinals.append(bad.ordinal)
        return bad
    opened.outcome.rejected += 1
    opened.bad_ordinals.append(bad.ordinal)
    if len(opened.first_bad) < REJECTS_OF_REFUSED:
        opened.first_bad.append(bad)
    return bad
