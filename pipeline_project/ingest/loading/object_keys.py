"""Facts that the key of an object shows about its content: fields in its folders, and files that are no data."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from urllib.parse import unquote

import msgspec

from pipeline_project.datasets.registry import datasets
from pipeline_project.ingest.decoding import Chunk, ObjectFault

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""The value that Hive and Spark write in a key for null."""
CLOSE = 0.85
"""Similarity from which the name of a folder is taken for a dataset that was misspelled."""
_NO_DATA = re.compile(
    r"(?:.*/)?(?:manifest\.json|manifest|[^/]*\.manifest|(?:readme|license|licence)(?:\.\w+)?)", re.IGNORECASE
)
_encode = msgspec.json.Encoder().encode


def folder_hint(key: str) -> str | None:
    """Return a hint if the second folder of a key almost has the name of a dataset."""
    folders = key.split("/")[1:-1]
    if not folders or folders[0].lower() in datasets():
        return None
    close = get_close_matches(folders[0].lower(), list(datasets()), n=1, cutoff=CLOSE)
    return f"the file is in the folder {folders[0]!r}; did you mean {close[0]!r}?" if close else None


def refuse_no_data(key: str) -> None:
    """Raise ObjectFault for a file that describes other files."""
    if _NO_DATA.fullmatch(key):
        name = key.rpartition("/")[2]
        raise ObjectFault(
            "not_data",
            f'a file with the name {name[:50]!r} describes other files: remove it, or set `ignore_keys = ["**/{name[:50]}"]` '
            "under `[dialect]`",
        )


def with_key_fields(chunks: Iterator[Chunk], key: str, names: Sequence[str]) -> Iterator[Chunk]:
    """Add to each record the values of folders such as `country=DE`. A field that the record sends itself counts.

    Raises ObjectFault if the key has no folder for one of the names.
    """
    parts = (folder.partition("=") for folder in key.split("/")[:-1] if "=" in folder)
    folders = {name: value for name, _, value in parts}
    if missing := next((name for name in names if name not in folders), None):
        raise ObjectFault(
            "no_key_field",
            f"the key has no folder {missing + '=…'!r}: upload the file below such a folder, or correct `key_fields` under "
            "`[dialect]`",
        )
    values = {name: unquote(folders[name]) for name in names if folders[name] != HIVE_NULL}
    head = _encode(values)[:-1] + b","
    for chunk in chunks:
        if values:
            chunk.records = [
                record if place in chunk.flaws else _spliced(bytes(record), head)
                for place, record in enumerate(chunk.records)
            ]
        yield chunk


def _spliced(record: bytes, head: bytes) -> bytes:
    """Put fields at the beginning of an object. If a name occurs twice in JSON, the last one counts."""
    rest = record.lstrip()[1:].lstrip()
    if not record.lstrip().startswith(b"{"):
        return record
    return head[:-1] + rest if rest.startswith(b"}") else head + rest


def of_data(chunks: Iterator[Chunk], key: str, hint: str | None) -> Iterator[Chunk]:
    """Yield the chunks of an object that holds data. An error of the file gets the hint about its folder."""
    refuse_no_data(key)
    try:
        yield from chunks
    except ObjectFault as fault:
        if hint is None:
            raise
        raise ObjectFault(fault.code, f"{fault.message}; {hint}", line=fault.line, column=fault.column) from None
