"""Makes the AWS emulator keep what it acknowledges: a change that cannot be stored is refused with 503.

ministack itself logs a warning and answers 200. It keeps two kinds of state:

- Objects of S3 are files. `DurableObjects` makes each request all or nothing, and sends its events when it is stored.
- Everything else is in memory. `Checkpoints` writes it within a second of a change. Before a change is admitted, the room
  that its checkpoint needs is allocated on the disk, so that no other program can take that room.

Parts of unfinished multipart uploads are in memory only: if the emulator is killed, completing such an upload fails.
The names of ministack that begin with `_` are private: its version is pinned, and tests fail when they move.
"""

import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.sax.saxutils import escape

from pipeline_project.local import disk

SPARE_BYTES = 1024**2
"""What is allocated for each service beyond its last checkpoint."""
CHANGE_BYTES = 4 * 1024
"""What a change adds to a checkpoint besides its body, at most: an S3 event with a long key, the attributes of a message."""
GROWTH = 6
"""How many bytes a byte of a body can become: JSON escapes a character of two bytes in twelve, or it is kept twice."""
SNAPSHOT_TRIES = 5
UNAVAILABLE = 503
OTHER_API = re.compile(r"_aws$|20\d\d-\d\d-\d\d$")
"""First parts of a path that are no bucket: the emulator's own, and those of Lambda and the like."""
SWALLOWED = ("Failed to persist", "Failed to delete persisted", "Failed to read persisted", "Failed to load persisted")
"""How the warnings of ministack begin that follow a caught error of a file."""

log = logging.getLogger("pipeline.local.aws")


def install(emulator: Any, persistence: ModuleType, s3: Any, is_change: Callable[[Any], bool]) -> None:
    """Change the emulator so that it keeps what it acknowledges. `is_change` tells requests that change something."""
    checkpoints, objects, app = Checkpoints(emulator, persistence), Path(s3.DATA_DIR), emulator.app
    DurableObjects(s3, objects).install()

    async def durable(scope: Any, receive: Any, send: Any) -> None:
        if not is_change(scope):
            await app(scope, receive, send)
        elif reason := refusal(scope, checkpoints, objects):
            await refuse(scope, receive, send, reason)
        else:
            try:
                await app(scope, receive, send)
            finally:
                checkpoints.applied(state_bytes(scope))

    emulator.app = durable
    emulator.save_all = lambda _services: checkpoints.write()


class NotStored(Exception):
    """A file of an object could not be written, read or removed."""


class Checkpoints:
    """The state of all services but for objects: a file for each service, replaced whole."""

    def __init__(self, emulator: ModuleType, persistence: ModuleType) -> None:
        self._emulator = emulator
        self._persistence = persistence
        self.folder = Path(persistence.STATE_DIR)
        self._written: dict[str, bytes] = {}
        self._reserved: dict[str, int] = {}
        self._admitted = 0
        """Bytes of changes that no checkpoint has yet."""
        self._open = 0
        """Bytes of those that are not applied yet: the next checkpoint may come before them."""
        self._is_failing = False

    def admit(self, size: int) -> None:
        """Let a change with a body of `size` bytes happen. OSError when it could not be stored."""
        needed = _needed(size)
        if self._is_failing:
            self.write()
        if self._admitted + needed > SPARE_BYTES or not self._reserved.keys() >= self._services().keys():
            self._make_room(needed)
        self._admitted += needed
        self._open += needed

    def applied(self, size: int) -> None:
        """Note that a change has happened, or has failed."""
        self._open -= _needed(size)

    def _make_room(self, needed: int) -> None:
        try:
            missing = self._admitted + needed - SPARE_BYTES
            for service in self._services():
                self._reserve(service, max(0, missing))
        except OSError:
            # A checkpoint gives up the room of the last one, and needs less of it for what was admitted since.
            self.write()
            for service in self._services():
                self._reserve(service, max(0, self._admitted + needed - SPARE_BYTES))

    def write(self) -> None:
        """Write what has changed. OSError if that fails: what is there already stays, and the room stays reserved."""
        self._is_failing = True
        for service, get_state in self._services().items():
            content = self._encoded(service, get_state)
            digest = hashlib.blake2b(content).digest()
            if content and self._written.get(service) != digest:
                self._replace(service, content)
                self._written[service] = digest
        self._admitted, self._is_failing = self._open, False

    def _services(self) -> Mapping[str, Any]:
        return self._emulator._build_persistence_save_dict()

    def _encoded(self, service: str, get_state: Any) -> bytes:
        """As ministack writes it; nothing for a service that has no state."""
        state = _snapshot(get_state)
        if state is None:
            return b""
        whole = {"__ministack_format__": self._persistence._state_format_version(service), "payload": state}
        try:
            return json.dumps(whole, default=self._persistence._json_default).encode()
        except TypeError as error:  # a service of which ministack itself can keep nothing
            log.error("the state of %s is not kept: %s", service, error)
            return b""

    def _replace(self, service: str, content: bytes) -> None:
        reserve, size = self._reserve_file(service), len(content)
        with reserve.open("r+b" if reserve.exists() else "w+b") as file:
            file.write(content)
            file.truncate()
        reserve.replace(self.folder / f"{service}.json")
        self._reserved.pop(service, None)
        try:
            self._allocate(service, size + SPARE_BYTES + self._open)
        except OSError as error:
            log.warning("no room for the next checkpoint of %s: %s", service, error)

    def _reserve(self, service: str, missing: int) -> None:
        """Have room for what a checkpoint may add to the last, and `missing` bytes beyond the usual."""
        last = self.folder / f"{service}.json"
        size = (last.stat().st_size if last.exists() else 0) + SPARE_BYTES + missing
        if self._reserved.get(service, 0) < size:
            self._allocate(service, size + (SPARE_BYTES if missing else 0))

    def _allocate(self, service: str, size: int) -> None:
        with self._reserve_file(service).open("ab") as file:
            _allocate(file.fileno(), size)
        self._reserved[service] = size

    def _reserve_file(self, service: str) -> Path:
        return self.folder / f"{service}.json.next"


class DurableObjects:
    """S3's objects in files. Use `install` once, before the first request; requests come one by one."""

    def __init__(self, s3: Any, folder: Path) -> None:
        self._s3 = s3
        self._folder = folder
        self._dispatch = s3._dispatch
        self._persist = s3._persist_object
        self._write = s3._atomic_write
        self._fire = s3._fire_s3_event_async
        self._events: list[tuple[tuple[Any, ...], dict[str, Any]]] | None = None
        self._unfinished: dict[Path, Path] | None = None
        self._failed: BaseException | None = None

    def install(self) -> None:
        s3 = self._s3
        s3.logger = _Raising(s3.logger, self)
        s3._dispatch = self.dispatch
        s3._persist_object = self.persist
        s3._atomic_write = self.write
        s3._fire_s3_event_async = self.fire

    def dispatch(self, method: str, bucket: str, key: str, *request: Any) -> Any:
        """Answer a request of S3. If a file failed, the memory is read again from the files, and the answer is 503."""
        s3 = self._s3
        uploads = [(table, dict(table._data)) for table in (s3._multipart_uploads, s3._completed_multipart_uploads)]
        events = self._events = []
        self._failed = answer = None
        try:
            answer = self._dispatch(method, bucket, key, *request)
        except (NotStored, OSError) as error:
            self._failed = error
        finally:
            self._events = None
        if self._failed is None:
            for arguments, named in events:
                self._fire(*arguments, **named)
            return answer
        log.error("%s of %s/%s is refused: %s", method, bucket, key, self._failed)
        if method not in ("GET", "HEAD"):
            for table, known in uploads:
                table._data.clear()
                table._data.update(known)
            self._read_again()
        message = disk.trouble(self._folder) or "The object's file could not be used. Try again."
        return s3._error("ServiceUnavailable", message, UNAVAILABLE, f"/{bucket}/{key}")

    def _read_again(self) -> None:
        s3 = self._s3
        for bucket in s3._buckets._data.values():
            bucket["objects"].clear()
        for table in (s3._object_versions, s3._object_tags, s3._object_acl, s3._object_annotations):
            table._data.clear()
        try:
            s3._load_persisted_data()
        except NotStored as error:
            log.error("the objects cannot be read: %s", error)

    def fire(self, *arguments: Any, **named: Any) -> None:
        """Send an event after the request, so that its consumer finds the object."""
        if self._events is None:
            self._fire(*arguments, **named)
        else:
            self._events.append((arguments, named))

    def persist(self, bucket: str, key: str, obj: Any) -> None:
        """Write both files of an object, its content and its description, before either takes its place."""
        self._unfinished = {}
        try:
            self._persist(bucket, key, obj)
            for path, written in self._unfinished.items():
                written.replace(path)
        except BaseException as error:
            self._failed = error
            for written in self._unfinished.values():
                written.unlink(missing_ok=True)
            raise
        finally:
            self._unfinished = None

    def write(self, path: str, data: Any, *, text: bool = False) -> None:
        """Replace a file whole; within `persist` its end does that."""
        if self._unfinished is None:
            self._write(path, data, text=text)
            return
        written = Path(f"{path}.tmp")
        self._unfinished[Path(path)] = written
        written.touch(mode=0o600)
        written.write_bytes(data.encode() if text else data)

    def swallowed(self, error: BaseException, message: str) -> None:
        """Raise an error of a file that ministack would only log."""
        self._failed = NotStored(message)
        raise self._failed from error


class _Raising(logging.LoggerAdapter[logging.Logger]):
    """ministack's logger of S3, whose warnings about files are errors."""

    def __init__(self, logger: logging.Logger, objects: DurableObjects) -> None:
        super().__init__(logger)
        self._objects = objects

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and str(msg).startswith(SWALLOWED):
            self._objects.swallowed(error, str(msg) % args)
        super().warning(msg, *args, **kwargs)


def _needed(size: int) -> int:
    return CHANGE_BYTES + GROWTH * size


def _snapshot(get_state: Any) -> Any:
    for _ in range(SNAPSHOT_TRIES):
        try:
            return get_state()
        except RuntimeError:  # a thread of the emulator changed a table meanwhile
            continue
    return get_state()


def _allocate(file: int, size: int) -> None:
    """Make the file `size` bytes long, with room on the disk for each of them."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    missing = size - os.fstat(file).st_size
    if missing > 0:
        os.write(file, bytes(missing))


def refusal(scope: Any, checkpoints: Checkpoints, objects: Path) -> str | None:
    """Why the change that a request asks for cannot be stored; None if there is room for it."""
    if is_upload(scope) and (reason := disk.trouble(objects, _content_length(scope))):
        return reason
    if reason := disk.unusable(checkpoints.folder):
        return reason
    try:
        checkpoints.admit(state_bytes(scope))
    except OSError as error:
        return disk.trouble(checkpoints.folder) or f"{checkpoints.folder} cannot be written: {error.strerror}"
    return None


def state_bytes(scope: Any) -> int:
    """How many bytes of a request may go to a checkpoint: those of an object go to a file of their own."""
    return 0 if is_upload(scope) else _content_length(scope)


def _content_length(scope: Any) -> int:
    return int(dict(scope["headers"]).get(b"content-length") or 0)


def is_upload(scope: Any) -> bool:
    """Return whether a request brings an object or a part of it. Path-style, as all clients of the platform are set up."""
    headers = dict(scope["headers"])
    if scope["method"] not in ("PUT", "POST") or b"x-amz-target" in headers:
        return False
    bucket, _, key = scope["path"].lstrip("/").partition("/")
    is_form = headers.get(b"content-type", b"").startswith(b"multipart/form-data")
    return bool(bucket and (key or is_form)) and OTHER_API.match(bucket) is None


async def refuse(scope: Any, receive: Any, send: Any, reason: str) -> None:
    """Answer 503, which S3 clients repeat and then report."""
    headers = dict(scope["headers"])
    # A client that waits for leave to send its body is spared sending it; the others would not hear us before its end.
    if headers.get(b"expect", b"").lower() != b"100-continue":
        while (await receive()).get("more_body"):
            pass
    if b"x-amz-target" in headers:
        kind, told = b"application/x-amz-json-1.0", json.dumps({"__type": "ServiceUnavailable", "message": reason})
    else:
        kind = b"application/xml"
        told = f"<Error><Code>ServiceUnavailable</Code><Message>{escape(reason)}</Message></Error>"
    body = told.encode()
    answered = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": UNAVAILABLE, "headers": answered})
    await send({"type": "http.response.body", "body": body})
