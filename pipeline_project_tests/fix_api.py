"""The REST facade over a real PostgreSQL and the emulator's DynamoDB, S3 and SNS. `api` calls its handler in process."""

import base64
import json
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from pipeline_project import aws
from pipeline_project.api.handler import Api
from pipeline_project.api.services import Services
from pipeline_project.jobs.outbox import Outbox
from pipeline_project.jobs.store import JobStore
from pipeline_project.local.postgres import free_port
from pipeline_project.settings import Settings
from pipeline_project_tests.fix_postgres import FreshDatabase

START_SECONDS = 30
NOBODY_LISTENS = "http://127.0.0.1:9"


@pytest.fixture(scope="session")
def aws_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an emulator of this worker's own."""
    folder = tmp_path_factory.mktemp("aws")
    port = free_port()
    command = [sys.executable, "-m", "pipeline_project.local.aws_server", str(port), str(folder)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _await_port(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def _await_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@dataclass(frozen=True)
class Cloud:
    """Table, bucket and topic of one test's own, with clients that are closed at its end."""

    settings: Settings
    dynamodb: Any
    s3: Any
    sns: Any
    sqs: Any

    def jobs(self, **options: Any) -> JobStore:
        return JobStore(self.dynamodb, self.settings.table_name, **options)

    def outbox(self) -> Outbox:
        return Outbox(self.dynamodb, self.settings.table_name)


@pytest.fixture
def cloud(aws_endpoint: str) -> Iterator[Cloud]:
    with new_cloud(aws_endpoint) as cloud:
        yield cloud


@contextmanager
def new_cloud(aws_endpoint: str) -> Iterator[Cloud]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    plain = Settings(
        environment="test",
        aws_endpoint_url=aws_endpoint,
        aws_access_key_id="000000000000",
        aws_secret_access_key="local",
        landing_bucket=f"{name}-landing",
        results_bucket=f"{name}-results",
        landing_queue_url="",
        table_name=name,
        events_topic_arn="",
        reader_secret=f"{name}/reader",
        dagster_url=NOBODY_LISTENS,
        api_url="https://api.example.com/v1",
    )
    with ExitStack() as stack:
        dynamodb, s3, sns, sqs = (
            stack.enter_context(closing(aws.client(plain, each))) for each in ("dynamodb", "s3", "sns", "sqs")
        )
        create_table(dynamodb, name)
        s3.create_bucket(
            Bucket=plain.results_bucket, CreateBucketConfiguration={"LocationConstraint": plain.aws_region}
        )
        topic = sns.create_topic(Name=name)["TopicArn"]
        yield Cloud(msgspec.structs.replace(plain, events_topic_arn=topic), dynamodb, s3, sns, sqs)


def create_table(dynamodb: Any, name: str) -> None:
    """As deploy/ makes it."""
    attributes = ("pk", "sk", "gsi1pk", "gsi1sk", "gsi2pk", "gsi2sk")

    def key(partition: str, sort: str) -> list[dict[str, str]]:
        return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]

    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in attributes],
        KeySchema=key("pk", "sk"),
        GlobalSecondaryIndexes=[
            {
                "IndexName": index,
                "KeySchema": key(f"{prefix}pk", f"{prefix}sk"),
                "Projection": {"ProjectionType": "ALL"},
            }
            for index, prefix in (("by_time", "gsi1"), ("by_state", "gsi2"))
        ],
    )


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Caller:
    """Makes events as API Gateway does and gives them to the handler. `identity` is who API Gateway says it is."""

    def __init__(self, services: Services, identity: Mapping[str, Any] | None = None) -> None:
        self.services = services
        self._api = Api(services)
        self._identity = dict(identity or {})

    def __call__(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        raw: bytes | None = None,
        encoded: bool = False,
    ) -> Answer:
        """`body` is sent as JSON; `raw` as it is, in base64 if `encoded`."""
        parts = urlsplit(target)
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            query.setdefault(name, []).append(value)
        given = dict(headers or {})
        data = raw if body is None else json.dumps(body).encode()
        if body is not None:
            given.setdefault("Content-Type", "application/json")
        text = None if data is None else base64.b64encode(data).decode() if encoded else data.decode()
        event = {
            "httpMethod": method,
            "path": parts.path,
            "headers": given,
            "multiValueHeaders": {name: [value] for name, value in given.items()},
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
            "body": text,
            "isBase64Encoded": encoded,
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "stage": "v1",
                "path": f"/v1{parts.path}",
                "identity": self._identity,
            },
        }
        answer = self.respond(event)
        return Answer(answer["statusCode"], answer["headers"], answer["body"])

    def respond(self, event: Mapping[str, Any]) -> dict[str, Any]:
        return self._api.respond(event, None)

    def known_as(self, **identity: Any) -> "Caller":
        return Caller(self.services, identity)


@pytest.fixture
def services(cloud: Cloud, database: FreshDatabase) -> Iterator[Services]:
    """What the routes work with, on this test's table and database."""
    with closing(aws.client(cloud.settings, "secretsmanager")) as secrets:
        secrets.create_secret(Name=cloud.settings.reader_secret, SecretString=database.secret("reader"))
    found = Services(cloud.settings)
    yield found
    found.close()


@pytest.fixture
def api(services: Services) -> Caller:
    return Caller(services)


@pytest.fixture(scope="session")
def api_without_database(aws_endpoint: str) -> Iterator[Caller]:
    """One for all tests of what is refused before anything is asked of the database or written to the table."""
    with new_cloud(aws_endpoint) as cloud, closing(Services(cloud.settings)) as services:
        yield Caller(services)
