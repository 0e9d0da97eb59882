"""The function that runs the migration before the services roll: CloudFormation gets an answer, whatever happens."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from deploy import migration_task

PROPERTIES = {
    "Cluster": "arn:cluster",
    "TaskDefinition": "arn:task-definition:7",
    "Subnets": ["subnet-1", "subnet-2"],
    "SecurityGroups": ["sg-1"],
    "LogGroup": "migration-logs",
}
TASK = "arn:task/1"


class Ecs:
    """ECS with one task, which ends with `exit_code` or (None) not in time."""

    def __init__(self, exit_code: int | None = 0, *, failures: list[dict[str, str]] | None = None) -> None:
        self.exit_code = exit_code
        self.failures = failures or []
        self.started: list[dict[str, Any]] = []

    def run_task(self, **request: Any) -> dict[str, Any]:
        self.started.append(request)
        return {"failures": self.failures, "tasks": [] if self.failures else [{"taskArn": TASK}]}

    def get_waiter(self, name: str) -> "Ecs":
        assert name == "tasks_stopped"
        return self

    def wait(self, *, cluster: str, tasks: list[str], WaiterConfig: dict[str, int]) -> None:
        assert (cluster, tasks) == ("arn:cluster", [TASK])
        assert WaiterConfig["Delay"] * WaiterConfig["MaxAttempts"] < 900 - 30, "Lambda would end it without an answer"
        if self.exit_code is None:
            raise WaiterError("tasks_stopped", "Max attempts exceeded", {})

    def describe_tasks(self, **_: Any) -> dict[str, Any]:
        return {
            "tasks": [{"containers": [{"exitCode": self.exit_code}], "stoppedReason": "Essential container exited"}]
        }


class Logs:
    """What the task has said; None: nothing at all."""

    class exceptions:  # noqa: N801 the name is boto3's
        ResourceNotFoundException = KeyError

    def __init__(self, lines: list[str] | None) -> None:
        self.lines = lines

    def get_log_events(self, *, logGroupName: str, logStreamName: str, limit: int) -> dict[str, Any]:
        assert (logGroupName, logStreamName) == ("migration-logs", "migration/migration/1")
        if self.lines is None:
            raise KeyError(logStreamName)
        return {"events": [{"message": line} for line in self.lines[-limit:]]}


SAID = Logs(["long ago", *("{}" for _ in range(3)), '{"message": "pipeline: no", "exception": "Traceback"}', "killed"])


@pytest.fixture
def answers() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes CloudFormation's answers, and the answers."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 the name is http.server's
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/answer", received
        finally:
            server.shutdown()
            thread.join()


def event(url: str, kind: str = "Update") -> dict[str, Any]:
    return {
        "RequestType": kind,
        "ResponseURL": url,
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "MigrationDone",
        "ResourceProperties": PROPERTIES,
    }


def test_it_starts_the_task_in_the_private_network() -> None:
    ecs = Ecs()
    assert migration_task.migrate(ecs, SAID, PROPERTIES) == ""
    (started,) = ecs.started
    assert started["taskDefinition"] == "arn:task-definition:7"
    assert started["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["subnet-1", "subnet-2"],
        "securityGroups": ["sg-1"],
        "assignPublicIp": "DISABLED",
    }


@pytest.mark.parametrize(
    ("ecs", "logs", "reason"),
    [
        (
            Ecs(1),
            SAID,
            "The migration failed (exit status 1, Essential container exited): {} {} {} pipeline: no killed",
        ),
        (
            Ecs(137),
            Logs(None),
            "The migration failed (exit status 137, Essential container exited): it has said nothing",
        ),
        (Ecs(None), SAID, "The migration takes longer than a deployment may wait"),
        (Ecs(failures=[{"reason": "RESOURCE:FARGATE"}]), SAID, "The task did not start: RESOURCE:FARGATE"),
    ],
)
def test_a_failure_says_what(ecs: Ecs, logs: Logs, reason: str) -> None:
    assert migration_task.migrate(ecs, logs, PROPERTIES).startswith(reason)


@pytest.mark.parametrize(("ecs", "status"), [(Ecs(0), "SUCCESS"), (Ecs(1), "FAILED")])
def test_cloudformation_is_answered(
    answers: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, ecs: Ecs, status: str
) -> None:
    url, received = answers
    monkeypatch.setattr(migration_task.boto3, "client", {"ecs": ecs, "logs": Logs(["läng" * 10_000])}.get)
    migration_task.handler(event(url), None)
    (answer,) = received
    assert answer["Status"] == status
    assert 0 < len(json.dumps(answer)) < 4096
    assert answer["Reason"]
    assert (answer["StackId"], answer["RequestId"], answer["LogicalResourceId"]) == (
        "stack",
        "request",
        "MigrationDone",
    )


def test_deleting_the_stack_migrates_nothing(
    answers: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, received = answers
    ecs = Ecs()
    monkeypatch.setattr(migration_task.boto3, "client", {"ecs": ecs}.get)
    migration_task.handler(event(url, "Delete"), None)
    assert received[0]["Status"] == "SUCCESS"
    assert ecs.started == []


def test_an_unforeseen_error_is_an_answer_too(
    answers: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, received = answers

    def no_client(service: str) -> None:
        raise RuntimeError(f"no {service}")

    monkeypatch.setattr(migration_task.boto3, "client", no_client)
    migration_task.handler(event(url), None)
    assert received[0]["Status"] == "FAILED"
    assert received[0]["Reason"] == "RuntimeError: no ecs"
