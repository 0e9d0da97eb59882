"""Judges a person's SQL before it runs: exactly one SELECT, made only of what allowed.py lists. Parsed by PostgreSQL's own
grammar (pglast), so that what is judged is what will run.

This is one layer of several, each of which holds alone (DESIGN, section 6). What takes long or gives much is not judged here:
limits.sql and the role bound it.
"""

from typing import Any

import msgspec
from pglast.parser import ParseError, parse_sql_json

from pipeline_project.analytics.allowed import CURRENT, FIELDS, FUNCTIONS, NODES, OPERATORS, RELATIONS, SCHEMA, TYPES
from pipeline_project.analytics.failures import QueryRefused

MAX_BYTES = 10_000
"""Checked before parsing: the parser is recursive and its stack is not endless."""
MAX_NODES = 5_000
MAX_DEPTH = 400
"""In levels of the parse tree, of which a nested expression takes three or four."""

# Words for the commonest refusals; others are named as the parser names them.
REFUSED = {
    "intoClause": "SELECT INTO",
    "lockingClause": "FOR UPDATE and other row locks",
    "InsertStmt": "INSERT",
    "UpdateStmt": "UPDATE",
    "DeleteStmt": "DELETE",
    "MergeStmt": "MERGE",
    "catalogname": "another database",
}


def check(query: str, parameters: int) -> str:
    """The statement in `query`, without a semicolon at its end. `parameters`: how many values it is given for $1, $2, …

    Raises QueryRefused, naming what is not allowed, unless it is one SELECT that may run.
    """
    _check_size(query)
    try:
        tree = msgspec.json.decode(parse_sql_json(query))
    except ParseError as error:
        raise QueryRefused(f"syntax error{_place(error)}") from None
    except (RecursionError, msgspec.DecodeError):
        raise QueryRefused("the query is nested too deeply") from None
    statements = tree.get("stmts", [])
    if len(statements) != 1:
        raise QueryRefused(f"exactly one statement is taken, not {len(statements)}")
    statement = statements[0].get("stmt", {})
    if list(statement) != ["SelectStmt"]:
        raise QueryRefused("only SELECT is allowed")
    _Judge(parameters).check(statement)
    start, length = statements[0].get("stmt_location", 0), statements[0].get("stmt_len")
    # Both count bytes; a statement without a semicolon has no length.
    return query.encode()[start : None if length is None else start + length].decode()


def _check_size(query: str) -> None:
    try:
        size = len(query.encode())
    except UnicodeEncodeError:
        raise QueryRefused("the query is not valid Unicode") from None
    if size > MAX_BYTES:
        raise QueryRefused(f"the query has {size} bytes, at most {MAX_BYTES} are taken")
    if "\0" in query:
        raise QueryRefused("the query holds a NUL character")


def _place(error: ParseError) -> str:
    """Where the parser stumbled, from 1; it does not know at the end of the text."""
    location = error.args[1] if len(error.args) > 1 else None
    return f" at character {location + 1}" if isinstance(location, int) else ""


class _Judge:
    """One walk over a parse tree: dicts are nodes or their fields, told apart by their capital letter."""

    def __init__(self, parameters: int) -> None:
        self._parameters = parameters
        self._relations: set[str] = set()
        self._defined: set[str] = set()

    def check(self, tree: Any) -> None:
        pending = [(tree, 0)]
        nodes = 0
        while pending:
            item, depth = pending.pop()
            if depth > MAX_DEPTH:
                raise QueryRefused("the query is nested too deeply")
            if isinstance(item, list):
                pending.extend((element, depth + 1) for element in item)
            elif isinstance(item, dict):
                nodes += 1
                if nodes > MAX_NODES:
                    raise QueryRefused(f"the query has more than {MAX_NODES} parts")
                for key, value in item.items():
                    self._check_entry(key, value)
                    pending.append((value, depth + 1))
        # By name and not by scope: as no name that starts with pg_ can be defined, no definition covers for a catalog.
        if unknown := self._relations - self._defined - RELATIONS:
            raise QueryRefused(f"no such table: {', '.join(sorted(unknown))}; there are {', '.join(sorted(RELATIONS))}")

    def _check_entry(self, key: str, value: Any) -> None:
        if key not in (NODES if key[0].isupper() else FIELDS):
            raise QueryRefused(f"not allowed: {REFUSED.get(key, key)}")
        match key:
            case "FuncCall":
                _check_name("function", value["funcname"], FUNCTIONS)
            case "A_Expr":
                _check_name("operator", value["name"], OPERATORS)
            case "operName" | "useOp":
                _check_name("operator", value, OPERATORS)
            case "typeName":
                _check_name("type", value["names"], TYPES)
            case "SQLValueFunction":
                if value["op"] not in CURRENT:
                    raise QueryRefused("not allowed: functions that tell who or where the session is")
            case "RangeVar" | "CommonTableExpr" | "ParamRef":
                self._check_reference(key, value)

    def _check_reference(self, key: str, value: dict[str, Any]) -> None:
        match key:
            case "RangeVar":
                if value.get("schemaname", SCHEMA) != SCHEMA:
                    raise QueryRefused(f"only tables of the schema {SCHEMA} are allowed")
                self._relations.add(value["relname"])
            case "CommonTableExpr":
                if value["ctename"].startswith("pg_"):
                    raise QueryRefused("names that start with pg_ are PostgreSQL's own")
                self._defined.add(value["ctename"])
            case "ParamRef":
                if not 1 <= value.get("number", 0) <= self._parameters:
                    raise QueryRefused(f"a parameter $n without a value: {self._parameters} are given")


def _check_name(kind: str, parts: list[dict[str, Any]], allowed: frozenset[str]) -> None:
    *schema, name = [part["String"]["sval"] for part in parts]
    if schema not in ([], ["pg_catalog"]) or name not in allowed:
        raise QueryRefused(f"not allowed: the {kind} {'.'.join([*schema, name])}")
