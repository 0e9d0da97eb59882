"""Loads decoded objects into PostgreSQL, one large object or many small objects in each transaction.

Loads of one source and dataset run one after another (an advisory lock). Other loads never touch the same rows, because a
canonical ID begins with the name of its source.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import islice

from pipeline_project.database import Connection
from pipeline_project.ingest.decoding import Chunk, ObjectFault
from pipeline_project.ingest.ledger import Outcome
from pipeline_project.ingest.loading.acceptance import accept_or_refuse
from pipeline_project.ingest.loading.microbatches import Opened, micro_batches_of, read_whole, whole_objects
from pipeline_project.ingest.loading.probing import ProbeBackoff
from pipeline_project.ingest.loading.time_limit import TimeLimit, TimeLimits
from pipeline_project.ingest.loading.transaction import LoadTransaction
from pipeline_project.ingest.loading.tuning import tuned
from pipeline_project.ingest.mapping import mapper_for
from pipeline_project.sources.source import Source

TOGETHER_UNPACKED = 32 * 1024 * 1024
"""Most bytes of decoded records that small objects of one transaction may have. Compressed objects may be much smaller."""
REJECTS_TOGETHER = 1_000
"""Number of rejected records that are replayed in one micro-batch."""
NO_LIMIT: AbstractContextManager[None] = nullcontext()


class Loader:
    """A loader of objects over one connection, which has no other user meanwhile.

    `worker` is the name under which the objects were claimed. `limits` bound the time in which objects are decoded and
    mapped. The time in which PostgreSQL works, or another load has the lock, does not count. None: there is no bound.
    """

    def __init__(self, connection: Connection, worker: str, limits: TimeLimits | None = None) -> None:
        self._connection = connection
        self._worker = worker
        self._limits = limits
        self._backoff = ProbeBackoff()
        with connection.transaction():
            # Without this, PostgreSQL sends a notice for each temporary table that exists already.
            connection.execute("SET client_min_messages = warning")

    def load_one(self, source: Source, dataset: str, opened: Opened, *, probe: bool = True) -> Outcome | None:
        """Stream an object of any size. Return None if the claim has expired and another worker has the object.

        Raises JudgedInPart if the object would be refused, but not all of its records were mapped. Open the object again,
        and load it without `probe`.
        """
        limit = self._limit([opened])
        try:
            with self._transaction(source, dataset, limit, probe=probe) as load:
                if not load.hold([opened]):
                    return None
                load.run(micro_batches_of(opened))
                with limit:
                    accept_or_refuse(source, opened)
                load.settle([opened])
        except ObjectFault as fault:
            # The rows of the object are rolled back. A second transaction records the failure.
            opened.outcome.refuse(fault)
            with self._transaction(source, dataset) as load:
                if not load.hold([opened]):
                    return None
                load.settle([opened])
        return opened.outcome

    def rehearse(self, source: Source, dataset: str, opened: Opened) -> None:
        """Decode and map an object without writing. If that kills the process, no transaction and no lock are lost.

        All other errors are ignored, because they show again when the object is loaded.
        """
        with suppress(Exception), self._limit([opened]):
            for chunk in opened.chunks:
                mapper = mapper_for(
                    source, dataset, 0, source.dialect_of(dataset, opened.claimed.key), cells=opened.cells
                )
                mapper.map_all(chunk, list(range(len(chunk.records))), opened.position)

    def load_many(self, source: Source, dataset: str, opened: Sequence[Opened]) -> list[Outcome]:
        """Load small objects in one transaction. Each object is loaded or refused on its own.

        All their records are in memory at once. The result leaves out objects that another worker has taken, and objects
        for whose records there is not enough room.
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
        with self._transaction(source, dataset, limit) as load:
            held = load.hold(list(unpacked))
            load.run(whole_objects((each, unpacked[each]) for each in held), whole=True)
            load.settle(held)
        return [each.outcome for each in held]

    def load_rejected(self, source: Source, dataset: str, opened: Opened, settle: Callable[[], None]) -> None:
        """Load records that were rejected before. The chunks of the object are these records.

        `settle` writes to the ledger. It is called before the snapshot of the object is judged.
        """
        with self._transaction(source, dataset) as load:
            load.lock_dataset([opened], rejects_only=True)
            # Each record is a chunk of its own, because the ordinals have gaps.
            while rows := list(islice(opened.chunks, REJECTS_TOGETHER)):
                load.run([[(opened, row) for row in rows]])
            settle()
            load.add_to_snapshots([opened])
            load.raise_data_version([opened])

    @contextmanager
    def _transaction(
        self, source: Source, dataset: str, limit: AbstractContextManager[None] = NO_LIMIT, *, probe: bool = True
    ) -> Iterator[LoadTransaction]:
        # The thread ends before the transaction: the connection must be idle before it can commit or roll back.
        with tuned(), self._connection.transaction(), ThreadPoolExecutor(1, "postgres") as postgres:
            yield LoadTransaction(
                self._connection, self._worker, source, dataset, postgres, self._backoff, limit, probe=probe
            )

    def _limit(self, opened: Sequence[Opened]) -> AbstractContextManager[None]:
        """Return the limit for all of these objects. It is entered where they are decoded and mapped."""
        if self._limits is None:
            return NO_LIMIT
        return TimeLimit(self._limits.of(sum(each.claimed.size for each in opened)))
