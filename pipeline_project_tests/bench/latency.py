"""How long until an uploaded row can be read, and what it costs: measured on the running stack, beside the goals.

Start the stack (`pipeline local up`), then, in the same folder: `python -m pipeline_project_tests.bench.latency`.
A reader polls each 5 ms over a connection of its own, so figures are too high by that much at most.
"""

import argparse
import random
import statistics
import time
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from pipeline_project import aws
from pipeline_project.database import Database
from pipeline_project.settings import Settings

POLL_SECONDS = 0.005
LONGEST_WAIT = 120.0
VISIBLE = b"SELECT canonical_id FROM entities WHERE canonical_id = ANY (%s)"
SOURCES = ("crm", "erp", "legacy")
NAMES = {"crm": "name", "erp": "businessName", "legacy": "name"}


@dataclass(frozen=True)
class Upload:
    """One object with one entity, and when S3 acknowledged it."""

    canonical_id: str
    acknowledged: float


class Bench:
    """The landing bucket and a reader."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._s3 = aws.client(settings, "s3")
        self._reader = Database.from_settings(settings, "reader", aws.client(settings, "secretsmanager"))
        self._loader = Database.from_settings(settings, "loader", aws.client(settings, "secretsmanager"))

    def upload(self) -> Upload:
        source, number = random.choice(SOURCES), uuid.uuid4().hex
        record = {"id": number, NAMES[source]: f"Company {number}", "country": "DE", "industry": "Bench", "revenue": 1}
        key = f"{source}-data/bench/{number}.json"
        self._s3.put_object(Bucket=self._settings.landing_bucket, Key=key, Body=msgspec.json.encode([record]))
        return Upload(f"{source}_{number}", time.monotonic())

    def seconds_until_visible(self, uploads: Sequence[Upload]) -> list[float]:
        """Until each can be read, from the moment it was acknowledged."""
        waiting = {upload.canonical_id: upload.acknowledged for upload in uploads}
        found: list[float] = []
        with self._reader.connect(autocommit=True) as connection:
            while waiting and time.monotonic() - max(waiting.values()) < LONGEST_WAIT:
                rows = connection.execute(VISIBLE, (list(waiting),)).fetchall()
                now = time.monotonic()
                found += [now - waiting.pop(canonical_id) for (canonical_id,) in rows]
                time.sleep(POLL_SECONDS)
        return found + [float("inf")] * len(waiting)

    def isolated(self, count: int, longest_pause: float) -> list[float]:
        """One upload at a time, at random moments."""
        found = []
        for _ in range(count):
            time.sleep(random.uniform(1, longest_pause))
            found += self.seconds_until_visible([self.upload()])
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

        with ThreadPoolExecutor(4) as pool, self._reader.connect(autocommit=True) as connection:
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
        with self._loader.connect() as connection:
            row = connection.execute(
                "SELECT count(*) FROM ingest.objects WHERE state IN ('discovered', 'claimed')"
            ).fetchone()
        return row[0] if row else 0

    def runs(self, since: float) -> int:
        """Ingest runs that took objects in the last `since` seconds."""
        with self._loader.connect() as connection:
            row = connection.execute(
                "SELECT count(DISTINCT run_id) FROM ingest.objects WHERE started_at > now() - make_interval(secs => %s)",
                (since,),
            ).fetchone()
        return row[0] if row else 0


class Meter:
    """CPU seconds and private memory of the stack's processes: all that carry the mark of its state folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PIPELINE_LOCAL_STATE") == self._folder:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def cpu_seconds(self) -> float:
        """Of living processes and the children they have waited for."""
        total = 0.0
        for process in self.processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system + times.children_user + times.children_system
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isolated", type=int, default=50, help="isolated uploads (default 50)")
    parser.add_argument("--pause", type=float, default=8.0, help="longest pause between them, seconds")
    parser.add_argument("--rate", type=float, default=5.0, help="files a second of the steady load")
    parser.add_argument("--seconds", type=float, default=180.0, help="length of the steady load; 0: none")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of doing nothing, for its cost")
    parser.add_argument("--state", default=".pipeline", help="the stack's state folder")
    options = parser.parse_args()

    bench, meter = Bench(Settings.load()), Meter(str(Path(options.state).resolve()))
    table = Table("what", "measured", "goal", title="Latency", title_justify="left")
    bench.isolated(2, 1.5)  # first ones find nothing cached

    idle = meter.cpu_seconds()
    time.sleep(options.idle)
    idle = (meter.cpu_seconds() - idle) / options.idle
    table.add_row("idle: share of one core", f"{idle:.1%}", "≤ 5 %")
    table.add_row("idle: private memory", f"{meter.memory() / 2**30:.2f} GB", "≤ 1 GB")

    begin, cpu = time.monotonic(), meter.cpu_seconds()
    found = bench.isolated(options.isolated, options.pause)
    took = time.monotonic() - begin
    runs = bench.runs(took)
    spent = meter.cpu_seconds() - cpu - idle * took
    table.add_row(f"isolated uploads (n = {len(found)}): p50", f"{statistics.median(found):.2f} s", "≤ 0.8 s")
    table.add_row("isolated uploads: p95", f"{percentile(found, 0.95):.2f} s", "≤ 2.5 s")
    table.add_row("isolated uploads: longest", f"{max(found):.2f} s", "")
    table.add_row(f"CPU for each of {runs} runs", f"{spent / max(runs, 1):.2f} s", "≤ 0.6 s")

    if options.seconds:
        found = bench.steady(options.rate, options.seconds)
        name = f"{options.rate:g} files/s for {options.seconds:g} s (n = {len(found)})"
        table.add_row(f"{name}: p50", f"{statistics.median(found):.2f} s", "")
        table.add_row(f"{name}: p95", f"{percentile(found, 0.95):.2f} s", "≤ 4 s")
        table.add_row("backlog afterwards", str(bench.backlog()), "0")
    Console().print(table)


if __name__ == "__main__":
    main()
