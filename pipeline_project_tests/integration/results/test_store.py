"""Results in S3: whole or not there at all, in parts, with a manifest that can be checked against the file."""

import hashlib
import secrets
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from pipeline_project.analytics.execution import Column, Row, Rows, Versions
from pipeline_project.analytics.parameters import RevenueAnalysis
from pipeline_project.results import store
from pipeline_project.results.options import Format, ResultOptions
from pipeline_project_tests.fix_aws import Account

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def rows_of(batches: Iterator[list[Row]], row_limit: int | None = None) -> Rows:
    columns = [Column("n", "bigint"), Column("text", "text")]
    parameters = RevenueAnalysis.model_validate({})
    return Rows(
        operation="revenue_analysis",
        parameters=parameters,
        versions=Versions(7, "20261101000001"),
        columns=columns,
        batches=batches,
        row_limit=row_limit,
    )


def numbered(count: int, width: int = 10) -> Iterator[list[Row]]:
    for begin in range(0, count, 1000):
        yield [(n, "x" * width) for n in range(begin, min(begin + 1000, count))]


@pytest.fixture
def bucket(aws: Account) -> str:
    return aws.settings.results_bucket


def keys(aws: Account, bucket: str) -> list[str]:
    return [found["Key"] for found in aws.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def body(aws: Account, bucket: str, key: str) -> bytes:
    return aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def manifest_at(aws: Account, bucket: str, key: str) -> store.Manifest:
    return msgspec.json.decode(body(aws, bucket, key), type=store.Manifest)


@pytest.mark.parametrize("form", Format)
def test_a_job_result_and_its_manifest(aws: Account, bucket: str, form: Format) -> None:
    manifest = store.write(aws.s3, bucket, "jobs/j1", rows_of(numbered(2500)), ResultOptions(format=form))
    assert keys(aws, bucket) == ["jobs/j1/manifest.json", f"jobs/j1/result.{form}"]
    content = body(aws, bucket, manifest.key)
    assert (manifest.rows, manifest.bytes, manifest.truncated, manifest.data_version) == (2500, len(content), False, 7)
    assert manifest.sha256 == hashlib.sha256(content).hexdigest()
    assert manifest.parameters == {"metric": "revenue", "group_by": "industry", "top_n": 10}
    assert manifest_at(aws, bucket, "jobs/j1/manifest.json") == manifest


def test_a_large_result_goes_in_parts(aws: Account, bucket: str) -> None:
    completed: list[Any] = []
    of_complete = "before-parameter-build.s3.CompleteMultipartUpload"
    aws.s3.meta.events.register(of_complete, lambda params, **_: completed.append(params["MultipartUpload"]["Parts"]))
    manifest = store.write(
        aws.s3, bucket, "jobs/j2", rows_of(numbered(20_000, width=1000)), ResultOptions(format=Format.NDJSON)
    )
    assert 2 * 8 * 1024 * 1024 < manifest.bytes < 3 * 8 * 1024 * 1024
    [parts] = completed
    assert [sorted(part) for part in parts] == [["ETag", "PartNumber"]] * 3  # S3 itself insists on both
    # An object of parts has the number of them in its etag.
    assert aws.s3.head_object(Bucket=bucket, Key=manifest.key)["ETag"].endswith('-3"')
    assert hashlib.sha256(body(aws, bucket, manifest.key)).hexdigest() == manifest.sha256


@pytest.mark.parametrize(
    ("form", "content_type"),
    [
        ("json", "application/json"),
        ("ndjson", "application/x-ndjson"),
        ("csv", "text/csv; charset=utf-8"),
        ("parquet", "application/vnd.apache.parquet"),
    ],
)
@pytest.mark.parametrize("count", [1, 9_000])
def test_an_object_has_its_type_whether_it_has_parts_or_not(
    aws: Account, bucket: str, form: str, content_type: str, count: int
) -> None:
    rows = rows_of([(n, secrets.token_hex(500)) for n in range(begin, begin + 1)] for begin in range(count))
    manifest = store.write(aws.s3, bucket, "jobs/j6", rows, ResultOptions(format=Format(form)))
    assert aws.s3.head_object(Bucket=bucket, Key=manifest.key)["ContentType"] == content_type
    assert aws.s3.head_object(Bucket=bucket, Key="jobs/j6/manifest.json")["ContentType"] == "application/json"


def test_a_file_as_large_as_a_part_has_one_part(aws: Account, bucket: str) -> None:
    one_row = len('{"n":0,"text":""}\n')
    text = "x" * (8 * 1024 * 1024 - one_row)
    for size, parts in ((0, '-1"'), (-1, '"')):
        row = (0, text[: len(text) + size])
        manifest = store.write(
            aws.s3, bucket, f"jobs/j{size}", rows_of(iter([[row]])), ResultOptions(format=Format.NDJSON)
        )
        etag = aws.s3.head_object(Bucket=bucket, Key=manifest.key)["ETag"]
        assert etag.endswith(parts) and (size == 0) == ("-" in etag)
        assert hashlib.sha256(body(aws, bucket, manifest.key)).hexdigest() == manifest.sha256


def test_a_failure_leaves_nothing(aws: Account, bucket: str) -> None:
    def failing() -> Iterator[list[Row]]:
        yield from numbered(20_000, width=1000)
        raise ConnectionError("the server went away")

    with pytest.raises(ConnectionError):
        store.write(aws.s3, bucket, "jobs/j3", rows_of(failing()), ResultOptions(format=Format.NDJSON))
    assert keys(aws, bucket) == []
    assert aws.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_truncation_is_stated(aws: Account, bucket: str) -> None:
    manifest = store.write(
        aws.s3, bucket, "jobs/j4", rows_of(numbered(2500), row_limit=1200), ResultOptions(format=Format.CSV)
    )
    assert (manifest.rows, manifest.truncated) == (1200, True)


def test_a_refresh_keeps_history_and_a_stable_name(aws: Account, bucket: str) -> None:
    first = store.refresh(aws.s3, bucket, rows_of(numbered(3)), Format.JSON, AT)
    second = store.refresh(aws.s3, bucket, rows_of(numbered(4)), Format.JSON, AT.replace(day=3))
    folder = "analytics/revenue_analysis"
    assert keys(aws, bucket) == [
        f"{folder}/history/20260102T030405Z.json",
        f"{folder}/history/20260102T030405Z.manifest.json",
        f"{folder}/history/20260103T030405Z.json",
        f"{folder}/history/20260103T030405Z.manifest.json",
        f"{folder}/latest.json",
        f"{folder}/latest.manifest.json",
    ]
    assert (first.rows, second.rows) == (3, 4)
    latest = manifest_at(aws, bucket, f"{folder}/latest.manifest.json")
    assert (latest.key, latest.sha256) == (f"{folder}/latest.json", second.sha256)
    assert body(aws, bucket, latest.key) == body(aws, bucket, second.key)


def fetched(url: str) -> tuple[bytes, Any]:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 the emulator's address
        return answer.read(), answer.headers


def test_a_link_saves_a_file_and_can_not_be_changed(aws: Account, bucket: str) -> None:
    manifest = store.write(aws.s3, bucket, "jobs/j5", rows_of(numbered(5)), ResultOptions(format=Format.CSV))
    link = store.presign(aws.s3, bucket, manifest.key, "x-1.csv", seconds=60)
    content, headers = fetched(link)
    assert hashlib.sha256(content).hexdigest() == manifest.sha256
    assert headers["Content-Disposition"] == 'attachment; filename="x-1.csv"'
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    assert store.presign(aws.s3, bucket, manifest.key, "x-1.csv", seconds=61) != link
