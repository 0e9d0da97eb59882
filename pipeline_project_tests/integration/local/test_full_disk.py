"""`pipeline local up` on a small disk: it says that the disk is full, keeps running, and loads everything after that."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from pipeline_project.aws import client
from pipeline_project.local import disk
from pipeline_project.local.state import State
from pipeline_project.local.supervision import end_leftovers, leftovers
from pipeline_project.settings import Settings
from pipeline_project_tests.live_stack import (
    PIPELINE_LOCAL,
    READY,
    SECONDS,
    Console,
    LiveStack,
    prepare,
    sql,
    until,
)
from pipeline_project_tests.small_disk import fill, remount, small_disk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CUSTOMERS = 2_000
STATES = b"SELECT key, state, inserted FROM ingest.objects WHERE key LIKE 'crm-data/%'"
GROW = b"CREATE TABLE public.grown AS SELECT repeat('x', 100) AS text FROM generate_series(1, 10000000)"


@contextmanager
def platform(folder: Path, bundle: Path) -> Iterator[LiveStack]:
    state = prepare(folder, bundle)
    console = Console(folder)
    try:
        console.read_until(READY)
        yield LiveStack(state, console)
    finally:
        console.kill()
        end_leftovers(state)


def customers(file: int) -> bytes:
    """Of about a third of a megabyte."""
    records = [
        {"customer_id": f"{file}-{number}", "company_name": "A company " + "x" * 100, "annual_revenue": number}
        for number in range(CUSTOMERS)
    ]
    return json.dumps(records).encode()


def upload_until_refused(settings: Settings, filler: Path) -> list[str]:
    """The keys of the acknowledged uploads; meanwhile, another program takes the space."""
    acknowledged: list[str] = []
    with closing(client(settings, "s3", attempts=1)) as s3:
        while True:
            key = f"crm-data/{len(acknowledged)}.json"
            try:
                s3.put_object(Bucket=settings.landing_bucket, Key=key, Body=customers(len(acknowledged)))
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
                assert disk.GOES_ON in error.response["Error"]["Message"]
                return acknowledged
            acknowledged.append(key)
            with filler.open("ab") as file:
                file.write(bytes(8 * 1024**2))


def test_everything_that_was_acknowledged_is_loaded_when_there_is_space_again(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        small_disk(tmp_path / "disk", "size=640m") as folder,
        platform(folder, tmp_path_factory.getbasetemp() / "api.zip") as stack,
    ):
        state, console, filler = stack.state, stack.console, folder / "filler"
        acknowledged = upload_until_refused(stack.settings, filler)
        assert acknowledged
        fill(filler)
        console.read_until("is full")
        with pytest.raises(psycopg.Error):
            sql(state, GROW)
        # What runs on the full disk is killed, too: it starts again from what it has stored, now or later.
        for name in ("aws", "postgres"):
            with suppress(KeyError, ProcessLookupError):
                os.kill(stack.pids()[name], signal.SIGKILL)
        console.read_until("aws died")
        with closing(client(stack.settings, "s3", attempts=1)) as s3:

            def is_refused() -> bool:
                try:
                    s3.put_object(Bucket=stack.settings.landing_bucket, Key="crm-data/never.json", Body=b"[]")
                except ClientError as error:
                    return error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
                except BotoCoreError:
                    return False
                raise AssertionError("an upload to a full disk was acknowledged")

            until(is_refused)

        filler.unlink()
        console.read_until("There is space again")
        expected = {(key, "loaded", CUSTOMERS) for key in acknowledged}
        until(lambda: set(sql(state, STATES)) == expected)
        assert console.process.poll() is None
        assert not any("Traceback" in line for line in console.lines)

        # Without its folder there is nothing to go on with.
        state.folder.rename(folder / "moved")
        console.read_until("is gone")
        assert console.process.wait(SECONDS) == 1
        assert leftovers(state) == []
        assert not any("Traceback" in line for line in console.lines)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=160m") as folder:
        for command, refused in (("up", folder / ".pipeline"), ("run", folder / ".pipeline" / "lock")):
            remount(folder, "ro")
            done = subprocess.run([*PIPELINE_LOCAL, command], cwd=folder, capture_output=True, text=True, check=False)
            remount(folder, "rw")
            assert (done.returncode, done.stderr) == (1, "")
            why = "cannot be written (Read-only file system): make it writable, or start in another folder"
            assert done.stdout == f"{refused} {why}\n"
            State(folder / ".pipeline").make_folders()


def test_a_file_in_the_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".pipeline").write_text("a file", "utf-8")
    done = subprocess.run([*PIPELINE_LOCAL, "up"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == f"{tmp_path}/.pipeline cannot be used: File exists\n"
