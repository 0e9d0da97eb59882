"""How chunks are put together."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.ingest.decoding.records import Chunk, Envelope
from pipeline_project.ingest.ledger import Claimed
from pipeline_project.ingest.loading.microbatches import Opened, micro_batches_of
from pipeline_project_tests.mapped import POSITION

MICRO_BATCH_RECORDS = 7_000
MICRO_BATCH_BYTES = 4 * 1024 * 1024

MANY = b"{}"
LARGE = b" " * (MICRO_BATCH_BYTES // 3)


def opened(chunks: Iterator[Chunk]) -> Opened:
    claimed = Claimed(
        object_id=POSITION.object_id,
        bucket="landing",
        key="crm-data/a.json",
        version="1",
        versioned=True,
        size=1,
        source="crm",
        dataset="entities",
        attempts=1,
        replayed=False,
        loaded_before=False,
    )
    return Opened(claimed, POSITION, chunks, Envelope())


@given(st.lists(st.builds(lambda text, count: [text] * count, st.sampled_from([MANY, LARGE]), st.integers(1, 3_000))))
def test_pieces_are_as_large_as_they_may_be(chunks: list[list[bytes]]) -> None:
    """The last chunk of a piece is what makes it large enough, and is never split."""
    chunks = [chunk[:2] if chunk[0] is LARGE else chunk for chunk in chunks]
    pieces = list(micro_batches_of(opened(Chunk(1, [*chunk]) for chunk in chunks)))
    found = [[chunk.records for _, chunk in piece] for piece in pieces]
    assert [records for piece in found for records in piece] == chunks
    for place, piece in enumerate(found):
        assert not enough(piece[:-1])
        assert enough(piece) or place == len(found) - 1


def enough(piece: list[list[bytes]]) -> bool:
    records = [record for chunk in piece for record in chunk]
    return len(records) >= MICRO_BATCH_RECORDS or sum(map(len, records)) >= MICRO_BATCH_BYTES


def test_no_more_is_read_than_the_piece_needs() -> None:
    read: list[int] = []

    def chunks() -> Iterator[Chunk]:
        for place in range(10):
            read.append(place)
            yield Chunk(1, [LARGE, LARGE])

    next(micro_batches_of(opened(chunks())))
    assert read == [0, 1]
