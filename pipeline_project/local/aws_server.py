"""Serves the AWS emulator on the loopback, so that `kill -9` loses nothing that was acknowledged over a second ago.

`python -m pipeline_project.local.aws_server PORT FOLDER SECRET_FILE [ORIGIN …]`. Callers sign their requests with the content
of SECRET_FILE. Only the REST facade and the health check need no signature. Pages of each ORIGIN may call the REST facade, and
read objects by presigned links as far as the CORS rules of the bucket allow.

ministack itself stores its state (except object bodies) only when it ends in order. It lists versions in XML that cannot hold
every key, and it shows every caller where a function died. Four names that are used here are private to ministack. Its version
is pinned, and tests fail if the names change.
"""

import asyncio
import logging
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import unescape

from pipeline_project.local import aws_storage
from pipeline_project.local.bucket_cors import BucketCors, is_presigned_read
from pipeline_project.local.same_origin import SameOrigin, Scope, has_no_query
from pipeline_project.local.signatures import Signed

HOST = "127.0.0.1"
CHECKPOINT_SECONDS = 1.0
CHECKPOINT_SHARE = 0.05
"""Share of the time that checkpoints may take. A large state is therefore written less often."""
READING = (b"Get", b"List", b"Describe", b"BatchGet", b"Query", b"Scan", b"ReceiveMessage")
"""First words of the actions that change nothing."""
KEY_IN_XML = re.compile(rb"<(Key|Prefix|Delimiter|KeyMarker|NextKeyMarker)>([^<]+)")
REST = re.compile(r"/_aws/execute-api/[a-z0-9]+/[A-Za-z0-9_-]+(/.*)?", re.DOTALL)
"""Paths of the REST facade, which checks its callers itself."""
HEALTH = "/_ministack/health"
FUNCTIONS_AT_ONCE = 16
SHUTDOWN_SECONDS = 0.5
"""Time that open requests get at the end. Most of them poll a queue and come again."""

log = logging.getLogger("pipeline.local.aws")


def environment(port: int, folder: Path, secret: str) -> dict[str, str]:
    """Give the settings of the emulator, which reads them from the process environment when it is imported."""
    return {
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "PERSIST_STATE": "1",
        "S3_PERSIST": "1",
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "s3"),
        # Functions are unpacked here. A killed server leaves them there, and the next start removes them.
        "TMPDIR": str(folder / "tmp"),
        "LAMBDA_EXECUTOR": "local",
        # Functions sign with the key, and the emulator verifies presigned links a second time.
        "AWS_SECRET_ACCESS_KEY": secret,
        # Each concurrent call is a process. Further calls get 429, and clients try again.
        "LAMBDA_ACCOUNT_CONCURRENCY": str(FUNCTIONS_AT_ONCE),
        "LOG_LEVEL": "WARNING",
        # Off: parts that would listen on more ports, and the Docker daemon, whose containers belong to others.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{folder / 'no-docker.sock'}",
    }


def is_open(scope: Scope) -> bool:
    """Return whether a request needs no AWS signature."""
    is_health = scope["method"] == "GET" and scope["path"] == HEALTH
    return is_health or REST.fullmatch(scope["path"]) is not None


def may_be_linked(scope: Scope) -> bool:
    """Return whether a foreign link may cause a request. A presigned link has a query that no page can forge."""
    return has_no_query(scope) or not is_open(scope)


def checkpoint(emulator: ModuleType) -> None:
    """Write the state of all services that were used. Each file is replaced whole."""
    emulator.save_all(emulator._build_persistence_save_dict())


def only_reads(scope: Any) -> bool:
    """Return whether a request changes nothing that must be stored. A receipt may be lost: the message comes again."""
    action = dict(scope.get("headers", ())).get(b"x-amz-target", b"").rpartition(b".")[2]
    return scope.get("method") in ("GET", "HEAD") or action.startswith(READING)


def is_change(scope: Any) -> bool:
    """Return whether the answer to a request says that something was stored. A function that is called through the API
    stores with requests of its own."""
    return scope["type"] == "http" and not only_reads(scope) and not REST.fullmatch(scope["path"])


def encode_keys(s3: Any) -> None:
    """Let the listing of versions encode keys if the caller asks for it, as S3 and the other listings do. boto3 always asks.

    Keys may have control characters, and XML may not: one such key made the listing of its whole bucket unreadable.
    """
    listed = s3._list_object_versions

    def encoded(key: re.Match[bytes]) -> bytes:
        return b"<%s>%s" % (key[1], quote(unescape(key[2].decode())).encode())

    def list_object_versions(bucket: str, asked: dict[str, list[str]]) -> Any:
        status, headers, body = listed(bucket, asked)
        if status == 200 and asked.get("encoding-type") == ["url"]:
            body = KEY_IN_XML.sub(encoded, body).replace(b"<Name>", b"<EncodingType>url</EncodingType><Name>", 1)
        return status, headers, body

    s3._list_object_versions = list_object_versions


def hide_tracebacks(gateway: Any) -> None:
    """Answer for a function that died with the gateway response of the stack, as API Gateway does."""
    called = gateway._call_lambda_raw

    async def call(*function: Any, **scope: Any) -> Any:
        result, fault = await called(*function, **scope)
        return result, fault or ("it died" if result.get("error") else None)

    gateway._call_lambda_raw = call


async def serve(emulator: ModuleType, s3: Any, port: int, secret: str, origins: Collection[str]) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError if the port is taken."""
    from hypercorn.asyncio import serve as hypercorn_serve  # noqa: PLC0415 only where the `local` extra is installed
    from hypercorn.config import Config  # noqa: PLC0415

    config = Config()
    config.bind = [f"{HOST}:{port}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = SHUTDOWN_SECONDS
    config.loglevel = "WARNING"
    stop, changed = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def keep() -> None:
        # On the event loop, between requests, because a thread would read tables while they change.
        pause = CHECKPOINT_SECONDS
        while True:
            await changed.wait()
            await asyncio.sleep(pause)  # then the consequences of the request are there, too, such as events of S3
            changed.clear()
            started = time.perf_counter()
            try:
                checkpoint(emulator)
            except Exception as error:  # until it succeeds, changes are refused
                log.error("the state could not be written: %s", error)
                changed.set()
            pause = max(CHECKPOINT_SECONDS, (time.perf_counter() - started) / CHECKPOINT_SHARE)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await emulator.app(scope, receive, send)
        finally:
            if not only_reads(scope):
                changed.set()

    async def trigger() -> None:
        # Hypercorn calls this when it serves. By then the state is restored, so no checkpoint writes an empty state.
        keeper = asyncio.create_task(keep())
        await stop.wait()
        keeper.cancel()

    def admitted_origins(scope: Scope) -> Collection[str]:
        return origins if REST.fullmatch(scope["path"]) or is_presigned_read(scope) else ()

    signed = Signed(app, secret, is_open=is_open)
    protected = SameOrigin(BucketCors(signed, s3), may_be_linked=may_be_linked, admitted_origins=admitted_origins)
    await hypercorn_serve(protected, config, shutdown_trigger=trigger)  # pyright: ignore[reportArgumentType] ASGI all the same


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2]).resolve()
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    for part in ("state", "s3", "tmp"):
        (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = Path(sys.argv[3]).read_text("utf-8")
    os.environ.update(environment(port, folder, secret))
    import ministack.app  # noqa: PLC0415 reads the environment
    from ministack.core import persistence  # noqa: PLC0415
    from ministack.services import apigateway_v1, s3  # noqa: PLC0415

    encode_keys(s3)
    hide_tracebacks(apigateway_v1)
    aws_storage.install(ministack.app, persistence, s3, is_change)
    asyncio.run(serve(ministack.app, s3, port, secret, sys.argv[4:]))


if __name__ == "__main__":
    main()
