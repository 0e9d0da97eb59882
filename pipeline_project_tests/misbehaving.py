"""A decoder that ends, fills or blocks its process, as a fault in a C library does: for tests of what happens then.

The functions here run in processes of their own. An object misbehaves if its content begins with MARK and the name of an
action. All other objects are decoded as usual.
"""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

from pipeline_project import aws
from pipeline_project.database import Database
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.records import Chunk, Envelope
from pipeline_project.ingest.decoding.streams import ByteStream
from pipeline_project.ingest.ledger import Outcome
from pipeline_project.ingest.loading import worker as loading
from pipeline_project.ingest.loading.worker import Worker
from pipeline_project.settings import Settings
from pipeline_project.sources.dialect import Dialect

MARK = b"misbehave: "
EATEN_AT_ONCE = 16 * 1024 * 1024
MEMORY_OF_MACHINE = 1024 * 1024 * 1024
"""At this size the process is killed, as Linux would do when memory runs out."""
REAL_CHUNKS = loading.chunks


def content(action: str, size: int = 0) -> bytes:
    """What an object has to hold."""
    return (MARK + action.encode() + b"\n").ljust(size)


def eat() -> None:
    """Take memory without end. Only a bound from outside ends this before the machine's own."""
    eaten = []
    while len(eaten) * EATEN_AT_ONCE < MEMORY_OF_MACHINE:
        eaten.append(b"x" * EATEN_AT_ONCE)
    os.kill(os.getpid(), signal.SIGKILL)


ACTIONS: dict[str, Callable[[], object]] = {
    "abort": os.abort,
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(7),
    "eat": eat,
    # One step of the interpreter that never ends, so that no other thread of Python gets a turn.
    "loop": lambda: sum(itertools.repeat(0)),
    "sleep": lambda: time.sleep(3600),
}


def chunks(stream: ByteStream, envelope: Envelope, names: FieldNames, dialect: Dialect) -> Iterator[Chunk]:
    """Decode as usual, or misbehave; as the real decoders do, not before the first chunk is asked for."""
    data = b"".join(iter(lambda: stream.read(1 << 20), b""))
    if data.startswith(MARK):
        ACTIONS[data.removeprefix(MARK).split()[0].decode()]()
    yield from REAL_CHUNKS(BytesIO(data), envelope, names, dialect)


def load_apart(conninfo: str, settings: Settings, run_id: str | None, worker: str, object_id: int) -> list[Outcome]:
    """Load a suspect with the misbehaving decoder, as worker.load_apart does with the real one."""
    loading.chunks = chunks
    own = Worker(
        Database(lambda: conninfo), aws.client(settings, "s3"), settings, run_id=run_id, name=worker, apart=None
    )
    return list(own.ingest([object_id]))


def run(conninfo: str, settings: Settings, object_ids: list[int]) -> None:
    """Do what a run of the platform does, with the misbehaving decoder."""
    loading.chunks = chunks
    worker = Worker(Database(lambda: conninfo), aws.client(settings, "s3"), settings, apart=load_apart)
    list(worker.ingest(object_ids))


def double(number: int, answered: Path | None = None) -> int:
    """A function that behaves."""
    if answered is not None:
        answered.touch()
        time.sleep(3600)
    print("this is no answer")  # noqa: T201
    return 2 * number


def out_of_memory_score() -> int:
    """How early Linux would end this process if memory ran out."""
    return int(Path("/proc/self/oom_score_adj").read_text("ascii"))


def misbehave(action: str) -> None:
    """A function that does not."""
    ACTIONS[action]()


def refuse(reason: Exception) -> None:
    """A function that raises."""
    raise reason
