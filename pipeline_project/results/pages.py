"""Pages of the rows of a result file, read without what stands before them. A file of JSON or NDJSON has one row in each line.

While a large file is written, `Marks` notes where some of its rows begin. They are stored beside the file.
"""

from bisect import bisect_right
from contextlib import closing
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from pipeline_project.results.options import Format

MARKED_BYTES = 1024 * 1024
"""A smaller file has no marks. It is read from its beginning."""
MOST_MARKS = 4_096
"""Marks of a file. A page of a file of 80 GB then reads 20 MB before its first row, at most twice as much."""
CHUNK_BYTES = 64 * 1024

Mark = tuple[int, int]
"""Number of a row, from 0, and the byte where it begins."""


class Marks:
    """Marks of a file that is being written. If there are too many, every other one is dropped."""

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        self._every = 1
        self._seen = 0

    def add(self, row: int, byte: int) -> None:
        if self._seen % self._every == 0:
            self._marks.append((row, byte))
            if len(self._marks) > MOST_MARKS:
                del self._marks[1::2]
                self._every *= 2
        self._seen += 1

    def encode(self) -> bytes:
        return msgspec.json.encode(self._marks)


class Page(NamedTuple):
    """Rows as they are in the file, and the number of the row that follows, or None."""

    rows: list[bytes]
    following: int | None


def marks_key(key: str) -> str:
    """Give the key of the marks of a result file."""
    return f"{key.rpartition('/')[0]}/rows.json"


def page(s3: Any, bucket: str, file: Any, offset: int, limit: int, most_bytes: int) -> Page:
    """Read at most `limit` rows from the row `offset` on. At least one, if there is one, and no further beyond `most_bytes`.

    `file` is the result of a job. Raises what S3 raises if the file is gone.
    """
    if offset >= file.rows:
        return Page([], None)
    # Without marks, the first line of JSON is not a row.
    row, byte, skipped = 0, 0, file.format == Format.JSON
    if file.bytes > MARKED_BYTES:
        found = s3.get_object(Bucket=bucket, Key=marks_key(file.key))["Body"].read()
        marks = msgspec.json.decode(found, type=list[Mark])
        row, byte = marks[bisect_right(marks, offset, key=lambda mark: mark[0]) - 1]
        skipped = False
    body = s3.get_object(Bucket=bucket, Key=file.key, Range=f"bytes={byte}-")["Body"]
    with closing(body):
        lines = body.iter_lines(chunk_size=CHUNK_BYTES)
        rows: list[bytes] = []
        size = 0
        first = offset - row + skipped
        for line in islice(lines, first, first + min(limit, file.rows - offset)):
            size += len(line)
            if rows and size > most_bytes:
                break
            rows.append(line.removesuffix(b","))
    following = offset + len(rows)
    return Page(rows, following if following < file.rows else None)
