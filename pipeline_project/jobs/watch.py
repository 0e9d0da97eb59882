"""Watches over a running job from a thread of its own: says that the run lives, and stops the query when the job is
cancelled, out of time, or no longer this run's.
"""

import logging
import threading
import time
from types import TracebackType
from typing import Self

from pipeline_project.database import Database
from pipeline_project.jobs.model import Job, State
from pipeline_project.jobs.store import JobStore, StateConflict
from pipeline_project.schema.sql_files import query

BEAT_SECONDS = 1.0
"""How often it is looked; a cancellation takes at most that long to reach the database."""

logger = logging.getLogger("pipeline.jobs")


class Watch:
    """Use it as a context manager around the work. `verdict` is why the work has to stop, None as long as it may go on."""

    def __init__(
        self, store: JobStore, job: Job, run_id: str, database: Database, seconds: float, beat: float = BEAT_SECONDS
    ) -> None:
        """`seconds` is what the job may take from now."""
        self._store = store
        self._job = job
        self._run_id = run_id
        self._database = database
        self._deadline = time.monotonic() + seconds
        self._beat = beat
        self._backend: int | None = None
        self._at_backend = threading.Lock()
        self._over = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch-{job.id}", daemon=True)
        self.rows = 0
        """Written so far; the work counts it, and it goes into the job's record."""
        self.verdict: State | None = None
        """CANCELLING, TIMED_OUT, or SUBMITTED when the run was given up for lost."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def backend(self, pid: int) -> None:
        """The work is done by this backend of PostgreSQL from now on."""
        with self._at_backend:
            self._backend = pid

    def no_backend(self) -> None:
        """The backend may serve somebody else from now on, and must not be cancelled any more."""
        with self._at_backend:
            self._backend = None

    def pause(self, seconds: float) -> None:
        """Sleep, but not past a verdict."""
        self._stopped.wait(seconds)

    def _watch(self) -> None:
        while not self._over.wait(self._beat):
            if self.verdict is None:
                self.verdict = self._look()
            if self.verdict is not None:
                self._stopped.set()
                self._cancel()  # again each time: the backend may have been between two statements

    def _look(self) -> State | None:
        if time.monotonic() > self._deadline:
            return State.TIMED_OUT
        try:
            job = self._store.heartbeat(self._job.id, self._run_id, self.rows or None)
        except StateConflict:
            return State.SUBMITTED
        except Exception as error:  # whatever it is, the next beat may succeed
            logger.warning("job %s: heartbeat failed: %s", self._job.id, type(error).__name__)
            return None
        return State.CANCELLING if job.state is State.CANCELLING else None

    def _cancel(self) -> None:
        with self._at_backend:
            if self._backend is None:
                return
            try:
                with self._database.connect(autocommit=True) as connection:
                    connection.execute(query("jobs/cancel_backend"), {"pid": self._backend})
            except Exception as error:  # tried again at the next beat
                logger.warning("job %s: cancelling failed: %s", self._job.id, type(error).__name__)
