"""Which requests to the emulator need a signature, which change its state, and how it is set up."""

from pathlib import Path
from typing import Any

import pytest

from pipeline_project.local.aws_server import environment, is_change, is_open, may_be_linked, only_reads

REST = "/_aws/execute-api/abc123/v1"


def scope(method: str, path: str = "/", target: str = "", query: bytes = b"", kind: str = "http") -> dict[str, Any]:
    headers = [(b"x-amz-target", target.encode())] if target else []
    return {"type": kind, "method": method, "path": path, "headers": headers, "query_string": query}


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/_ministack/health", True),
        ("POST", "/_ministack/health", False),
        ("GET", "/_ministack/healthy", False),
        ("POST", REST, True),
        ("DELETE", f"{REST}/analytics/jobs/1", True),
        ("GET", f"{REST}/a\nb", True),
        ("GET", "/_aws/execute-api/abc123", False),
        ("GET", "/_aws/execute-api/ABC/v1", False),
        ("GET", "/bucket/key", False),
        ("GET", f"/bucket{REST}", False),
    ],
)
def test_only_the_rest_facade_and_the_health_check_need_no_signature(method: str, path: str, expected: bool) -> None:
    assert is_open(scope(method, path)) is expected


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "", True),
        ("HEAD", "", True),
        ("PUT", "", False),
        ("DELETE", "", False),
        ("POST", "", False),
        *(
            ("POST", f"Service_2012.{action}", True)
            for action in ("GetItem", "ListQueues", "DescribeTable", "BatchGetItem", "Query", "Scan", "ReceiveMessage")
        ),
        *(
            ("POST", f"Service.{action}", False)
            for action in ("PutItem", "BatchWriteItem", "SendMessage", "TransactGet")
        ),
    ],
)
def test_what_only_reads_is_not_written(method: str, target: str, expected: bool) -> None:
    assert only_reads(scope(method, target=target)) is expected
    assert is_change(scope(method, target=target)) is not expected


def test_a_call_of_the_rest_facade_and_a_lifespan_are_no_changes() -> None:
    assert not is_change(scope("POST", f"{REST}/analytics"))
    assert not is_change(scope("PUT", "/bucket/key", kind="lifespan"))


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [(REST, b"", True), (REST, b"a=1", False), ("/bucket/key", b"X-Amz-Signature=1", True), ("/bucket", b"", True)],
)
def test_a_foreign_page_may_link_to_what_it_cannot_forge(path: str, query: bytes, expected: bool) -> None:
    assert may_be_linked(scope("GET", path, query=query)) is expected


def test_the_emulator_listens_on_the_loopback_and_keeps_everything_in_its_folder() -> None:
    assert environment(4566, Path("/srv/aws"), "secret") == {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": "4566",
        "PERSIST_STATE": "1",
        "S3_PERSIST": "1",
        "STATE_DIR": "/srv/aws/state",
        "S3_DATA_DIR": "/srv/aws/s3",
        "TMPDIR": "/srv/aws/tmp",
        "LAMBDA_EXECUTOR": "local",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "LAMBDA_ACCOUNT_CONCURRENCY": "16",
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///srv/aws/no-docker.sock",
    }
