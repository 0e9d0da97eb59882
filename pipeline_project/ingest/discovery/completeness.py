"""Compare the bucket with the ledger. An object that the ledger lacks was missed by events and by the listing."""

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
    """The result of a comparison: `listed` objects were compared, and the ledger lacks the `missing` objects.

    `is_whole`: the whole bucket was compared.
    """

    listed: int = 0
    is_whole: bool = False
    missing: list[ObjectSeen] = field(default_factory=list)


def compare(connection: Connection, s3: Any, bucket: str, *, before: datetime, seconds: float) -> Comparison:
    """Find objects from before a time that the ledger lacks. Stops after `seconds`, but not before the first page."""
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
