"""Decides which micro-batches are probed, and builds their probe keys.

A probe finds records that are already stored unchanged, so that they are neither mapped nor merged. It pays only if there
are such records: in an initial load there are none.
"""

from collections.abc import Callable
from itertools import groupby

from pipeline_project.ingest.loading.microbatches import MicroBatch, Opened
from pipeline_project.ingest.mapping import Mapper, ProbeKeys, joined, without_repeated_keys

PROBE_BACKOFF = 8
"""Number of micro-batches that are loaded without a probe after a probe that found almost nothing."""
KNOWN_ENOUGH = 0.05
"""Share of the records of a micro-batch that a probe must find to be worth its time."""


class ProbeBackoff:
    """The number of micro-batches of each source and dataset that still go without a probe."""

    def __init__(self) -> None:
        self._left: dict[tuple[str, str], int] = {}

    def skips(self, source: str, dataset: str) -> bool:
        """Count one micro-batch, and return whether it goes without a probe."""
        left = self._left.get((source, dataset), 0)
        if left:
            self._left[source, dataset] = left - 1
        return left > 0

    def note(self, source: str, dataset: str, *, known: int, records: int) -> None:
        """Start a backoff if the probe found too few of the records."""
        if known < KNOWN_ENOUGH * records:
            self._left[source, dataset] = PROBE_BACKOFF


def probe_keys_of(batch: MicroBatch, mapper_of: Callable[[Opened], Mapper]) -> ProbeKeys:
    """Build the probe keys of all records of a micro-batch.

    A key that an object repeats is left out. The newest valid record counts, and mapping must show which record that is.
    """
    return joined(
        [
            without_repeated_keys(
                joined([mapper_of(opened).probe_keys(chunk, opened.position, place) for opened, chunk in of_object])
            )
            for place, (_, of_object) in enumerate(groupby(batch, lambda each: id(each[0])), 1)
        ]
    )
