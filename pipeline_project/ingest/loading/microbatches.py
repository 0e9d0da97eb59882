"""Objects whose content is at hand, and the pieces of them that are loaded together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from pipeline_project.ingest.decoding import Chunk, Envelope
from pipeline_project.ingest.ledger import Claimed, Outcome
from pipeline_project.ingest.mapping import Bad, ColumnCounts, ObjectPosition

MICRO_BATCH_RECORDS = 7_000
"""Records of an object that are merged together, while the next are mapped."""
MICRO_BATCH_BYTES = 4 * 1024 * 1024
"""Or fewer, if they are large."""
MICRO_BATCH_OF_SMALL = 4_000
"""Records of small objects that are merged together."""


@dataclass(eq=False)
class Opened:
    """A claimed object whose content is at hand. `chunks` can be taken once."""

    claimed: Claimed
    position: ObjectPosition
    chunks: Iterator[Chunk]
    envelope: Envelope
    outcome: Outcome = field(init=False)
    totals: dict[str, Decimal] = field(default_factory=dict)
    """Sums of the loaded rows' fields that the source declares control totals for."""
    counts: ColumnCounts = field(default_factory=ColumnCounts)
    """The columns of the records that were looked at."""
    bad_ordinals: list[int] = field(default_factory=list)
    first_bad: list[Bad] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outcome = Outcome(self.claimed.object_id, self.claimed.key, last_modified=self.position.modified_at)


MicroBatch = list[tuple[Opened, Chunk]]
"""Records that are probed, staged and merged together."""


def micro_batches_of(opened: Opened) -> Iterator[MicroBatch]:
    """An object of any size, some chunks at a time."""
    piece: MicroBatch = []
    count = size = 0
    for chunk in opened.chunks:
        piece.append((opened, chunk))
        count += len(chunk.records)
        size += sum(map(len, chunk.records))
        if count >= MICRO_BATCH_RECORDS or size >= MICRO_BATCH_BYTES:
            yield piece
            piece, count, size = [], 0, 0
    if piece:
        yield piece


def read_whole(opened: Opened, room: int) -> tuple[list[Chunk], int]:
    """The chunks of a small object, and the bytes of their records; not all of them where they need more room."""
    chunks: list[Chunk] = []
    size = 0
    for chunk in opened.chunks:
        size += sum(map(len, chunk.records))
        if size > room:
            break
        chunks.append(chunk)
    return chunks, size


def whole_objects(objects: Iterable[tuple[Opened, list[Chunk]]]) -> Iterator[MicroBatch]:
    """Whole objects, a few at a time. One without records is there with an empty chunk: it has to be checked, too."""
    piece: MicroBatch = []
    size = 0
    for opened, chunks in objects:
        piece += [(opened, chunk) for chunk in chunks or [Chunk(0, [])]]
        size += sum(len(chunk.records) for chunk in chunks)
        if size >= MICRO_BATCH_OF_SMALL:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
