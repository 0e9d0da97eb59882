"""How long until an uploaded row can be read, and what that costs, beside the goals and beside a stock Dagster.

It starts a platform of its own, then the same with `--stock`. A reader polls each 5 ms over a connection of its own, so
times are too high by that much at most.
"""

import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil

from pipeline_project import aws
from pipeline_project.database import Connection, Database
from pipeline_project.local.supervision import MARK
from pipeline_project_tests.live_stack import LiveStack, live_stack

POLL_SECONDS = 0.005
LONGEST_WAIT = 120.0
LONGEST_PAUSE = 4.0
"""Between isolated uploads; the shortest is a second."""
SETTLE_SECONDS = 20
"""After the start: definitions are loaded, first ticks are over, spare workers are there."""
RATE = 5.0
VISIBLE = b"SELECT canonical_id FROM entities WHERE canonical_id = ANY (%s)"
BACKLOG = b"SELECT count(*) FROM ingest.objects WHERE state IN ('discovered', 'claimed')"
RUNS = b"SELECT count(DISTINCT run_id) FROM ingest.objects WHERE started_at > now() - make_interval(secs => %s)"
NAMES = {"crm": "name", "erp": "businessName", "legacy": "name"}


class Effort(NamedTuple):
    """How much is measured: uploads, and seconds."""

    isolated: int
    steady: float
    idle: float


OURS = Effort(isolated=50, steady=180, idle=40)
STOCK = Effort(isolated=12, steady=60, idle=20)
GOALS: dict[str, float] = {
    "idle: share of one core": 0.05,
    "idle: private memory, GB": 1.0,
    "isolated uploads: p50, s": 0.8,
    "isolated uploads: p95, s": 2.5,
    "isolated uploads: CPU for each run, s": 0.6,
    "steady uploads: p95, s": 4.0,
    "steady uploads: backlog afterwards": 0,
}


@dataclass(frozen=True)
class Upload:
    """One object with one entity, and when S3 acknowledged it."""

    canonical_id: str
    acknowledged: float


class Bench:
    """A running platform and a reader."""

    def __init__(self, stack: LiveStack) -> None:
        self._stack = stack
        secrets = aws.client(stack.settings, "secretsmanager")
        self._reader = Database.from_settings(stack.settings, "reader", secrets)
        self.reading_seconds = 0.0
        """What PostgreSQL spent so far on being asked each 5 ms: no part of a run's cost."""

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        with self._reader.connect(autocommit=True) as connection:
            backend = psutil.Process(connection.info.backend_pid)
            try:
                yield connection
            finally:
                times = backend.cpu_times()
                self.reading_seconds += times.user + times.system

    def upload(self) -> Upload:
        source, number = random.choice(list(NAMES)), uuid.uuid4().hex
        record = {"id": number, NAMES[source]: f"Company {number}", "country": "DE", "industry": "Bench", "revenue": 1}
        self._stack.upload(f"{source}-data/bench/{number}.json", msgspec.json.encode([record]))
        return Upload(f"{source}_{number}", time.monotonic())

    def isolated(self, count: int) -> list[float]:
        """Seconds until each can be read: one upload at a time, at random moments."""
        found = []
        with self.reader() as connection:
            for _ in range(count):
                time.sleep(random.uniform(1, LONGEST_PAUSE))
                upload = self.upload()
                while not connection.execute(VISIBLE, ([upload.canonical_id],)).fetchall():
                    if time.monotonic() - upload.acknowledged > LONGEST_WAIT:
                        return [*found, float("inf")]
                    time.sleep(POLL_SECONDS)
                found.append(time.monotonic() - upload.acknowledged)
        return found

    def steady(self, per_second: float, seconds: float) -> list[float]:
        """Uploads at a steady rate, while one reader looks for all of them."""
        total = int(per_second * seconds)
        waiting: dict[str, float] = {}
        found: list[float] = []

        def send(number: int, begin: float) -> None:
            time.sleep(max(0.0, begin + number / per_second - time.monotonic()))
            upload = self.upload()
            waiting[upload.canonical_id] = upload.acknowledged

        with ThreadPoolExecutor(4) as pool, self.reader() as connection:
            begin = time.monotonic()
            for number in range(total):
                pool.submit(send, number, begin)
            while len(found) < total and time.monotonic() - begin < seconds + LONGEST_WAIT:
                rows = connection.execute(VISIBLE, (list(waiting),)).fetchall()
                now = time.monotonic()
                found += [now - waiting.pop(canonical_id) for (canonical_id,) in rows]
                time.sleep(5 * POLL_SECONDS)
        return found + [float("inf")] * (total - len(found))

    def backlog(self) -> int:
        return self._stack.sql(BACKLOG)[0][0]

    def runs(self, seconds: float) -> int:
        """Ingest runs that took objects in the last seconds."""
        return self._stack.sql(RUNS, (seconds,))[0][0]


class Meter:
    """CPU seconds and private memory of a platform: of who started it, and of all that carry the mark of its state folder."""

    def __init__(self, stack: LiveStack) -> None:
        self._folder = str(stack.state.folder)
        self._first = stack.console.process.pid

    def processes(self) -> Iterator[psutil.Process]:
        """PostgreSQL's backends, which overwrite their environment, are known by their parent."""
        found = {}
        for process in psutil.process_iter():
            try:
                if process.pid == self._first or process.environ().get(MARK) == self._folder:
                    found |= {each.pid: each for each in (process, *process.children())}
            except psutil.Error:
                continue
        yield from found.values()

    def cpu_seconds(self) -> float:
        """Of living processes and the children they have waited for."""
        total = 0.0
        for process in self.processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
            if process.pid != self._first:  # whose children built the function's bundle and then left
                total += times.children_user + times.children_system
        return total

    def memory(self) -> int:
        """Private bytes (USS): shared pages count for nobody."""
        total = 0
        for process in self.processes():
            try:
                total += process.memory_full_info().uss
            except psutil.Error:
                continue
        return total


def percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(stack: LiveStack, effort: Effort) -> dict[str, float]:
    """Each figure by its name."""
    bench, meter = Bench(stack), Meter(stack)
    bench.isolated(3)  # the first find nothing cached
    time.sleep(SETTLE_SECONDS)

    begin, cpu = time.monotonic(), meter.cpu_seconds()
    time.sleep(effort.idle)
    idle = (meter.cpu_seconds() - cpu) / (time.monotonic() - begin)
    figures: dict[str, float] = {"idle: share of one core": idle, "idle: private memory, GB": meter.memory() / 2**30}

    begin, cpu = time.monotonic(), meter.cpu_seconds() - bench.reading_seconds
    found = bench.isolated(effort.isolated)
    took = time.monotonic() - begin
    spent = meter.cpu_seconds() - bench.reading_seconds - cpu - idle * took
    figures |= {
        "isolated uploads: n": len(found),
        "isolated uploads: p50, s": statistics.median(found),
        "isolated uploads: p95, s": percentile(found, 0.95),
        "isolated uploads: longest, s": max(found),
        "isolated uploads: CPU for each run, s": spent / max(bench.runs(took), 1),
    }

    begin, cpu = time.monotonic(), meter.cpu_seconds() - bench.reading_seconds
    found = bench.steady(RATE, effort.steady)
    took = time.monotonic() - begin
    spent = meter.cpu_seconds() - bench.reading_seconds - cpu - idle * took
    runs = bench.runs(took)
    return figures | {
        "steady uploads: n": len(found),
        "steady uploads: p50, s": statistics.median(found),
        "steady uploads: p95, s": percentile(found, 0.95),
        "steady uploads: longest, s": max(found),
        "steady uploads: runs": runs,
        "steady uploads: CPU for each run, s": spent / max(runs, 1),
        "steady uploads: backlog afterwards": bench.backlog(),
    }


@contextmanager
def platform(*options: str) -> Iterator[LiveStack]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder)
        with live_stack(path / "stack", path / "api.zip", *options) as stack:
            yield stack


def run(scale: float) -> Sequence[dict[str, Any]]:
    """About ten minutes at scale 1, of which the stock platform takes four."""
    found = []
    for effort, options in ((OURS, ()), (STOCK, ("--stock",))):
        scaled = Effort(
            max(3, round(effort.isolated * scale)), max(4, effort.steady * scale), max(5, effort.idle * scale)
        )
        with platform(*options) as stack:
            found.append(measure(stack, scaled))
    ours, stock = found
    return [
        {"figure": name, "measured": round(value, 3), **_against(name, value), "stock Dagster": round(stock[name], 3)}
        for name, value in ours.items()
    ]


def _against(name: str, value: float) -> dict[str, Any]:
    if name not in GOALS:
        return {"at most": None, "holds": None}
    return {"at most": GOALS[name], "holds": "yes" if value <= GOALS[name] else "NO"}
