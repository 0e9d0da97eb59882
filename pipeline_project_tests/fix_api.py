"""The REST facade over a real PostgreSQL and the emulator's DynamoDB, S3 and SNS. `api` calls its handler in process."""

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from pipeline_project.api.handler import Api, of_function
from pipeline_project.jobs.outbox import Outbox
from pipeline_project.jobs.store import JobStore
from pipeline_project.services import Services
from pipeline_project.settings import Settings
from pipeline_project_tests.fix_aws import Account, new_account

NOBODY_LISTENS = "http://127.0.0.1:9"
PATIENCE_SECONDS = 200


class Cloud:
    """Table, bucket and topic, with what is kept in them."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.settings = account.settings
        self.dynamodb, self.s3 = account.dynamodb, account.s3
        self.sns, self.sqs = account.sns, account.sqs

    def jobs(self, **options: Any) -> JobStore:
        return JobStore(self.dynamodb, self.settings.table_name, **options)

    def outbox(self) -> Outbox:
        return Outbox(self.dynamodb, self.settings.table_name)


@pytest.fixture
def cloud(aws: Account) -> Cloud:
    return offline(aws)


def offline(account: Account) -> Cloud:
    """Where nobody answers for Dagster, and links lead to an address of the imagination.

    A query may take long, so that none becomes a job because the machine is busy.
    """
    account.settings = msgspec.structs.replace(
        account.settings,
        environment="test",
        dagster_url=NOBODY_LISTENS,
        api_url="https://api.example.com/v1",
        query_timeout_seconds=PATIENCE_SECONDS,
    )
    return Cloud(account)


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
        return self._api.respond(event)

    def known_as(self, **identity: Any) -> "Caller":
        return Caller(self.services, identity)


@pytest.fixture
def services(cloud: Cloud, settings: Settings) -> Iterator[Services]:  # `settings`: that the secrets are there
    """What the routes work with, on this test's table and database."""
    with closing(of_function(cloud.settings)) as found:
        yield found


@pytest.fixture
def api(services: Services) -> Caller:
    return Caller(services)


@pytest.fixture(scope="session")
def api_without_database(aws_endpoint: str) -> Iterator[Caller]:
    """One for all tests of what is refused before anything is asked of the database or written to the table."""
    with new_account(aws_endpoint) as account, closing(of_function(offline(account).settings)) as services:
        yield Caller(services)
