"""Whether the ledger knows everything that the bucket holds: if not, neither events nor listing did their work."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline_project.database import Connection
from pipeline_project.ingest import ledger
from pipeline_project.ingest.discovery.listing import list_pages
from pipeline_project.ingest.ledger import ObjectSeen


@dataclass
class Comparison:
    """`listed` objects were looked at, all there are if `is_whole`; the ledger does not know the `missing` ones."""

    listed: int = 0
    is_whole: bool = False
    missing: list[ObjectSeen] = field(default_factory=list)


def compare(connection: Connection, s3: Any, bucket: str, *, before: datetime, seconds: float) -> Comparison:
    """Look for objects that were written before a time and that the ledger does not know, for so long (a page at least)."""
    found, deadline = Comparison(), time.monotonic() + seconds
    for page in list_pages(s3, bucket):
        known = ledger.states(connection, page.seen)
        found.listed += len(page.seen)
        found.missing += [
            each for each in page.seen if each.object_id not in known and each.modified and each.modified < before
        ]
        if page.resume is None:
            found.is_whole = True
        elif time.monotonic() >= deadline:
            break
    return found
