"""Read objects from S3's events (within seconds) and from listings of the bucket (for objects that events missed).

Both return the same ObjectSeen for the same object, so the ledger adds it once. A listing is compared with the ledger and
not with a time, because `LastModified` of a multipart upload is the time when the upload began.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from pipeline_project.ingest.discovery.ignored_keys import why_ignored
from pipeline_project.ingest.ledger import ObjectSeen


class EventMessage(NamedTuple):
    """The objects that a message of the landing queue reports. `ignored`: key of an object that is not loaded -> why."""

    seen: list[ObjectSeen]
    ignored: dict[str, str]


def from_event(body: str) -> EventMessage:
    """Return the objects of an S3 event notification. Any other message, for example S3's test message, has none."""
    try:
        records = json.loads(body).get("Records") or []
        found = [
            _from_record(record) for record in records if str(record.get("eventName", "")).startswith("ObjectCreated")
        ]
    except (ValueError, AttributeError, KeyError, TypeError):
        return EventMessage([], {})
    reasons = [why_ignored(each.key, each.size) for each in found]
    seen = [each for each, reason in zip(found, reasons, strict=True) if reason is None]
    return EventMessage(seen, {each.key: reason for each, reason in zip(found, reasons, strict=True) if reason})


def _from_record(record: dict[str, Any]) -> ObjectSeen:
    item = record["s3"]["object"]
    return ObjectSeen(
        bucket=record["s3"]["bucket"]["name"],
        # S3 encodes keys like an HTML form: a space is "+", and "+" is "%2B".
        key=unquote_plus(item["key"]),
        version_id=item.get("versionId"),
        etag=str(item.get("eTag", "")).strip('"'),
        size=int(item.get("size", 0)),
        sequencer=item.get("sequencer"),
        discovered_by="event",
    )


class Page(NamedTuple):
    """A page of a listing. `ignored` counts objects that are not loaded. `resume` leads to the next page; None at the end."""

    seen: list[ObjectSeen]
    ignored: int
    resume: dict[str, str] | None


def list_pages(s3: Any, bucket: str, resume: dict[str, str] | None = None) -> Iterator[Page]:
    """Yield the objects of the bucket in pages of up to 1,000. With versioning, overwritten versions are included."""
    versioned = s3.get_bucket_versioning(Bucket=bucket).get("Status") is not None
    while True:
        page = _versions(s3, bucket, resume) if versioned else _objects(s3, bucket, resume)
        yield page
        if page.resume is None:
            return
        resume = page.resume


def _versions(s3: Any, bucket: str, resume: dict[str, str] | None) -> Page:
    answer = s3.list_object_versions(Bucket=bucket, **(resume or {}))
    seen = [
        ObjectSeen(
            bucket=bucket,
            key=item["Key"],
            version_id=item.get("VersionId"),
            etag=item["ETag"].strip('"'),
            size=item["Size"],
            discovered_by="listing",
            modified=item["LastModified"],
        )
        for item in answer.get("Versions", [])
    ]
    following = None
    if answer.get("IsTruncated"):
        following = {"KeyMarker": answer["NextKeyMarker"], "VersionIdMarker": answer["NextVersionIdMarker"]}
    return _page(seen, following)


def _objects(s3: Any, bucket: str, resume: dict[str, str] | None) -> Page:
    answer = s3.list_objects_v2(Bucket=bucket, **(resume or {}))
    seen = [
        ObjectSeen(
            bucket=bucket,
            key=item["Key"],
            version_id=None,
            etag=item["ETag"].strip('"'),
            size=item["Size"],
            discovered_by="listing",
            modified=item["LastModified"],
        )
        for item in answer.get("Contents", [])
    ]
    following = {"ContinuationToken": answer["NextContinuationToken"]} if answer.get("IsTruncated") else None
    return _page(seen, following)


def _page(found: list[ObjectSeen], resume: dict[str, str] | None) -> Page:
    seen = [each for each in found if why_ignored(each.key, each.size) is None]
    return Page(seen, len(found) - len(seen), resume)
