"""How objects become known: by S3's events (within seconds) and by listing the bucket (what events missed).

Both give the same ObjectSeen for the same object, and the ledger takes it once. A listing is compared with the ledger
and not with a time: `LastModified` of a multipart upload is when it began.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from pipeline_project.ingest.ledger import ObjectSeen


class EventMessage(NamedTuple):
    """What a message of the landing queue tells. `ignored` has the keys of folders and empty objects."""

    seen: list[ObjectSeen]
    ignored: list[str]


def from_event(body: str) -> EventMessage:
    """The objects of an S3 event notification. Anything else (S3's test message, a stranger's) tells of none."""
    try:
        records = json.loads(body).get("Records") or []
        found = [
            _from_record(record) for record in records if str(record.get("eventName", "")).startswith("ObjectCreated")
        ]
    except (ValueError, AttributeError, KeyError, TypeError):
        return EventMessage([], [])
    seen = [each for each in found if counts(each.key, each.size)]
    return EventMessage(seen, [each.key for each in found if not counts(each.key, each.size)])


def _from_record(record: dict[str, Any]) -> ObjectSeen:
    item = record["s3"]["object"]
    return ObjectSeen(
        bucket=record["s3"]["bucket"]["name"],
        # S3 encodes keys as a form does: a space is a plus sign, and a plus sign is %2B.
        key=unquote_plus(item["key"]),
        version_id=item.get("versionId"),
        etag=str(item.get("eTag", "")).strip('"'),
        size=int(item.get("size", 0)),
        sequencer=item.get("sequencer"),
        discovered_by="event",
    )


class Page(NamedTuple):
    """A page of a listing. `ignored` counts folders and empty objects. `resume` goes on behind it; None at the end."""

    seen: list[ObjectSeen]
    ignored: int
    resume: dict[str, str] | None


def list_pages(s3: Any, bucket: str, resume: dict[str, str] | None = None) -> Iterator[Page]:
    """All contents of the bucket, overwritten ones too where it keeps versions, in pages of up to 1,000."""
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
    seen = [each for each in found if counts(each.key, each.size)]
    return Page(seen, len(found) - len(seen), resume)


def counts(key: str, size: int) -> bool:
    """Whether an object is one to load: not a "folder", not empty, and of a key that PostgreSQL can hold."""
    return size > 0 and not key.endswith("/") and "\0" not in key
