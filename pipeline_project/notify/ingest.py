"""Tells of objects that failed or lost many rows. The ledger is read, not told: an object settled is an object seen.

A transaction that began earlier may commit later, so each look goes back a little; the outbox knows an event by its id and
keeps it once.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from psycopg.rows import dict_row

from pipeline_project.canonical.sql_files import query
from pipeline_project.database import Database
from pipeline_project.jobs.model import timestamp
from pipeline_project.jobs.outbox import Event, Outbox, cloud_event

OVERLAP = dt.timedelta(minutes=15)
"""No load takes longer from its beginning to its commit; one that did would be told of by the asset checks alone."""
REJECT_SHARE = 0.05
PAGE = 500


def announce(database: Database, outbox: Outbox, since: dt.datetime, reject_share: float = REJECT_SHARE) -> dt.datetime:
    """Put what happened after `since` into the outbox; the time to go on from. `database` is the loader's."""
    for row in troubled(database, since - OVERLAP, reject_share):
        outbox.put(event(row))
        since = max(since, row["finished_at"])
    return since


def troubled(database: Database, since: dt.datetime, reject_share: float, page: int = PAGE) -> Iterator[dict[str, Any]]:
    after = 0
    with database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        while True:
            position = {"since": since, "after": after, "reject_share": reject_share, "most": page}
            rows = cursor.execute(query("notify/troubled_objects"), position).fetchall()
            yield from rows
            if len(rows) < page:
                return
            since, after = rows[-1]["finished_at"], rows[-1]["object_id"]


def event(row: dict[str, Any]) -> Event:
    """`pipeline.ingest.rejected.v1` or `pipeline.ingest.failed.v1` of an object. It carries no row and no error text."""
    kind = "rejected" if row["state"] == "loaded_with_rejects" else "failed"
    at = timestamp(row["finished_at"])
    data = {name: row[name] for name in row if name not in ("finished_at", "object_id")}
    # As text: JavaScript, and not it alone, reads larger integers wrongly.
    data["object_id"] = str(row["object_id"])
    return cloud_event(f"object-{row['object_id']}-{at}", f"ingest.{kind}", row["key"], at, data)
