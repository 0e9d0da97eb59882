"""`make soak MINUTES=30`: files at a steady rate while processes are killed at random; in the end, ledger = bucket = tables.

Every process of the platform may be hit, PostgreSQL's and the emulator's too, but the one that was started by hand. The
emulator keeps what was acknowledged over a second ago: what was uploaded just before its death is uploaded again.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import psutil

from pipeline_project import aws
from pipeline_project.canonical.checks import checks, run
from pipeline_project.database import Database
from pipeline_project.ingest.discovery.landing import list_all
from pipeline_project.local.supervision import leftovers
from pipeline_project_tests.live_stack import LiveStack, live_stack, until

RATE = 2.0
CUSTOMERS = 200
"""Each file says something new of two of them."""
SPARED_SECONDS = (4.0, 12.0)
"""Between two kills, at random: so short that many hit what is just starting again."""
UNSURE_SECONDS = 3.0
"""Before the emulator's death: what was acknowledged since may be lost."""
RECOVERY_SECONDS = 240
TOLD = 120
"""Files between two words about how far it is."""
KEPT = Path("build/soak")
"""Where the logs are kept."""
FOLDER = "crm-data/soak/"
LEDGER = b"SELECT key, version, state FROM ingest.objects WHERE key LIKE 'crm-data/soak/%%'"
TABLE = b"SELECT source_id, revenue::int FROM canonical.entities WHERE canonical_id LIKE 'crm_soak-%%'"


class Soak:
    """Uploads, kills, and what should be there in the end."""

    def __init__(self, stack: LiveStack, seed: int) -> None:
        self._stack = stack
        self._random = random.Random(seed)
        self._recent: dict[int, float] = {}
        """When each of the last uploads was acknowledged; those under way, never yet."""
        self._lock = threading.Lock()
        self.files = 0
        self.expected: dict[str, int] = {}
        self.killed: Counter[str] = Counter()

    def upload(self, number: int) -> None:
        """A file with newer facts about two customers; again and again until S3 has taken it."""
        records = []
        for customer in (number % CUSTOMERS, (number * 7 + 1) % CUSTOMERS):
            updated_at = f"2026-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
            records.append(
                {"id": f"soak-{customer}", "name": f"Company {customer}", "revenue": number, "updated_at": updated_at}
            )
            self.expected[f"soak-{customer}"] = max(number, self.expected.get(f"soak-{customer}", 0))
        content = msgspec.json.encode(records)
        self._note(number, float("inf"))
        self._insist(lambda: self._stack.upload(f"{FOLDER}{number}.json", content))
        self._note(number, time.monotonic())

    def _note(self, number: int, acknowledged: float) -> None:
        with self._lock:
            self._recent[number] = acknowledged

    def unsure(self) -> list[int]:
        """Uploads that the emulator may not keep if it dies now."""
        with self._lock:
            oldest = time.monotonic() - UNSURE_SECONDS
            self._recent = {number: at for number, at in self._recent.items() if at > oldest}
            return list(self._recent)

    def upload_for(self, seconds: float) -> None:
        begin = time.monotonic()
        while (now := time.monotonic()) < begin + seconds:
            time.sleep(max(0.0, begin + self.files / RATE - now))
            self.upload(self.files)
            self.files += 1
            if self.files % TOLD == 0:
                print(f"{self.files} files, {self.killed.total()} kills", flush=True)  # noqa: T201

    def kill_until(self, stop: threading.Event) -> None:
        while not stop.wait(self._random.uniform(*SPARED_SECONDS)):
            if found := self._one_of_each():
                self.kill(self._random.choice(found))

    def _one_of_each(self) -> list[psutil.Process]:
        """A process of each kind: PostgreSQL has more of them than all the others."""
        kinds: dict[str, list[psutil.Process]] = {}
        for process in leftovers(self._stack.state):
            with suppress(psutil.Error):
                for each in (process, *process.children()):  # PostgreSQL's own do not show whose they are
                    kinds.setdefault(kind(each), []).append(each)
        return [self._random.choice(kinds[name]) for name in sorted(kinds)]

    def kill(self, process: psutil.Process) -> None:
        with suppress(psutil.Error):
            name = kind(process)
            process.send_signal(signal.SIGKILL)
            self.killed[name] += 1
            if name == "aws_server":
                for number in self.unsure():
                    self.upload(number)

    @staticmethod
    def _insist(action: Callable[[], object]) -> None:
        until(lambda: (action(), True), RECOVERY_SECONDS)

    # --- the end

    def verify(self) -> list[str]:
        """What is wrong, once everything has come to rest; nothing, if all is well."""
        self._insist(self._discover)
        with suppress(AssertionError):
            until(lambda: not self.differences(), RECOVERY_SECONDS)
        return self.differences() or self.findings()

    def differences(self) -> list[str]:
        """Between bucket, ledger and table."""
        bucket = self._versions()
        ledger = {(key, version): state for key, version, state in self._stack.sql(LEDGER)}
        missing = bucket - ledger.keys()
        open_ = [key for key, state in ledger.items() if state not in ("loaded", "superseded")]
        table = dict(self._stack.sql(TABLE))
        wrong = {name for name in self.expected.keys() | table.keys() if self.expected.get(name) != table.get(name)}
        told = [
            f"{len(missing)} of {len(bucket)} versions in the bucket are not in the ledger" if missing else "",
            f"{len(open_)} objects are not loaded, for instance {open_[0]}: {ledger[open_[0]]}" if open_ else "",
            f"{len(wrong)} of {len(self.expected)} customers differ, for instance {min(wrong)}" if wrong else "",
        ]
        return list(filter(None, told))

    def _discover(self) -> None:
        """As `pipeline discover` does: events may be lost, and the next listing of the sensors may be ten minutes away."""
        with self._loader.connect() as connection:
            list_all(connection, self._stack.s3, self._stack.settings.landing_bucket)

    def findings(self) -> list[str]:
        """Of the checks that would stop analytics."""
        found = {check.name: run(self._loader, check).count for check in checks() if check.blocking}
        return [f"{name} finds {count}" for name, count in found.items() if count]

    @cached_property
    def _loader(self) -> Database:
        settings = self._stack.settings
        return Database.from_settings(settings, "loader", aws.client(settings, "secretsmanager"))

    def _versions(self) -> set[tuple[str, str]]:
        pages = self._stack.s3.get_paginator("list_object_versions")
        listed = pages.paginate(Bucket=self._stack.settings.landing_bucket, Prefix=FOLDER)
        return {(each["Key"], each["VersionId"]) for page in listed for each in page.get("Versions", [])}


def kind(process: psutil.Process) -> str:
    """What a process is, in a word."""
    command = process.cmdline()
    names = (
        "postgres:",
        "aws_server",
        "supervisord",
        "worker_server",
        "_daemon",
        "local.webserver",
        "grpc",
        "postgres",
    )
    return next((name for name in names if any(name in part for part in command)), process.name())


@contextmanager
def keep_logs(stack: LiveStack, folder: Path) -> Iterator[None]:
    """What everybody wrote, for whoever looks for the reason."""
    try:
        yield
    finally:
        shutil.copytree(stack.state.logs, folder, dirs_exist_ok=True)
        (folder / "console.log").write_text("".join(stack.console.lines), "utf-8")


def soak(stack: LiveStack, seconds: float, seed: int) -> tuple[Soak, list[str]]:
    """Files and kills for so long; then what is wrong."""
    found, stop = Soak(stack, seed), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(found.kill_until, stop)
        try:
            found.upload_for(seconds)
        finally:
            stop.set()
    killing.result()  # what it could not upload again is missing
    return found, found.verify()


def main() -> None:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="repeats the same kills, about")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)  # noqa: T201 a program of its own
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        path = Path(folder)
        with live_stack(path / "stack", path / "api.zip") as stack, keep_logs(stack, KEPT / str(arguments.seed)):
            found, wrong = soak(stack, arguments.minutes * 60, arguments.seed)
    kills = ", ".join(f"{name} {count}" for name, count in found.killed.most_common())
    told: list[Any] = [f"{found.files} files, {found.killed.total()} kills: {kills}", *wrong]
    print(*told, "FAILED" if wrong else "ledger = bucket = tables", sep="\n")  # noqa: T201
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
