"""Serves the AWS emulator on the loopback, so that `kill -9` loses nothing that was acknowledged over a second ago.

`python -m pipeline_project.local.aws_server PORT FOLDER SECRET_FILE [ORIGIN …]`. Callers sign their requests with the content
of SECRET_FILE. Only the REST facade and the health check need no signature. Pages of each ORIGIN may call the REST facade.

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
from pipeline_project.local.same_origin import SameOrigin, Scope, has_no_query
from pipeline_project.local.signatures import Signed

HOST = "127.0.0.1"
CHECKPOINT_SECONDS = 1.0
CHECKPOINT_SHARE = 0.05
"""At most this part of the time goes into checkpoints: a state that has grown large is written less often."""
READING = (b"Get", b"List", b"Describe", b"BatchGet", b"Query", b"Scan", b"ReceiveMessage")
"""How the names of actions begin that change nothing."""
KEY_IN_XML = re.compile(rb"<(Key|Prefix|Delimiter|KeyMarker|NextKeyMarker)>([^<]+)")
REST = re.compile(r"/_aws/execute-api/[a-z0-9]+/[A-Za-z0-9_-]+(/.*)?", re.DOTALL)
"""Paths of the REST facade, which has rules of its own for who may call it."""
HEALTH = "/_ministack/health"
FUNCTIONS_AT_ONCE = 16
SHUTDOWN_SECONDS = 0.5
"""What open requests (mostly queue pollers, who come again) are given at the end."""

log = logging.getLogger("pipeline.local.aws")


def environment(port: int, folder: Path, secret: str) -> dict[str, str]:
    """The emulator's settings. It takes them when it is imported, from nowhere else than the process environment."""
    return {
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "PERSIST_STATE": "1",
        "S3_PERSIST": "1",
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "s3"),
        # Functions are unpacked here; a killed server leaves them behind, and the next start removes them.
        "TMPDIR": str(folder / "tmp"),
        "LAMBDA_EXECUTOR": "local",
        # Functions sign with it, and the emulator verifies presigned links once more.
        "AWS_SECRET_ACCESS_KEY": secret,
        # Each call at a time is a process. To what comes beyond these it answers 429, and clients come again.
        "LAMBDA_ACCOUNT_CONCURRENCY": str(FUNCTIONS_AT_ONCE),
        "LOG_LEVEL": "WARNING",
        # Parts that would listen on ports of their own, and a Docker daemon whose containers are none of our business.
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
    """Whether a request leaves everything as it is: most of those to an idle platform do. What a message's receipt changes
    may be forgotten, since then it is received again."""
    action = dict(scope.get("headers", ())).get(b"x-amz-target", b"").rpartition(b".")[2]
    return scope.get("method") in ("GET", "HEAD") or action.startswith(READING)


def is_change(scope: Any) -> bool:
    """Return whether the answer to a request says that something was stored. A function that is called through the API
    stores with requests of its own."""
    return scope["type"] == "http" and not only_reads(scope) and not REST.fullmatch(scope["path"])


def encode_keys(s3: Any) -> None:
    """Have its listing of versions encode keys for whoever asks it to (boto3 always does), as S3 and its other listings do.

    XML has no control characters, and keys may: one such key made the listing of its whole bucket unreadable.
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
    """Have a function that died answered for by the stack's gateway response to errors, as API Gateway does."""
    called = gateway._call_lambda_raw

    async def call(*function: Any, **scope: Any) -> Any:
        result, fault = await called(*function, **scope)
        return result, fault or ("it died" if result.get("error") else None)

    gateway._call_lambda_raw = call


async def serve(emulator: ModuleType, port: int, secret: str, origins: Collection[str]) -> None:
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
        # On the loop, between requests: a thread would meet tables that are just changing.
        pause = CHECKPOINT_SECONDS
        while True:
            await changed.wait()
            await asyncio.sleep(pause)  # and what follows from the request, such as S3's events, is there, too
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
        # Hypercorn asks for this when it serves, so the state has been restored: no checkpoint of an empty one before.
        keeper = asyncio.create_task(keep())
        await stop.wait()
        keeper.cancel()

    def admitted_origins(scope: Scope) -> Collection[str]:
        return origins if REST.fullmatch(scope["path"]) else ()

    signed = Signed(app, secret, is_open=is_open)
    protected = SameOrigin(signed, may_be_linked=may_be_linked, admitted_origins=admitted_origins)
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
    asyncio.run(serve(ministack.app, port, secret, sys.argv[4:]))


if __name__ == "__main__":
    main()
