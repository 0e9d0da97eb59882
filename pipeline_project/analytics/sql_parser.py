"""PostgreSQL's own grammar: from SQL text to a parse tree.

The package postgast brings the library libpg_query. Its C function is called here without an import of postgast, which
would load protobuf: that takes a tenth of a second at the start of the API function.
"""

import importlib.util
import sys
from ctypes import CDLL, POINTER, Structure, c_char_p, c_int
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

Node = dict[str, Any]
"""A node of the parse tree, without its kind: the JSON of libpg_query."""

LIBRARY = {"darwin": "libpg_query.dylib", "win32": "pg_query.dll"}.get(sys.platform, "libpg_query.so")


class SqlSyntaxError(ValueError):
    """A text that PostgreSQL cannot parse. `place`: the character, counted from 1; None at the end of the text."""

    def __init__(self, message: str, place: int | None) -> None:
        super().__init__(message)
        self.place = place


class _Error(Structure):
    _fields_ = (
        ("message", c_char_p),
        ("function", c_char_p),
        ("file", c_char_p),
        ("line", c_int),
        ("place", c_int),
        ("context", c_char_p),
    )


class _Result(Structure):
    _fields_ = (("tree", c_char_p), ("stderr", c_char_p), ("error", POINTER(_Error)))


@cache
def _library() -> CDLL:
    found = importlib.util.find_spec("postgast")
    if found is None or found.origin is None:
        raise ImportError("postgast is not installed")
    library = CDLL(str(Path(found.origin).with_name(LIBRARY)))
    library.pg_query_parse.argtypes = [c_char_p]
    library.pg_query_parse.restype = _Result
    library.pg_query_free_parse_result.argtypes = [_Result]
    library.pg_query_free_parse_result.restype = None
    return library


def parse(sql: str) -> Node:
    """Return the parse tree of all statements in a text, which has no NUL character.

    Places in the tree count bytes. Raises SqlSyntaxError, and RecursionError for a tree that is too deep to be read.
    """
    library = _library()
    result = library.pg_query_parse(sql.encode())
    try:
        if result.error:
            error = result.error.contents
            place = error.place if 0 < error.place <= len(sql) else None
            raise SqlSyntaxError(error.message.decode(), place)
        return msgspec.json.decode(result.tree)
    finally:
        library.pg_query_free_parse_result(result)


def statements(sql: str) -> list[Node]:
    """Return the statements of a text, each as its kind and node. Raises what `parse` raises."""
    return [each.get("stmt", {}) for each in parse(sql).get("stmts", [])]
