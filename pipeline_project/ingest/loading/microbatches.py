"""Opened objects, and the micro-batches in which their records are loaded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from pipeline_project.ingest.decoding import Chunk, Envelope
from pipeline_project.ingest.ledger import Claimed, Outcome
from pipeline_project.ingest.loading.required_columns import RequiredColumns
from pipeline_project.ingest.mapping import Bad, ColumnCounts, ColumnsSeen, ObjectPosition

MICRO_BATCH_RECORDS = 7_000
"""Number of records in a micro-batch of one object."""
MICRO_BATCH_BYTES = 4 * 1024 * 1024
"""Most bytes of records in a micro-batch of one object."""
MICRO_BATCH_OF_SMALL = 4_000
"""Number of records in a micro-batch of several small objects."""


@dataclass(eq=False)
class Opened:
    """A claimed object whose content can be read. `chunks` can be iterated once."""

    claimed: Claimed
    position: ObjectPosition
    chunks: Iterator[Chunk]
    envelope: Envelope
    required: RequiredColumns = field(default_factory=lambda: RequiredColumns(()))
    listed: list[str] | None = None
    """The files that it lists, if it is the manifest of a snapshot."""
    as_of: datetime | None = None
    """When the exporter read, if the object belongs to a snapshot and tells the time."""
    outcome: Outcome = field(init=False)
    totals: dict[str, Decimal] = field(default_factory=dict)
    """Sums of the fields that the source declares control totals for."""
    counts: ColumnCounts = field(default_factory=ColumnCounts)
    """The columns of the records that were looked at."""
    seen: ColumnsSeen = field(default_factory=ColumnsSeen)
    """What was found in the values of the records that were mapped."""
    stored: int = 0
    """Number of records that were not mapped, since they are already stored."""
    bad_ordinals: list[int] = field(default_factory=list)
    first_bad: list[Bad] = field(default_factory=list)
    unread_ordinals: list[int] = field(default_factory=list)
    """Records that were loaded without some of their values."""

    @property
    def cells(self) -> bool:
        """Return whether the values are cells of a CSV file. Valid after the first chunk."""
        return "csv" in (self.envelope.format or "")

    @property
    def with_rejects(self) -> list[int]:
        """The records that have a reject."""
        return self.bad_ordinals + self.unread_ordinals

    def __post_init__(self) -> None:
        self.outcome = Outcome(self.claimed.object_id, self.claimed.key, last_modified=self.position.modified_at)


MicroBatch = list[tuple[Opened, Chunk]]
"""Records that are probed, staged and merged together."""


def micro_batches_of(opened: Opened) -> Iterator[MicroBatch]:
    """Split an object of any size into micro-batches."""
    batch: MicroBatch = []
    count = size = 0
    for chunk in opened.chunks:
        batch.append((opened, chunk))
        count += len(chunk.records)
        size += sum(map(len, chunk.records))
        if count >= MICRO_BATCH_RECORDS or size >= MICRO_BATCH_BYTES:
            yield batch
            batch, count, size = [], 0, 0
    if batch:
        yield batch


def read_whole(opened: Opened, room: int) -> tuple[list[Chunk], int]:
    """Return the chunks of a small object and the size of their records in bytes.

    If the records need more than `room` bytes, the size is greater than `room`, and chunks are missing.
    """
    chunks: list[Chunk] = []
    size = 0
    for chunk in opened.chunks:
        size += sum(map(len, chunk.records))
        if size > room:
            break
        chunks.append(chunk)
    return chunks, size


def whole_objects(objects: Iterable[tuple[Opened, list[Chunk]]]) -> Iterator[MicroBatch]:
    """Group whole objects into micro-batches. An object without records gets an empty chunk, because it is checked, too."""
    batch: MicroBatch = []
    size = 0
    for opened, chunks in objects:
        batch += [(opened, chunk) for chunk in chunks or [Chunk(0, [])]]
        size += sum(len(chunk.records) for chunk in chunks)
        if size >= MICRO_BATCH_OF_SMALL:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
