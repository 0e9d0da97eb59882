"""Writes a result to S3 while it is being read: encoded batch by batch, sent part by part, with a manifest beside it
that states what was written. Memory does not grow with the result. How rows become bytes is in encoders.py.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from pipeline_project import exact_json
from pipeline_project.analytics.execution import Column, Rows
from pipeline_project.results.encoders import Encoder, encoder, within
from pipeline_project.results.options import Format, Numbers, ResultOptions
from pipeline_project.results.pages import MARKED_BYTES, Marks, marks_key

PART_BYTES = 8 * 1024 * 1024
"""S3 takes 10,000 parts: 80 GB."""
CONTENT_TYPES = {
    Format.JSON: "application/json",
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a result file holds. `truncated`: rows were left out by a limit. `data_version`: of the snapshot read."""

    operation: str
    parameters: dict[str, Any]
    format: Format
    numbers: Numbers
    key: str
    bytes: int
    rows: int
    sha256: str
    columns: list[Column]
    truncated: bool
    data_version: int
    created_at: datetime


def write(s3: Any, bucket: str, prefix: str, rows: Rows, options: ResultOptions) -> Manifest:
    """Write `<prefix>/result.<format>` and then `<prefix>/manifest.json`: a manifest means a whole file."""
    key = f"{prefix}/result.{options.format}"
    return _write(s3, bucket, key, rows, options, manifest_key=f"{prefix}/manifest.json", is_paged=True)


def refresh(s3: Any, bucket: str, rows: Rows, format: Format, at: datetime) -> Manifest:  # noqa: A002
    """Write `analytics/<operation>/history/<at>.<format>` and put the same under the stable name `latest`."""
    folder = f"analytics/{rows.operation}"
    stem = f"{folder}/history/{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    options = ResultOptions(format=format)
    manifest = _write(s3, bucket, f"{stem}.{format}", rows, options, manifest_key=f"{stem}.manifest.json")
    # Copied by the server (in parts above 5 GB): readers of `latest` see the old or the new file, never half of one.
    s3.copy({"Bucket": bucket, "Key": manifest.key}, bucket, f"{folder}/latest.{format}")
    latest = msgspec.structs.replace(manifest, key=f"{folder}/latest.{format}")
    _put_manifest(s3, bucket, f"{folder}/latest.manifest.json", latest)
    return manifest


def presign(s3: Any, bucket: str, key: str, name: str, seconds: int) -> str:
    """Make a link that works for a short time. A browser saves the file as `name`. Links are never stored."""
    parameters = {
        "Bucket": bucket,
        "Key": key,
        # A browser saves it, and shows nothing of it as a page.
        "ResponseContentDisposition": f'attachment; filename="{name}"',
    }
    return s3.generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds)


def _write(
    s3: Any, bucket: str, key: str, rows: Rows, options: ResultOptions, *, manifest_key: str, is_paged: bool = False
) -> Manifest:
    target = encoder(options, rows.columns)
    marks = Marks() if is_paged and options.format.is_paged else None
    size, digest = _upload(s3, bucket, key, CONTENT_TYPES[options.format], _chunks(target, rows, options, marks))
    if marks and size > MARKED_BYTES:
        s3.put_object(Bucket=bucket, Key=marks_key(key), Body=marks.encode(), ContentType="application/json")
    manifest = Manifest(
        operation=rows.operation,
        parameters=rows.parameters.as_json(),
        format=options.format,
        numbers=options.numbers,
        key=key,
        bytes=size,
        rows=target.rows,
        sha256=digest,
        columns=rows.columns,
        truncated=rows.truncated,
        data_version=rows.data_version,
        created_at=datetime.now(UTC),
    )
    _put_manifest(s3, bucket, manifest_key, manifest)
    return manifest


def _put_manifest(s3: Any, bucket: str, key: str, manifest: Manifest) -> None:
    body = msgspec.json.format(exact_json.encode(manifest), indent=2)
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")


def _chunks(target: Encoder, rows: Rows, options: ResultOptions, marks: Marks | None) -> Iterator[bytes]:
    chunk = target.start()
    size = len(chunk)
    yield chunk
    for batch in rows if options.byte_limit is None else within(rows, options, options.byte_limit):
        first = target.rows
        chunk = target.batch(batch)
        if marks:
            separator = len(chunk[:2]) - len(chunk[:2].lstrip(b",\n"))
            marks.add(first, size + separator)
        size += len(chunk)
        yield chunk
    yield target.end(rows.truncated)


def _upload(s3: Any, bucket: str, key: str, content_type: str, chunks: Iterable[bytes]) -> tuple[int, str]:
    """Send the chunks as one object, in parts if there is more than one part. Nothing is left of a failed upload."""
    digest = hashlib.sha256()
    size = 0
    buffer = bytearray()
    parts: list[dict[str, Any]] = []
    upload: dict[str, str] = {}

    def send_part(body: bytearray) -> None:
        number = len(parts) + 1
        sent = s3.upload_part(**upload, PartNumber=number, Body=body)
        parts.append({"ETag": sent["ETag"], "PartNumber": number})

    try:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            buffer += chunk
            if len(buffer) >= PART_BYTES:
                if not upload:
                    started = s3.create_multipart_upload(Bucket=bucket, Key=key, ContentType=content_type)
                    upload = {"Bucket": bucket, "Key": key, "UploadId": started["UploadId"]}
                send_part(buffer)
                buffer = bytearray()
        if not upload:
            s3.put_object(Bucket=bucket, Key=key, Body=bytes(buffer), ContentType=content_type)
            return size, digest.hexdigest()
        if buffer:
            send_part(buffer)
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    except BaseException:
        if upload:
            s3.abort_multipart_upload(**upload)
        raise
    return size, digest.hexdigest()
