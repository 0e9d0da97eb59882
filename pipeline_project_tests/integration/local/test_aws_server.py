"""The emulator as the local stack runs it: on the loopback only, and keeping its state when it is killed."""

import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline_project.ingest.discovery import list_pages
from pipeline_project.local.aws_server import is_change, only_reads
from pipeline_project.local.aws_storage import is_upload
from pipeline_project.local.deployment import client
from pipeline_project.local.http_json import request
from pipeline_project.local.postgres import free_port
from pipeline_project_tests.fix_aws import SECRET, Account, await_emulator, emulator_command


@contextmanager
def running(folder: Path) -> "Iterator[tuple[str, subprocess.Popen[bytes]]]":
    port = free_port()
    command = emulator_command(port, folder)
    log = folder.with_suffix(".log")
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        await_emulator(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


@contextmanager
def clients(endpoint: str, *services: str) -> Iterator[list[Any]]:
    made = [client(endpoint, SECRET, service) for service in services]
    try:
        yield made
    finally:
        for each in made:
            each.close()


def await_checkpoint(folder: Path, sqs: Any) -> None:
    """Until a checkpoint that began after this call is written: the second one from now. Changes bring them about."""
    before = written = state_written(folder)
    deadline = time.monotonic() + 60
    for number in range(2):
        sqs.create_queue(QueueName=f"another-{number}")
        while written == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
            written = state_written(folder)
        before = written


def state_written(folder: Path) -> int:
    return max((path.stat().st_mtime_ns for path in (folder / "state").glob("sqs.json")), default=0)


def test_a_killed_emulator_knows_everything_again(tmp_path: Path) -> None:
    """It fails when the private names move by which the state is written: the checkpoint is theirs."""
    folder = tmp_path / "aws"
    with running(folder) as (endpoint, process):
        with clients(endpoint, "s3", "sqs", "dynamodb", "secretsmanager") as (s3, sqs, dynamodb, secrets):
            s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
            s3.put_object(Bucket="bucket", Key="a b+c.json", Body=b"bytes")
            queue = sqs.create_queue(QueueName="queue")["QueueUrl"]
            sqs.send_message(QueueUrl=queue, MessageBody="message")
            key = {"AttributeName": "pk", "KeyType": "HASH"}
            attribute = {"AttributeName": "pk", "AttributeType": "S"}
            dynamodb.create_table(
                TableName="table", KeySchema=[key], AttributeDefinitions=[attribute], BillingMode="PAY_PER_REQUEST"
            )
            dynamodb.put_item(TableName="table", Item={"pk": {"S": "x"}})
            secrets.create_secret(Name="secret", SecretString="secret")
            await_checkpoint(folder, sqs)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with (
        running(folder) as (endpoint, _),
        clients(endpoint, "s3", "sqs", "dynamodb", "secretsmanager") as (s3, sqs, dynamodb, secrets),
    ):
        assert s3.get_object(Bucket="bucket", Key="a b+c.json")["Body"].read() == b"bytes"
        (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
        assert message["Body"] == "message"
        assert dynamodb.get_item(TableName="table", Key={"pk": {"S": "x"}})["Item"] == {"pk": {"S": "x"}}
        assert secrets.get_secret_value(SecretId="secret")["SecretString"] == "secret"


def test_an_ordered_end_keeps_the_last_moment(tmp_path: Path) -> None:
    folder = tmp_path / "aws"
    with running(folder) as (endpoint, process):
        with closing(client(endpoint, SECRET, "sqs")) as sqs:
            queue = sqs.create_queue(QueueName="queue")["QueueUrl"]
        process.terminate()
        assert process.wait(timeout=20) == 0
    with running(folder) as (endpoint, _), closing(client(endpoint, SECRET, "sqs")) as sqs:
        assert sqs.get_queue_url(QueueName="queue")["QueueUrl"].rsplit("/", 1)[1] == queue.rsplit("/", 1)[1]


def test_it_listens_on_the_loopback_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "aws" / "tmp" / "ministack-lambda-of-a-killed-server").mkdir(parents=True)
    with running(tmp_path / "aws") as (endpoint, process):
        listening = [
            each for each in psutil.Process(process.pid).net_connections() if each.status == psutil.CONN_LISTEN
        ]
        assert [f"http://{each.laddr.ip}:{each.laddr.port}" for each in listening] == [endpoint]
        assert list((tmp_path / "aws" / "tmp").iterdir()) == []


def test_a_listing_of_versions_tells_any_key(aws: Account) -> None:
    """Of what S3 takes for a key, XML can tell only a part. It fails when the private name moves that the listing is of."""
    bucket = aws.settings.landing_bucket
    names = ["\x01\x1f", "tab\tfeed\nreturn\r", "a+b", "100%", "%2B", "&amp;<>'\"", "ünïcödé 🙂", "\uffff", "a//b"]
    keys = sorted(f"crm-data/{name}" for name in names)
    for key in keys:
        aws.s3.put_object(Bucket=bucket, Key=key, Body=b"[]")
    assert [seen.key for page in list_pages(aws.s3, bucket) for seen in page.seen] == keys
    pages = aws.s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    assert [[version["Key"] for version in page["Versions"]] for page in pages] == [[key] for key in keys]
    assert aws.s3.list_object_versions(Bucket=bucket, Prefix=keys[0])["Prefix"] == keys[0]
    # As S3 does, it encodes keys only for whoever asks it to; boto3 does by itself.
    asked = aws.s3.list_object_versions(Bucket=bucket, Prefix="crm-data/100%", EncodingType="url")
    assert asked["Versions"][0]["Key"] == "crm-data/100%25"


def test_a_function_that_dies_is_answered_for_by_the_gateway(tmp_path: Path) -> None:
    """With the stack's own body, not with a traceback. It fails when the private name moves by which functions are called."""
    code = BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("dying.py", "def handler(event, context): raise RuntimeError('a secret')")
    with running(tmp_path / "aws") as (endpoint, _), clients(endpoint, "lambda", "apigateway") as (functions, gateway):
        arn = functions.create_function(
            FunctionName="dying",
            Runtime="python3.13",
            Handler="dying.handler",
            Role="arn:aws:iam::000000000000:role/any",
            Code={"ZipFile": code.getvalue()},
        )["FunctionArn"]
        uri = f"arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/{arn}/invocations"
        api = gateway.create_rest_api(name="api")
        place = {"restApiId": api["id"], "resourceId": api["rootResourceId"], "httpMethod": "ANY"}
        gateway.put_method(**place, authorizationType="NONE")
        gateway.put_integration(**place, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
        template = {"application/json": '{"code": "unavailable"}'}
        gateway.put_gateway_response(
            restApiId=api["id"], responseType="API_CONFIGURATION_ERROR", statusCode="503", responseTemplates=template
        )
        gateway.create_deployment(restApiId=api["id"], stageName="v1")
        answer = request("GET", f"{endpoint}/_aws/execute-api/{api['id']}/v1/")
    assert (answer.status, answer.body) == (503, {"code": "unavailable"})


@pytest.mark.parametrize(
    ("method", "action", "reads"),
    [
        ("GET", b"", True),
        ("PUT", b"", False),
        ("POST", b"AmazonSQS.ReceiveMessage", True),
        ("POST", b"AmazonSQS.DeleteMessageBatch", False),
        ("POST", b"DynamoDB_20120810.Query", True),
        ("POST", b"DynamoDB_20120810.UpdateItem", False),
        ("POST", b"", False),
    ],
)
def test_what_changes_nothing_needs_no_checkpoint(method: str, action: bytes, reads: bool) -> None:
    headers = [(b"host", b"127.0.0.1"), (b"x-amz-target", action)]
    assert only_reads({"type": "http", "method": method, "headers": headers}) is reads
    assert not only_reads({"type": "lifespan"})


@pytest.mark.parametrize(
    ("method", "path", "headers", "brings"),
    [
        ("PUT", "/bucket/a key", {}, True),
        ("POST", "/bucket/key", {}, True),
        ("POST", "/bucket", {b"content-type": b"multipart/form-data; boundary=x"}, True),
        ("PUT", "/bucket", {}, False),
        ("POST", "/bucket", {b"content-type": b"application/xml"}, False),
        ("DELETE", "/bucket/key", {}, False),
        ("GET", "/bucket/key", {}, False),
        ("POST", "/", {b"x-amz-target": b"AmazonSQS.SendMessage"}, False),
        ("PUT", "/2015-03-31/functions/api/code", {}, False),
        ("POST", "/_aws/execute-api/id/v1/analytics", {}, False),
    ],
)
def test_an_upload_is_known_by_its_request(method: str, path: str, headers: dict[bytes, bytes], brings: bool) -> None:
    assert is_upload({"method": method, "path": path, "headers": list(headers.items())}) is brings


def test_what_the_functions_behind_the_api_are_asked_is_no_change() -> None:
    def changes(path: str) -> bool:
        return is_change({"type": "http", "method": "POST", "path": path, "headers": []})

    assert changes("/bucket/key")
    assert not changes("/_aws/execute-api/id/v1/analytics")
