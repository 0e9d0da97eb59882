"""The AWS emulator on a disk that is full, read-only or gone: what it acknowledges is there after `kill -9`."""

import json
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from pipeline_project.local import disk
from pipeline_project.local.deployment import ACCESS_KEY_ID, REGION
from pipeline_project_tests.fix_aws import SECRET
from pipeline_project_tests.integration.local.test_aws_server import running
from pipeline_project_tests.small_disk import fill, remount, small_disk

BUCKET, TABLE, QUEUE, EVENTS = "bucket", "table", "queue", "events"
PART = 5 * 1024**2
ATTEMPTS = 40


class Clients:
    """boto3 clients that try each request once."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self.s3, self.sqs, self.dynamodb = (self._client(service) for service in ("s3", "sqs", "dynamodb"))

    def _client(self, service: str) -> Any:
        config = Config(s3={"addressing_style": "path"}, proxies={}, retries={"total_max_attempts": 1})
        return boto3.client(  # pyright: ignore[reportCallIssue]
            service,  # pyright: ignore[reportArgumentType]
            endpoint_url=self._endpoint,
            region_name=REGION,
            config=config,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET,
        )

    def close(self) -> None:
        for each in (self.s3, self.sqs, self.dynamodb):
            each.close()

    def make_resources(self) -> None:
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        self.sqs.create_queue(QueueName=QUEUE)
        self.sqs.create_queue(QueueName=EVENTS)
        arn = f"arn:aws:sqs:{REGION}:{ACCESS_KEY_ID}:{EVENTS}"
        notify = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
        self.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=notify)
        self.dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def put(self, key: str, body: bytes) -> str:
        return self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)["VersionId"]

    def get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def keys(self) -> set[str]:
        return {each["Key"] for each in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}

    def send(self, text: str) -> None:
        self.sqs.send_message(QueueUrl=self.sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"], MessageBody=text)

    def messages(self, queue: str) -> Iterator[str]:
        url = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        while found := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            yield from (message["Body"] for message in found)

    def upload_parts(self, key: str, parts: int) -> dict[str, Any]:
        """An upload in parts that only has to be completed."""
        which = {"Bucket": BUCKET, "Key": key}
        which["UploadId"] = self.s3.create_multipart_upload(**which)["UploadId"]
        sent = [
            {"PartNumber": n, "ETag": self.s3.upload_part(**which, PartNumber=n, Body=b"%d" % n * PART)["ETag"]}
            for n in range(1, parts + 1)
        ]
        return {**which, "MultipartUpload": {"Parts": sent}}


def refused(error: ClientError) -> str:
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    return error.response["Error"]["Message"]


@pytest.mark.slow
def test_what_is_acknowledged_while_the_disk_fills_is_there_after_a_kill(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=240m") as folder:
        acknowledged: dict[str, bytes] = {}
        items: set[str] = set()
        sent: set[str] = set()
        tried = 0

        def try_everything(clients: Clients) -> int:
            """Each kind of change once; how many were refused."""
            nonlocal tried
            tried += 1
            name, body = f"{tried:03}", b"%d" % (tried % 10) * 3_000_000
            refusals = 0
            for change, keep in (
                (lambda: clients.put(name, body), lambda: acknowledged.update({name: body})),
                (lambda: clients.put("same", body), lambda: acknowledged.update({"same": body})),
                (
                    lambda: clients.s3.copy_object(
                        Bucket=BUCKET, Key=f"copy-{name}", CopySource={"Bucket": BUCKET, "Key": "first"}
                    ),
                    lambda: acknowledged.update({f"copy-{name}": b"first"}),
                ),
                (
                    lambda: clients.dynamodb.put_item(TableName=TABLE, Item={"pk": {"S": name}}),
                    lambda: items.add(name),
                ),
                (lambda: clients.send(name), lambda: sent.add(name)),
            ):
                try:
                    change()
                    keep()
                except ClientError as error:
                    assert "The disk of" in refused(error)
                    refusals += 1
            return refusals

        with running(folder / "aws") as (endpoint, process), closing(Clients(endpoint)) as clients:
            clients.make_resources()
            clients.put("first", b"first")
            clients.put("deleted", b"deleted")
            acknowledged["first"] = b"first"
            completed, waiting = clients.upload_parts("same", 2), clients.upload_parts("in parts", 2)
            while not try_everything(clients):
                pass
            fill(folder / "filler")
            for _ in range(ATTEMPTS):
                try_everything(clients)
            for upload in (completed, waiting):
                with pytest.raises(ClientError) as caught:
                    clients.s3.complete_multipart_upload(**upload)
                assert "The disk of" in refused(caught.value)
            try:
                clients.s3.delete_object(Bucket=BUCKET, Key="deleted")
            except ClientError as error:
                refused(error)
                acknowledged["deleted"] = b"deleted"
            assert {key: clients.get(key) for key in acknowledged} == acknowledged
            process.send_signal(signal.SIGKILL)
            process.wait()

        with running(folder / "aws") as (endpoint, process), closing(Clients(endpoint)) as clients:
            # It starts on a full disk, too, with all that it has said to have.
            assert clients.keys() == set(acknowledged)
            assert {key: clients.get(key) for key in acknowledged} == acknowledged
            assert {item["pk"]["S"] for item in clients.dynamodb.scan(TableName=TABLE)["Items"]} == items
            assert sent <= set(clients.messages(QUEUE))
            told = [json.loads(message) for message in clients.messages(EVENTS)]
            events = {each["s3"]["object"]["key"] for message in told for each in message.get("Records", [])}
            assert events <= set(acknowledged) | {"deleted"}

            (folder / "filler").unlink()
            gone = sorted(acknowledged)[:3]
            for key in gone:
                clients.s3.delete_object(Bucket=BUCKET, Key=key)
            assert clients.keys() == set(acknowledged) - set(gone)


@pytest.mark.slow
def test_an_upload_in_parts_is_completed_when_there_is_space_again(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", "size=160m") as folder,
        running(folder / "aws") as (endpoint, _),
        closing(Clients(endpoint)) as clients,
    ):
        clients.make_resources()
        before = clients.put("key", b"as it was")
        upload = clients.upload_parts("key", 2)
        fill(folder / "filler")
        with pytest.raises(ClientError) as caught:
            clients.s3.complete_multipart_upload(**upload)
        assert f"{disk.GOES_ON}" in refused(caught.value)
        assert clients.get("key") == b"as it was"
        assert list(folder.rglob("*.tmp")) == []
        (folder / "filler").unlink()
        clients.s3.complete_multipart_upload(**upload)
        assert clients.get("key") == b"1" * PART + b"2" * PART
        assert clients.s3.get_object(Bucket=BUCKET, Key="key", VersionId=before)["Body"].read() == b"as it was"


@pytest.mark.slow
def test_a_disk_without_inodes_read_only_or_gone_is_named_and_all_goes_on_after_that(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "aws", "size=160m,nr_inodes=600") as folder,
        running(folder) as (endpoint, _),
        closing(Clients(endpoint)) as clients,
    ):
        clients.make_resources()
        clients.put("first", b"first")

        def reason() -> str:
            with pytest.raises(ClientError) as caught:
                clients.put("second", b"second")
            return refused(caught.value)

        with pytest.raises(OSError, match="No space"):
            for number in range(600):
                (folder / f"inode-{number}").touch()
        assert "no free inodes" in reason()
        for path in folder.glob("inode-*"):
            path.unlink()
        clients.put("after inodes", b"")

        remount(folder, "ro")
        assert "read-only file system" in reason()
        with pytest.raises(ClientError) as caught:
            clients.send("never")
        assert "read-only file system" in refused(caught.value)
        remount(folder, "rw")
        clients.put("after read-only", b"")

        for part in ("s3", "state"):
            (folder / part).rename(folder / f"moved-{part}")
        assert "bring the folder back" in reason()
        with pytest.raises(ClientError) as caught:
            clients.get("first")  # and not an empty object
        refused(caught.value)
        with pytest.raises(ClientError) as caught:
            for number in range(1_000):  # until the next checkpoint is due
                clients.send(f"{number}" * 1_000)
        refused(caught.value)
        for part in ("s3", "state"):
            (folder / f"moved-{part}").rename(folder / part)
        clients.put("after moving", b"")
        clients.send("after moving")
        assert clients.get("first") == b"first"
        assert clients.keys() == {"first", "after inodes", "after read-only", "after moving"}
