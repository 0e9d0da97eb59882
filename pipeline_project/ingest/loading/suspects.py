"""Loads objects whose worker died while it had them open, each in a process of its own.

    ledger: suspect ──► child process ──► loaded, or failed with a reason of its own
                          │   ▲
                          └───┘ the child died: one attempt more, until there are no more

The objects of a batch are opened together. So several objects are suspects, although only one of them ended the process. That
object now ends only its own process. It is decoded before the lock on its source is taken (Loader.rehearse), so that no other
load waits for it.
"""

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Literal, Self

from pipeline_project.child_process import ChildDied, Stopped, run_apart
from pipeline_project.database import Database
from pipeline_project.ingest import ledger
from pipeline_project.ingest.decoding import ObjectFault
from pipeline_project.ingest.ledger import Claimed, ObjectState, Outcome
from pipeline_project.ingest.loading.time_limit import TimeLimits
from pipeline_project.settings import Settings

AT_ONCE = 2
"""Number of processes at the same time. If one of them hangs, the other objects are still loaded."""
FIRST_PAUSE_SECONDS = 0.5
"""Pause before the second attempt, because memory may become free. Each further pause is twice as long."""
EXIT_OF_TIME_LIMIT = 1
SPLIT = "Split the file into smaller files and upload them"

LoadApart = Callable[[str, Settings, str | None, str, int], list[Outcome]]
"""A function that a child process can import. Its arguments are the loader's connection string, the settings, the run, the
name of the worker and the ID of the object."""

log = logging.getLogger("pipeline.ingest")


class Suspects:
    """The processes of the suspects of a worker. A context manager: its end stops the processes."""

    def __init__(
        self, database: Database, settings: Settings, load: LoadApart, *, worker: str, run_id: str | None
    ) -> None:
        self._database = database
        self._settings = settings
        self._load = load
        self._worker = worker
        self._run_id = run_id
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(AT_ONCE, "suspects")
        self._unfinished = 0
        self._ended: SimpleQueue[Outcome | BaseException | None] = SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._threads.shutdown(cancel_futures=True)

    def start(self, suspects: Sequence[Claimed]) -> None:
        """Start to load objects that wait in the ledger."""
        for each in suspects:
            self._unfinished += 1
            self._threads.submit(self._try, each, 1)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield each outcome as soon as it is known. Objects that another worker took, or that wait again, have none."""
        while self._unfinished:
            ended = self._ended.get()
            self._unfinished -= 1
            if isinstance(ended, BaseException):
                raise ended
            if ended is not None:
                yield ended

    def _try(self, suspect: Claimed, attempt: int) -> None:
        """Load a suspect in a process. If the process dies, the next attempt comes after the other suspects."""
        try:
            if attempt > 1:
                self._stop.wait(FIRST_PAUSE_SECONDS * 2 ** (attempt - 2))
            ended = None if self._stop.is_set() else self._load_apart(suspect, attempt)
            if ended is ObjectState.DISCOVERED:
                self._threads.submit(self._try, suspect, attempt + 1)
            else:
                self._ended.put(ended)
        except BaseException as error:
            self._ended.put(error)

    def _load_apart(self, suspect: Claimed, attempt: int) -> Outcome | Literal[ObjectState.DISCOVERED] | None:
        """Return the outcome. State DISCOVERED: the process died, and attempts are left."""
        worker = f"{self._worker}/{suspect.object_id}/{attempt}"
        arguments = (self._database.conninfo(), self._settings, self._run_id, worker, suspect.object_id)
        memory = self._settings.ingest_suspect_memory_bytes
        try:
            outcomes = run_apart(self._load, *arguments, memory=memory, stop=self._stop)
        except Stopped:
            with self._database.connect(autocommit=True) as connection:
                ledger.release(connection, worker=worker)
            return None
        except ChildDied as death:
            fault = explain_death(death, TimeLimits.from_settings(self._settings).of(suspect.size))
            log.warning("%s: %s", suspect.key, fault.message, extra={"object_id": suspect.object_id})
            state = self._note(suspect, worker, fault)
            if state is ObjectState.DISCOVERED:
                return state
            return _refused(suspect, fault) if state is ObjectState.FAILED else None
        return outcomes[0] if outcomes else None

    def _note(self, suspect: Claimed, worker: str, fault: ObjectFault) -> ObjectState | None:
        """Record the death in the ledger. Return the state of the object, or None if the child had not claimed it yet."""
        with self._database.connect(autocommit=True) as connection:
            states = ledger.retry_later(
                connection,
                [suspect.object_id],
                worker=worker,
                max_attempts=self._settings.ingest_max_attempts,
                code=fault.code,
                message=fault.message,
            )
        return states.get(suspect.object_id)


def explain_death(death: ChildDied, seconds: float) -> ObjectFault:
    """Say why a process that loaded one object ended, and what to do. `seconds` is the object's time limit."""
    if death.memory is not None:
        return ObjectFault(
            "out_of_memory",
            f"The platform needed more than {death.memory:,} bytes of memory to read this file. {SPLIT}, "
            "or raise PIPELINE_INGEST_SUSPECT_MEMORY_BYTES.",
        )
    if death.exit_code == EXIT_OF_TIME_LIMIT and death.seconds >= seconds:
        return ObjectFault(
            "took_too_long",
            f"The platform needed more than {seconds:,.0f} seconds to read this file, the limit for its size. {SPLIT}, "
            "or raise PIPELINE_INGEST_OBJECT_SECONDS.",
        )
    hint = " Linux does this when memory runs out." if death.exit_code == -signal.SIGKILL else ""
    return ObjectFault(
        "crashed",
        f"The process that read this file {death.how}.{hint} Export the file again, for example as CSV or JSON, and upload "
        "it. If that does not help, report the file and this message.",
    )


def _refused(suspect: Claimed, fault: ObjectFault) -> Outcome:
    outcome = Outcome(suspect.object_id, suspect.key)
    outcome.refuse(fault)
    return outcome
