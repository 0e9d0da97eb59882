"""The job record and its states. Pure, but for `now`: no table.

    SUBMITTED ──► QUEUED ──► RUNNING ──► SUCCEEDED | FAILED | TIMED_OUT
        │           │           │
        │           │           └──► CANCELLING ──► CANCELLED (| FAILED | TIMED_OUT)
        └───────────┴──────────────────────────────► CANCELLED

A job whose run is lost goes back to SUBMITTED, until its attempts are used up. A final state never changes.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, get_args

import msgspec

from pipeline_project.results.options import Format, Numbers, ResultOptions


class State(StrEnum):
    SUBMITTED = "SUBMITTED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def is_final(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: dict[State, frozenset[State]] = {
    State.SUBMITTED: frozenset({State.QUEUED, State.RUNNING, State.CANCELLED, State.FAILED}),
    State.QUEUED: frozenset({State.RUNNING, State.SUBMITTED, State.CANCELLED, State.FAILED}),
    State.RUNNING: frozenset(
        {State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLING, State.CANCELLED, State.SUBMITTED}
    ),
    State.CANCELLING: frozenset({State.CANCELLED, State.FAILED, State.TIMED_OUT}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
    State.TIMED_OUT: frozenset(),
}
Reason = Literal["asked", "long", "slow", "large"]
"""Why a synchronous request became a job."""
REASONS: tuple[Reason, ...] = get_args(Reason)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job ended badly: a stable code, and what a person should know. No database text."""

    code: str
    detail: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rows of a finished job are. `sha256` is of the file, in hex."""

    format: str
    key: str
    bytes: int
    rows: int
    sha256: str
    columns: list[dict[str, str]]
    truncated: bool
    data_version: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job. Times are UTC as `timestamp` writes them; they compare as strings."""

    id: str
    owner: str
    """The principal who submitted it; nobody else sees it."""
    operation: str
    parameters: dict[str, Any]
    format: Format
    numbers: Numbers = Numbers.NUMBER
    row_limit: int | None = None
    byte_limit: int | None = None
    labels: dict[str, str] = {}
    """The caller's own names and values, by which a listing can be filtered."""
    state: State
    fingerprint: str
    """Of what was asked; tells a repeated request from another one under the same Idempotency-Key."""
    reason: Reason | None = None
    trace: str | None = None
    """X-Ray's header of the request that submitted it, where requests are traced."""
    created_at: str
    updated_at: str
    expires_at: str
    started_at: str | None = None
    finished_at: str | None = None
    heartbeat_at: str | None = None
    run_id: str | None = None
    """The Dagster run that was launched, then the one that claimed it."""
    launches: int = 0
    attempts: int = 0
    rows_written: int | None = None
    cancel_requested_at: str | None = None
    error: Failure | None = None
    result: Result | None = None

    @property
    def options(self) -> ResultOptions:
        return ResultOptions(
            format=self.format, numbers=self.numbers, row_limit=self.row_limit, byte_limit=self.byte_limit
        )

    @property
    def queued_seconds(self) -> float | None:
        """Time until the last run began."""
        return _seconds(self.created_at, self.started_at)

    @property
    def run_seconds(self) -> float | None:
        """Time of the last run, once it has ended."""
        return _seconds(self.started_at, self.finished_at)


def _seconds(begin: str | None, end: str | None) -> float | None:
    return None if begin is None or end is None else (moment(end) - moment(begin)).total_seconds()


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC of one fixed width, so that times sort as text: `2026-11-23T16:44:00.123Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def moment(text: str) -> datetime:
    """The inverse of `timestamp`."""
    return datetime.fromisoformat(text)


def now() -> datetime:
    """The clock of everything that is not a test."""
    return datetime.now(UTC)
