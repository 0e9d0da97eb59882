"""Tells of objects that failed or lost many rows. The ledger is read, not told: an object settled is an object seen.

A transaction that began earlier may commit later, so each look goes back a little; the outbox knows an event by its id and
keeps it once.
"""

import datetime as dt
from collections import Counter
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from pipeline_project.database import Database
from pipeline_project.jobs.model import timestamp
from pipeline_project.jobs.outbox import Event, Outbox, cloud_event
from pipeline_project.schema.sql_files import query

OVERLAP = dt.timedelta(minutes=15)
"""No load takes longer from its beginning to its commit; one that did would be told of by the asset checks alone."""
UNROUTABLE = "unroutable"
"""Stands for the source where the ledger knows none."""
MOST = 500
"""Objects of one look; what is left is for the next. More than are ever settled in one transaction."""


class Announced(NamedTuple):
    """How many events are new, how many of them tell of an object that failed (by source), the time to look from next."""

    events: int
    failed: Counter[str]
    since: dt.datetime


def announce(
    database: Database, outbox: Outbox, since: dt.datetime, now: dt.datetime, reject_share: float, most: int = MOST
) -> Announced:
    """Put what happened after `since` into the outbox. `database` is the loader's."""
    with database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        asked = {"since": since, "reject_share": reject_share, "most": most}
        rows = cursor.execute(query("notify/troubled_objects"), asked).fetchall()
        waiting = cursor.execute(query("notify/waiting_snapshots")).fetchall()
    new = [row for row in rows if outbox.put(event(row))]
    failed = Counter(row["source"] or UNROUTABLE for row in new if row["kind"] == "failed")
    snapshots = [row for row in waiting if outbox.put(snapshot_event(row))]
    since = rows[-1]["finished_at"] if len(rows) == most else max(since, now - OVERLAP)
    return Announced(len(new) + len(snapshots), failed, since)


def snapshot_event(row: dict[str, Any]) -> Event:
    """Return the event of a snapshot that waits: `pipeline.ingest.snapshot_waits.v1`."""
    at = timestamp(row["since"])
    data = {name: row[name] for name in row if name not in ("since", "snapshot_id")}
    data["snapshot_id"] = str(row["snapshot_id"])
    subject = f"snapshots/{row['source']}/{row['name']}"
    return cloud_event(f"snapshot-{row['snapshot_id']}-{row['state']}-{at}", "ingest.snapshot_waits", subject, at, data)


def backlog(database: Database) -> tuple[int, float]:
    """How many objects wait to be loaded, and for how many seconds the oldest has."""
    with database.connect() as connection:
        ((waiting, oldest),) = connection.execute(query("notify/backlog"))
        return waiting, oldest


def event(row: dict[str, Any]) -> Event:
    """Return the event of an object: `pipeline.ingest.<kind>.v1`. It carries no record and no error text."""
    at = timestamp(row["finished_at"])
    data = {name: row[name] for name in row if name not in ("finished_at", "object_id", "kind")}
    # As text: JavaScript, and not it alone, reads larger integers wrongly.
    data["object_id"] = str(row["object_id"])
    return cloud_event(f"object-{row['object_id']}-{at}", f"ingest.{row['kind']}", row["key"], at, data)
