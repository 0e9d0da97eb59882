"""Limits the time for decoding and mapping an object, because a hostile file can keep a decoder busy for ever.

No Python code can stop a C function that holds the lock of the interpreter. Therefore the process ends itself. Its supervisor
and the ledger treat this like every other death of a worker (suspects.py).
"""

import faulthandler
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pipeline_project.settings import Settings

MEGABYTE = 1024 * 1024
STANDARD_ERROR = 2
"""File descriptor. `sys.stderr` is not used, because Dagster and tests replace it by objects without a descriptor."""
LEAST_SECONDS = 0.001


@dataclass(frozen=True)
class TimeLimits:
    """Time limit in seconds: a constant, and more for each megabyte of the object as it is stored in S3."""

    seconds: float
    seconds_per_megabyte: float

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings.ingest_object_seconds, settings.ingest_object_seconds_per_megabyte)

    def of(self, size: int) -> float:
        """Return the limit for an object of this size in bytes."""
        return self.seconds + self.seconds_per_megabyte * size / MEGABYTE


class TimeLimit:
    """A context manager that can be entered repeatedly. Only the time spent inside counts.

    When the time is over, a thread of C code writes the stack of each thread to the standard error, and ends the process with
    exit code 1. A process has one such timer. If two limits are entered at the same time, the later one counts.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._entered_at = 0.0

    def __enter__(self) -> None:
        self._entered_at = time.monotonic()
        faulthandler.dump_traceback_later(self._left, exit=True, file=STANDARD_ERROR)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._left = max(LEAST_SECONDS, self._left - (time.monotonic() - self._entered_at))
