"""The committed template, deployed to a real emulator process by the code that the local stack uses."""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config

from deploy import bundle
from deploy.cloudformation import deploy_app, deploy_stack
from pipeline_project.errors import Permanent

pytestmark = pytest.mark.slow

STACK = "pipeline-test-app"
CODE_BUCKET = "pipeline-test-code"
REGION = "eu-central-1"
# Stands in for the API: shows what the function is given and that it reaches AWS with it.
HANDLER = """
import json, os, platform
import psycopg, pydantic
from pipeline_project import aws, settings

def handler(event, context):
    if event["path"] == "/broken":
        raise RuntimeError("as the test wants it")
    given = settings.Settings.load(os.environ)
    table = aws.client(given, "dynamodb")
    table.put_item(TableName=given.table_name, Item={"pk": {"S": "a"}, "sk": {"S": "b"}})
    body = {
        "root": os.environ["LAMBDA_TASK_ROOT"],
        "files": [m.__file__ for m in (psycopg, pydantic, settings)],
        "settings": {name: getattr(given, name) for name in given.__struct_fields__},
        "path": event["path"],
        "query": event["queryStringParameters"],
    }
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
"""


@dataclass(frozen=True)
class Emulator:
    url: str

    def client(self, service: str) -> Any:
        return boto3.client(
            service,  # pyright: ignore[reportArgumentType, reportCallIssue]
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )


@dataclass(frozen=True)
class Deployment:
    emulator: Emulator
    bundle: Path
    outputs: dict[str, str]

    @contextmanager
    def client(self, service: str) -> Iterator[Any]:
        with closing(self.emulator.client(service)) as client:
            yield client

    def deploy(self, bundle: Path, **parameters: str) -> dict[str, str]:
        return deploy_to(self.emulator, bundle, **parameters)


def deploy_to(emulator: Emulator, code: Path, **parameters: str) -> dict[str, str]:
    with (
        closing(emulator.client("cloudformation")) as cloudformation,
        closing(emulator.client("dynamodb")) as dynamodb,
        closing(emulator.client("s3")) as s3,
    ):
        return deploy_app(
            cloudformation=cloudformation,
            dynamodb=dynamodb,
            s3=s3,
            stack_name=STACK,
            code_bucket=CODE_BUCKET,
            bundle=code,
            parameters={
                "EnvironmentName": "test",
                "Architecture": "x86_64" if platform.machine() in {"x86_64", "AMD64"} else "arm64",
                "AwsEndpointUrl": emulator.url,
                **parameters,
            },
            poll_seconds=0.2,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(ask: Callable[[], Any], seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"nothing within {seconds} s")


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    home = tmp_path_factory.mktemp("emulator")
    port = free_port()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "TMPDIR": str(home),
        "HOME": str(home),
    }
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=environment, cwd=home, stdout=log, stderr=subprocess.STDOUT
        )
        try:

            def listening() -> bool:
                assert process.poll() is None, (home / "log").read_text("utf-8")
                with socket.socket() as probe:
                    return probe.connect_ex(("127.0.0.1", port)) == 0

            eventually(listening, 30)
            yield Emulator(f"http://127.0.0.1:{port}")
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real bundle with a handler of this test in place of the API's."""
    folder = tmp_path_factory.mktemp("code")
    bundle.build(folder / "api.zip", bundle.HOST)
    path = folder / "with-handler.zip"
    with zipfile.ZipFile(folder / "api.zip") as built, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as changed:
        for entry in built.infolist():
            if "/api/" not in entry.filename or not entry.filename.startswith("pipeline_project"):
                changed.writestr(entry, built.read(entry))
        changed.writestr("pipeline_project/api/__init__.py", "")
        changed.writestr("pipeline_project/api/handler.py", HANDLER)
    return path


@pytest.fixture(scope="module")
def deployment(emulator: Emulator, code: Path) -> Deployment:
    with closing(emulator.client("s3")) as s3:
        s3.create_bucket(Bucket=CODE_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return Deployment(emulator, code, deploy_to(emulator, code))


def messages(deployment: Deployment, queue: str, **options: int) -> list[dict[str, Any]]:
    with deployment.client("sqs") as sqs:
        return sqs.receive_message(
            QueueUrl=deployment.outputs[queue], MaxNumberOfMessages=10, WaitTimeSeconds=0, **options
        ).get("Messages", [])


def arrived(deployment: Deployment, key: str) -> dict[str, Any]:
    """The S3 event of that key; other messages stay in the queue."""

    def look() -> dict[str, Any] | None:
        for message in messages(deployment, "LandingQueueUrl", VisibilityTimeout=0):
            for record in json.loads(message["Body"]).get("Records", []):
                if record["s3"]["object"]["key"] == key:
                    return {"handle": message["ReceiptHandle"], **record}
        return None

    return eventually(look)


def get(url: str) -> tuple[int, Mapping[str, str], dict[str, Any]]:
    pool = urllib3.PoolManager(retries=False)
    response = pool.request("GET", url, timeout=30)
    pool.clear()
    return response.status, response.headers, response.json()


def test_an_upload_arrives_in_the_landing_queue(deployment: Deployment) -> None:
    bucket = deployment.outputs["LandingBucket"]
    # What the queue policy relies on.
    assert bucket.startswith(f"{STACK}-landingbucket")
    with deployment.client("s3") as s3:
        version = s3.put_object(Bucket=bucket, Key="crm-data/first light.json", Body=b"{}")["VersionId"]
        s3.put_object(Bucket=deployment.outputs["ResultsBucket"], Key="jobs/x", Body=b"{}")
    event = arrived(deployment, "crm-data/first+light.json")
    assert event["eventName"].startswith("ObjectCreated:")
    assert event["s3"]["bucket"]["name"] == bucket
    assert event["s3"]["object"]["versionId"] == version
    assert event["s3"]["object"]["sequencer"]
    with deployment.client("sqs") as sqs:
        sqs.delete_message(QueueUrl=deployment.outputs["LandingQueueUrl"], ReceiptHandle=event["handle"])


def test_a_message_that_fails_five_times_is_set_aside(deployment: Deployment) -> None:
    with deployment.client("sqs") as sqs:
        queue = deployment.outputs["LandingQueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody='{"poison": true}')
        set_aside = eventually(
            lambda: (
                messages(deployment, "LandingQueueUrl", VisibilityTimeout=0),
                [m for m in messages(deployment, "LandingDeadLetterQueueUrl") if "poison" in m["Body"]],
            )[1]
        )
        assert len(set_aside) == 1
        sqs.purge_queue(QueueUrl=deployment.outputs["LandingDeadLetterQueueUrl"])
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "120"
    assert json.loads(attributes["RedrivePolicy"])["maxReceiveCount"] == 5


def test_the_table_has_its_indexes_and_expires_records(deployment: Deployment) -> None:
    table = deployment.outputs["TableName"]
    item = {
        name: {"S": value}
        for name, value in {
            "pk": "job#1", "sk": "job", "gsi1pk": "jobs", "gsi1sk": "2026-01-01", "gsi2pk": "QUEUED", "gsi2sk": "1"
        }.items()
    }  # fmt: skip
    with deployment.client("dynamodb") as dynamodb:
        dynamodb.put_item(TableName=table, Item=item)
        for index, partition, value in (("by_time", "gsi1pk", "jobs"), ("by_state", "gsi2pk", "QUEUED")):
            found = dynamodb.query(
                TableName=table,
                IndexName=index,
                KeyConditionExpression="#p = :v",
                ExpressionAttributeNames={"#p": partition},
                ExpressionAttributeValues={":v": {"S": value}},
            )
            assert [i["pk"]["S"] for i in found["Items"]] == ["job#1"]
        expiry = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expireAt"}


def test_the_gateway_reaches_the_function_which_runs_from_its_bundle(deployment: Deployment) -> None:
    status, _, answer = get(deployment.outputs["ApiUrl"] + "/analytics/operations?x=1")
    assert status == 200, answer
    assert answer["path"] == "/analytics/operations"
    assert answer["query"] == {"x": "1"}
    assert all("with-handler" in f or "site-packages" not in f for f in answer["files"]), answer["files"]
    assert not [f for f in answer["files"] if str(bundle.ROOT) in f], "taken from this checkout, not from the bundle"
    given = answer["settings"]
    assert given["environment"] == "test"
    assert given["aws_endpoint_url"] == deployment.emulator.url
    assert given["api_url"] == deployment.outputs["ApiUrl"]
    for field, output in (
        ("landing_bucket", "LandingBucket"),
        ("results_bucket", "ResultsBucket"),
        ("landing_queue_url", "LandingQueueUrl"),
        ("table_name", "TableName"),
        ("events_topic_arn", "EventsTopicArn"),
    ):
        assert given[field] == deployment.outputs[output]
    with deployment.client("dynamodb") as dynamodb:
        assert "Item" in dynamodb.get_item(TableName=given["table_name"], Key={"pk": {"S": "a"}, "sk": {"S": "b"}})
    assert get(deployment.outputs["ApiUrl"] + "/")[0] == 200


def test_a_broken_function_raises_its_alarm_and_whoever_subscribed_hears_of_it_once(deployment: Deployment) -> None:
    """The way of a fault through everything that is deployed: gateway, function, metric, alarm, topic, subscriber."""
    with (
        deployment.client("sqs") as sqs,
        deployment.client("sns") as sns,
        deployment.client("lambda") as functions,
        deployment.client("cloudwatch") as cloudwatch,
    ):
        inbox = sqs.create_queue(QueueName="operator")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=deployment.outputs["AlarmsTopicArn"], Protocol="sqs", Endpoint=arn)

        def break_it() -> None:
            status, _, problem = get(deployment.outputs["ApiUrl"] + "/broken")
            assert status >= 500, problem
            # The emulator counts errors of direct calls only, CloudWatch those through the gateway, too.
            call = {"FunctionName": deployment.outputs["FunctionName"], "Payload": b'{"path": "/broken"}'}
            assert functions.invoke(**call)["FunctionError"]

        def heard() -> list[dict[str, Any]]:
            # CloudWatch looks at its alarms each minute, the emulator when somebody sends a metric, whichever.
            cloudwatch.put_metric_data(Namespace="Test", MetricData=[{"MetricName": "Tick", "Value": 1}])
            received = sqs.receive_message(QueueUrl=inbox, MaxNumberOfMessages=10, VisibilityTimeout=0)
            return [json.loads(json.loads(each["Body"])["Message"]) for each in received.get("Messages", [])]

        break_it()
        (alarm,) = [each for each in eventually(heard) if "ApiFunctionErrors" in each["AlarmName"]]
        assert alarm["NewStateValue"] == "ALARM"
        assert alarm["AlarmDescription"] == "The API's function raised an error or ran out of time"
        assert alarm["Trigger"]["MetricName"] == "Errors"
        # It is heard of again only when its state changes.
        break_it()
        names = [each["AlarmName"] for each in heard() if each["NewStateValue"] == "ALARM"]
        assert names.count(alarm["AlarmName"]) == 1


def test_the_gateways_own_error_is_a_problem_that_any_origin_may_read(deployment: Deployment) -> None:
    """Throttling: of the gateway's own errors the one that the emulator can be brought to."""
    deployment.deploy(deployment.bundle, RequestsPerSecond="0", RequestBurst="0")
    try:
        status, headers, problem = get(deployment.outputs["ApiUrl"] + "/health")
    finally:
        deployment.deploy(deployment.bundle)
    assert status == 429
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert problem.pop("request_id")
    assert problem == {
        "type": "about:blank",
        "title": "Too many requests; try again later",
        "status": 429,
        "detail": "come back after the seconds that Retry-After names",
        "code": "too_many_requests",
    }
    assert get(deployment.outputs["ApiUrl"] + "/health")[0] == 200


def test_deploying_again_keeps_data_and_takes_new_settings_and_code(deployment: Deployment, tmp_path: Path) -> None:
    with deployment.client("s3") as s3:
        s3.put_object(Bucket=deployment.outputs["LandingBucket"], Key="crm-data/kept.json", Body=b"[]")
    assert deployment.deploy(deployment.bundle) == deployment.outputs
    changed = tmp_path / "changed.zip"
    changed.write_bytes(deployment.bundle.read_bytes())
    with zipfile.ZipFile(changed, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("later.txt", "later")
    assert deployment.deploy(changed, DagsterUrl="http://127.0.0.1:9") == deployment.outputs
    status, _, answer = get(deployment.outputs["ApiUrl"] + "/again")
    assert (status, answer["settings"]["dagster_url"]) == (200, "http://127.0.0.1:9")
    with deployment.client("s3") as s3:
        assert (
            s3.get_object(Bucket=deployment.outputs["LandingBucket"], Key="crm-data/kept.json")["Body"].read() == b"[]"
        )
    arrived(deployment, "crm-data/kept.json")


def test_a_failed_deployment_names_the_resource_and_can_be_repeated(deployment: Deployment) -> None:
    sound: dict[str, Any] = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {"Arn": {"Value": {"Ref": "Topic"}}},
    }
    absent = f"arn:aws:sqs:{REGION}:000000000000:absent"
    notified = {"QueueConfigurations": [{"Event": "s3:ObjectCreated:*", "Queue": absent}]}
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"NotificationConfiguration": notified}}
    broken = {**sound, "Resources": {**sound["Resources"], "Odd": bucket}}
    with deployment.client("cloudformation") as cloudformation:
        with pytest.raises(Permanent, match=r"^stack pipeline-odd: Odd: ."):
            deploy_stack(cloudformation, "pipeline-odd", json.dumps(broken), {}, poll_seconds=0.2)
        outputs = deploy_stack(cloudformation, "pipeline-odd", json.dumps(sound), {}, poll_seconds=0.2)
        assert outputs["Arn"].startswith("arn:aws:sns:")
        # A failed update leaves what was there before.
        with pytest.raises(Permanent, match=r"^stack pipeline-odd: Odd: ."):
            deploy_stack(cloudformation, "pipeline-odd", json.dumps(broken), {}, poll_seconds=0.2)
        assert deploy_stack(cloudformation, "pipeline-odd", json.dumps(sound), {}, poll_seconds=0.2) == outputs
