"""Takes the schema away from calls of functions that the schema `bounded` has, too.

PostgreSQL cannot stop some functions while they run, and others make a gigabyte at once. The schema `bounded` has a function of
the same name and arguments for each of them, which first looks at the sizes. The session's search path has that schema in front
of pg_catalog, so most calls need no change. SQL's own syntax, such as POSITION(a IN b), always calls pg_catalog.
"""

from functools import cache
from typing import Any

import postgast
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError

from pipeline_project.analytics.allowed import BOUNDED_FUNCTIONS, BOUNDED_OPERATORS
from pipeline_project.analytics.failures import QueryRefused
from pipeline_project.analytics.sql_parser import Node, SqlSyntaxError, parse

MAX_LEVELS = 1_000
"""More than the guard admits."""
Path = tuple[str | int, ...]
"""The way to a node from the root of a parse tree: names of fields, and places in lists."""

_NAMES = {"A_Expr": "name", "FuncCall": "funcname", "SubLink": "operName"}
"""The field with the name of the function or operator, by kind of node."""
_PLACES = frozenset({"location", "stmt_location", "stmt_len", "list_start", "list_end"})
"""Fields that say where a node is in the text."""


def with_bounded_calls(query: str, tree: Node) -> str:
    """Return the statement of `query`, which names bounded functions in pg_catalog, without that schema.

    `tree` is the parse tree of `query`. Raises QueryRefused if the new text does not mean exactly the changed statement.
    """
    changed: list[Path] = []
    wanted = _without_schema(tree["stmts"], ("stmts",), changed)
    try:
        text = postgast.deparse(_message(query, wanted, changed))
        found = _without_schema(parse(text).get("stmts"), ("stmts",), [])
    except RecursionError:
        raise QueryRefused("the query is nested too deeply") from None
    except (postgast.PgQueryError, SqlSyntaxError):
        text, found = "", None
    if found != wanted:
        raise QueryRefused("this form of a bounded function is not supported. Call the function by its plain name.")
    return text


def _without_schema(node: Any, path: Path, changed: list[Path]) -> Any:
    """Return a copy of a tree without places, in which no name of a bounded function or operator has a schema.

    `path` leads to the node. The paths of all nodes that are changed are added to `changed`.
    """
    if isinstance(node, list):
        return [_without_schema(each, (*path, place), changed) for place, each in enumerate(node)]
    if not isinstance(node, dict):
        return node
    copy = {name: _without_schema(each, (*path, name), changed) for name, each in node.items() if name not in _PLACES}
    for kind, field in _NAMES.items():
        if kind in copy and len(name := copy[kind].get(field, ())) > 1:
            bounded = BOUNDED_FUNCTIONS if kind == "FuncCall" else BOUNDED_OPERATORS
            if name[-1]["String"]["sval"] in bounded:
                changed.append((*path, kind))
                copy[kind][field] = name[-1:]
                if kind == "FuncCall":
                    copy[kind]["funcformat"] = "COERCE_EXPLICIT_CALL"
    return copy


def _message(query: str, wanted: Node, changed: list[Path]) -> Any:
    """Return the changed tree as postgast prints it."""
    try:
        message = postgast.parse(query)
    except DecodeError:
        # Protobuf reads 100 levels of bytes, and any number of levels of JSON, which takes five times as long.
        return ParseDict({"stmts": wanted}, postgast.ParseResult(), max_recursion_depth=MAX_LEVELS)
    for path in changed:
        _take_schema_away(message, path)
    return message


def _take_schema_away(message: Any, path: Path) -> None:
    """Change the node at a path in the same way, in the tree that postgast prints."""
    for step in path:
        message = message[step] if isinstance(step, int) else getattr(message, _fields(message)[step])
    kind = path[-1]
    del getattr(message, _fields(message)[_NAMES[str(kind)]])[:-1]
    if kind == "FuncCall":
        message.funcformat = postgast.pg_query_pb2.COERCE_EXPLICIT_CALL


def _fields(message: Any) -> dict[str, str]:
    """Return the names of the fields of a message by their names in JSON."""
    return _fields_of(type(message))


@cache
def _fields_of(kind: Any) -> dict[str, str]:
    return {field.json_name: field.name for field in kind.DESCRIPTOR.fields}
