"""Loads `examples/` as anybody would: with a plain S3 client; and shows what became of each file."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from psycopg.rows import dict_row
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline_project.database import Database
from pipeline_project.errors import Transient
from pipeline_project.ingest.decoding import placed
from pipeline_project.ingest.ledger import COUNTS
from pipeline_project.local.deployment import ROOT
from pipeline_project.schema.sql_files import query
from pipeline_project.terminal import plain

EXAMPLES = ROOT / "examples"
EXPECTED = EXAMPLES / "expected.json"
WAITING_STATES = {"discovered", "claimed"}
POLL_SECONDS = 0.2

Row = dict[str, Any]


@dataclass(frozen=True)
class Upload:
    """One bucket, and of each key the content (version id) that lies there."""

    bucket: str
    versions: Mapping[str, str]

    def parameters(self) -> dict[str, Any]:
        return {"bucket": self.bucket, "keys": list(self.versions), "versions": list(self.versions.values())}


def example_files(folder: Path = EXAMPLES) -> dict[str, Path]:
    """Return the files of the sources' folders (`<source>-data/`) by key: a file's path below the folder is its key."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob("*-data/**/*")) if path.is_file()}


def expected() -> dict[str, dict[str, Any]]:
    """What examples/expected.json says about each key: its state and counts."""
    return json.loads(EXPECTED.read_bytes())


def upload(s3: Any, bucket: str, files: Mapping[str, Path]) -> Upload:
    """Put each file under its key, unless just this content is there already."""
    versions = {}
    for key, path in files.items():
        content = path.read_bytes()
        try:
            found = s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            found = None
        if found is None or found["ETag"].strip('"') != hashlib.md5(content, usedforsecurity=False).hexdigest():
            found = s3.put_object(Bucket=bucket, Key=key, Body=content)
        versions[key] = found["VersionId"]
    return Upload(bucket, versions)


def ledger(database: Database, uploaded: Upload) -> list[Row]:
    """The ledger's row of each object that it knows yet."""
    return _rows(database, "ingest/ledger/uploaded_objects", uploaded)


def rejects(database: Database, uploaded: Upload) -> list[Row]:
    """The rejected rows of the objects, each with its first error."""
    return _rows(database, "ingest/rejects/uploaded_rejects", uploaded)


def await_ledger(database: Database, uploaded: Upload, *, seconds: float) -> list[Row]:
    """The ledger's rows once all objects are at an end, or once nothing has changed for `seconds`."""
    deadline, seen = time.monotonic() + seconds, list[Row]()
    while True:
        try:
            rows = ledger(database, uploaded)
        except Transient:
            rows = []
        if rows != seen:
            deadline, seen = time.monotonic() + seconds, rows
        ended = [row for row in rows if row["state"] not in WAITING_STATES]
        if len(ended) == len(uploaded.versions) or time.monotonic() > deadline:
            return rows
        time.sleep(POLL_SECONDS)


def show(console: Console, uploaded: Upload, rows: list[Row], rejected: list[Row]) -> None:
    """A table of the files, one of the rejected rows, and the reason of each file that failed."""
    counts = [count for count in COUNTS if count == "records" or any(row[count] for row in rows)]
    table = Table(title="What became of the files", title_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("state", no_wrap=True)
    for count in counts:
        table.add_column(count, justify="right", no_wrap=True)
    known = {row["key"]: row for row in rows}
    for key in uploaded.versions:
        row = known.get(key, {"state": "not seen yet"})
        color = {"loaded": "green", "loaded_with_rejects": "yellow"}.get(row["state"], "red")
        table.add_row(plain(key), f"[{color}]{row['state']}[/]", *(str(row.get(count, "")) for count in counts))
    console.print(table)
    for row in rows:
        if row["error_message"]:
            reason = placed(row["error_message"], row["error_line"], row["error_column"])
            console.print(Text.assemble((plain(row["key"]).plain, "red"), ": ", plain(reason)))
    if rejected:
        table = Table("file", "record", "line", "field", "reason", title="Rejected rows", title_justify="left")
        for row in rejected:
            texts = (row["key"], row["ordinal"], row["line"], row["field"], row["message"])
            table.add_row(*map(plain, texts))
        console.print(table)


def _rows(database: Database, name: str, uploaded: Upload) -> list[Row]:
    with database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query(name), uploaded.parameters()).fetchall()
