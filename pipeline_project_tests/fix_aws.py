"""A real AWS emulator over HTTP for tests: `aws` is an account of one test's own, holding the app stack's data plane.

Buckets, queue, table and topic are deployed from the committed template, so that tests see what production gets. The
emulator keeps accounts apart, hence one server a worker is enough.
"""

import json
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.awsrequest import AWSResponse
from botocore.retries.standard import ExponentialBackoff

from deploy.cloudformation import LOCAL_TEMPLATE, deploy_stack
from pipeline_project.aws import client
from pipeline_project.errors import Transient
from pipeline_project.local.http_json import request
from pipeline_project.local.postgres import free_port
from pipeline_project.settings import Settings
from pipeline_project_tests.fix_postgres import ROLES, FreshDatabase

STACK = "pipeline-test"
SECRET = "test"
"""The secret access key of the tests' emulators."""
START_SECONDS = 120
# What tests of ingestion and jobs need; functions, gateway and alarms take time and have tests of their own.
DATA_PLANE = (
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::DynamoDB::Table",
    "AWS::SNS::Topic",
)


class Account:
    """One test's AWS. `settings` name what is in it; the database secrets are made by the fixture `settings`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """A boto3 client as the platform makes them, closed at the end of the test."""
        if service not in self._clients:
            self._clients[service] = client(self.settings, service)
        return self._clients[service]

    def close(self) -> None:
        for each in self._clients.values():
            each.close()

    @property
    def s3(self) -> Any:
        return self.client("s3")

    @property
    def sqs(self) -> Any:
        return self.client("sqs")

    @property
    def dynamodb(self) -> Any:
        return self.client("dynamodb")

    @property
    def sns(self) -> Any:
        return self.client("sns")

    @property
    def secretsmanager(self) -> Any:
        return self.client("secretsmanager")


@pytest.fixture(scope="session")
def aws_endpoint(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of this worker's emulator, or of the one that --servers names."""
    if servers := pytestconfig.getoption("servers"):
        yield (servers / "aws-endpoint").read_text("utf-8")
        return
    with emulator(tmp_path_factory.mktemp("aws")) as endpoint:
        yield endpoint


@contextmanager
def emulator(folder: Path, *origins: str) -> Iterator[str]:
    """Run an emulator. Pages of `origins` may use what it serves."""
    port = free_port()
    command = [*emulator_command(port, folder), *origins]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        await_emulator(endpoint, server, folder / "server.log")
        yield endpoint
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def emulator_command(port: int, folder: Path) -> list[str]:
    """How to start an emulator that keeps its state in `folder` and knows SECRET."""
    secret = folder.with_name(f"{folder.name}-secret")
    secret.write_text(SECRET, "utf-8")
    return [sys.executable, "-m", "pipeline_project.local.aws_server", str(port), str(folder), str(secret)]


def await_emulator(endpoint: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            if request("GET", f"{endpoint}/_ministack/health", timeout=5).status == 200:
                return
        except Transient:
            time.sleep(0.02)
    raise AssertionError(f"the emulator did not start: {log.read_text('utf-8')}")


@pytest.fixture
def aws(aws_endpoint: str) -> Iterator[Account]:
    """A fresh account with empty buckets, queue, table and topic."""
    with new_account(aws_endpoint) as account:
        yield account


@contextmanager
def new_account(aws_endpoint: str) -> Iterator[Account]:
    access = Settings(
        aws_endpoint_url=aws_endpoint,
        aws_access_key_id=f"{secrets.randbelow(10**12):012d}",  # for the emulator it is the account
        aws_secret_access_key=SECRET,
        landing_bucket="",
        results_bucket="",
        landing_queue_url="",
        table_name="",
        events_topic_arn="",
    )
    parameters = {"AwsEndpointUrl": aws_endpoint}
    with closing(client(access, "cloudformation")) as cloudformation:
        outputs = deploy_stack(cloudformation, STACK, data_plane_template(), parameters, poll_seconds=0.02)
    resources = {
        "landing_bucket": outputs["LandingBucket"],
        "results_bucket": outputs["ResultsBucket"],
        "landing_queue_url": outputs["LandingQueueUrl"],
        "table_name": outputs["TableName"],
        "events_topic_arn": outputs["EventsTopicArn"],
    }
    with closing(Account(msgspec.structs.replace(access, **resources))) as account:
        yield account


def data_plane_template() -> str:
    """The committed template without what does not belong to the data plane."""
    template = json.loads(LOCAL_TEMPLATE.read_bytes())
    resources = {name: each for name, each in template["Resources"].items() if each["Type"] in DATA_PLANE}
    outputs = {name: each for name, each in template["Outputs"].items() if each["Value"].get("Ref") in resources}
    parameters = {name: template["Parameters"][name] for name in ("AllowedOrigins", "AwsEndpointUrl")}
    return json.dumps({"Parameters": parameters, "Resources": resources, "Outputs": outputs})


@pytest.fixture
def settings(aws: Account, database: FreshDatabase) -> Settings:
    """Settings with which everything works: the account's resources, and the fresh database behind its secrets."""
    create_secrets(aws, database)
    return aws.settings


Fault = tuple[int, bytes]
"""Status and body of an answer that AWS would give."""


class _Body:
    """The part of a urllib3 response that botocore reads."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_arguments: Any, **_options: Any) -> list[bytes]:
        return [self._content]


def answer_with(request: Any, fault: Fault) -> AWSResponse:
    status, content = fault
    return AWSResponse(request.url, status, {}, _Body(content))


def inject(client: Any, faults: list[Fault]) -> None:
    """Have the next calls of a boto3 client answered by these, first to last; each is taken out of the list."""

    def answer(request: Any, **_context: Any) -> AWSResponse | None:
        if not faults:
            return None
        return answer_with(request, faults.pop(0))

    client.meta.events.register(f"before-send.{client.meta.service_model.service_name}", answer)


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 tries again at once: how long it waits is not the subject."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)


def new_queue(sqs: Any, sns: Any, topic_arn: str) -> str:
    """The address of a queue that is subscribed to the topic."""
    queue = sqs.create_queue(QueueName=f"subscriber-{secrets.token_hex(4)}")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=attributes["QueueArn"])
    return queue


def create_secrets(aws: Account, database: FreshDatabase) -> None:
    names = (aws.settings.owner_secret, aws.settings.loader_secret, aws.settings.reader_secret)
    for name, role in zip(names, ROLES, strict=True):
        aws.secretsmanager.create_secret(Name=name, SecretString=database.secret(role))
