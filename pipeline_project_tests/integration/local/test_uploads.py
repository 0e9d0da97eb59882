"""Uploads to the emulator with the checksums that S3 clients send: in a header, after the body, or as the signed hash."""

import http.client
from base64 import b64encode
from contextlib import closing
from io import BytesIO
from urllib.parse import urlsplit
from zlib import crc32

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from pipeline_project_tests.fix_aws import SECRET, Account

CONTENT = b'[{"id": 1}]' * 10_000


def checksum(content: bytes) -> str:
    return b64encode(crc32(content).to_bytes(4)).decode()


def chunked(content: bytes, trailer: str) -> bytes:
    """The body as `aws-chunked`, in two chunks, with a trailer after the last one."""
    parts = [content[:70_000], content[70_000:], b""]
    body = b"".join(b"%x\r\n%s%s" % (len(part), part, b"\r\n" if part else b"") for part in parts)
    return body + f"{trailer}\r\n\r\n".encode()


def put(aws: Account, key: str, signed: bytes, sent: bytes, *, streamed: bool = False, **headers: str) -> int:
    """Upload `sent` with a signature for `signed`; returns the HTTP status."""
    endpoint = str(aws.settings.aws_endpoint_url)
    url = f"{endpoint}/{aws.settings.landing_bucket}/{key}"
    request = AWSRequest("PUT", url, {name.replace("_", "-"): value for name, value in headers.items()}, signed)
    if streamed:
        request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    credentials = Credentials(str(aws.settings.aws_access_key_id), SECRET)
    S3SigV4Auth(credentials, "s3", aws.settings.aws_region).add_auth(request)
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
    with closing(connection):
        connection.request("PUT", urlsplit(url).path, sent, dict(request.headers.items()))
        return connection.getresponse().status


def stored(aws: Account, key: str) -> bytes | None:
    try:
        return aws.s3.get_object(Bucket=aws.settings.landing_bucket, Key=key)["Body"].read()
    except ClientError:
        return None


def test_the_checksums_of_boto3_are_accepted(aws: Account) -> None:
    """boto3 adds a CRC32 by default, also to each part of a large upload."""
    bucket = aws.settings.landing_bucket
    large = CONTENT * 100  # above the 8 MB from which boto3 uploads in parts
    aws.s3.put_object(Bucket=bucket, Key="small", Body=CONTENT)
    aws.s3.put_object(Bucket=bucket, Key="sha256", Body=CONTENT, ChecksumAlgorithm="SHA256")
    aws.s3.upload_fileobj(BytesIO(large), bucket, "large")
    assert (stored(aws, "small"), stored(aws, "sha256"), stored(aws, "large")) == (CONTENT, CONTENT, large)


@pytest.mark.parametrize("sent", [CONTENT[:-1], CONTENT + b" ", b"", b"x" * len(CONTENT)])
def test_a_body_that_differs_from_its_signed_hash_is_not_stored(aws: Account, sent: bytes) -> None:
    assert put(aws, "other", CONTENT, sent) == 400
    assert stored(aws, "other") is None
    assert put(aws, "same", CONTENT, CONTENT) == 200
    assert stored(aws, "same") == CONTENT


def test_a_trailing_checksum_is_compared(aws: Account) -> None:
    headers = {
        "content_encoding": "aws-chunked",
        "x_amz_trailer": "x-amz-checksum-crc32",
        "x_amz_decoded_content_length": str(len(CONTENT)),
    }
    right = chunked(CONTENT, f"x-amz-checksum-crc32:{checksum(CONTENT)}")
    wrong = chunked(CONTENT, f"x-amz-checksum-crc32:{checksum(b'other')}")
    assert put(aws, "right", right, right, streamed=True, **headers) == 200
    assert stored(aws, "right") == CONTENT
    assert put(aws, "wrong", wrong, wrong, streamed=True, **headers) == 400
    assert stored(aws, "wrong") is None
