"""Jobs for the tests of the launcher: each does one thing that a worker must be able to bear."""

import os
import random
import signal
import sys
import threading
import time

import dagster as dg


@dg.op
def speak(context: dg.OpExecutionContext) -> None:
    context.log.info(f"in process {os.getpid()}")
    print(f"printed by {os.getpid()}")  # noqa: T201
    print("to stderr", file=sys.stderr)  # noqa: T201
    context.add_output_metadata({"pid": os.getpid(), "random": random.random()})


@dg.op
def fail() -> None:
    raise ValueError("as it was told")


@dg.op
def wait() -> None:
    time.sleep(120)


@dg.op
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dg.op
def leave_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


@dg.job
def speaking() -> None:
    speak()


@dg.job
def failing() -> None:
    fail()


@dg.job
def waiting() -> None:
    wait()


@dg.job
def dying() -> None:
    die()


@dg.job
def littering() -> None:
    leave_a_thread()


defs = dg.Definitions(jobs=[speaking, failing, waiting, dying, littering], executor=dg.in_process_executor)
