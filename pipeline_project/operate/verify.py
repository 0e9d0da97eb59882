"""`pipeline verify`: whether ledger, bucket and tables say the same. The last step of restoring a backup, and of any drill."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline_project.canonical.checks import checks, run
from pipeline_project.database import Database
from pipeline_project.datasets.registry import versioned
from pipeline_project.ingest import ledger
from pipeline_project.ingest.discovery import list_pages
from pipeline_project.schema.sql_files import query
from pipeline_project.schema.templates import statement

EXAMPLES = 20


class Difference(NamedTuple):
    """`examples` are the first of `number` keys or rows. `serious`: something is missing or cannot be accounted for."""

    what: str
    serious: bool
    number: int
    examples: list[str]


def verify(database: Database, s3: Any, bucket: str) -> Iterator[Difference]:
    """What differs; nothing if all agree. `database` is the loader's; nothing is written."""
    unknown, waiting, listed = _compare(database, s3, bucket)
    if unknown:
        yield Difference("objects of the bucket that the ledger does not know", True, len(unknown), unknown[:EXAMPLES])
    if waiting:
        yield Difference("objects that wait to be loaded", False, len(waiting), waiting[:EXAMPLES])
    if gone := _gone(database, bucket, listed):
        yield Difference("loaded objects that are no longer in the bucket", False, len(gone), gone[:EXAMPLES])
    with database.connect() as connection:
        for dataset in versioned():
            missing = connection.execute(statement("ingest/loading/missing", dataset))
            for source, inserted, rows in missing:
                counts = [f"{inserted:,} were inserted, {rows:,} are there"]
                yield Difference(f"{dataset.name} of {source} are missing", True, inserted - rows, counts)
    for check in checks():
        found = run(database, check)
        if found.count:
            examples = [", ".join(str(value) for value in row) for row in found.rows[:EXAMPLES]]
            yield Difference(f"check {check.name}", check.severity == "error", found.count, examples)


def _compare(database: Database, s3: Any, bucket: str) -> tuple[list[str], list[str], set[int]]:
    unknown: list[str] = []
    waiting: list[str] = []
    listed: set[int] = set()
    with database.connect() as connection:
        for page in list_pages(s3, bucket):
            states = ledger.states(connection, page.seen)
            listed.update(each.object_id for each in page.seen)
            unknown += [each.key for each in page.seen if each.object_id not in states]
            waiting += [each.key for each in page.seen if states.get(each.object_id) in ("discovered", "claimed")]
    return unknown, waiting, listed


def _gone(database: Database, bucket: str, listed: set[int]) -> list[str]:
    with database.connect() as connection, connection.cursor("loaded") as cursor:
        cursor.execute(query("ingest/ledger/loaded_objects"), {"bucket": bucket})
        return [key for object_id, key in cursor if object_id not in listed]
