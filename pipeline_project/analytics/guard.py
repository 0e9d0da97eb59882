"""Judges a person's SQL before it runs: exactly one SELECT, made only of what allowed.py lists. Parsed by PostgreSQL's own
grammar (sql_parser.py), so that what is judged is what will run.

This is one layer of several. docs/custom-sql.md says what each layer stops by itself. The guard does not judge time and size:
limits.sql, the role and the functions of the schema `bounded` bound them. The guard makes a query call these functions and
not those of PostgreSQL.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline_project.analytics.allowed import (
    BOUNDED_FUNCTIONS,
    BOUNDED_OPERATORS,
    COLLATIONS,
    CURRENT,
    FIELDS,
    FLEETING_FUNCTIONS,
    FLEETING_TYPES,
    FUNCTIONS,
    INSTEAD,
    LASTING_RELATIONS,
    NODES,
    OPERATORS,
    RELATIONS,
    SCHEMA,
    TYPES,
)
from pipeline_project.analytics.columns import Columns, Scope, record_columns
from pipeline_project.analytics.failures import QueryRefused
from pipeline_project.analytics.natural_names import text
from pipeline_project.analytics.sql_parser import Node, SqlSyntaxError, parse

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
    "RangeTableSample": "TABLESAMPLE, which PostgreSQL has only for tables and not for views; write WHERE random() < 0.01",
    "RangeTableFunc": "XMLTABLE; write JSON_TABLE",
    "XmlExpr": "XML; write JSON",
    "XmlSerialize": "XML; write JSON",
}

MAX_ELEMENTS = 50
"""Computed elements of one list, such as ARRAY[a, a, …] or concat(a, a, …): each may have a megabyte."""
MAX_VALUES = 50
"""Values in the template of format()."""
MAX_SHORT = 100
"""Characters of a constant that is short."""
MAX_WIDTH = 1_000
"""Width of one value in format(): PostgreSQL fills up to a gigabyte."""
CONSTRUCTORS = {
    "A_ArrayExpr": "elements",
    "JsonArrayConstructor": "exprs",
    "JsonObjectConstructor": "exprs",
    "RowExpr": "args",
}

SEARCHES = {"btrim", "ltrim", "position", "rtrim"}
"""Functions whose time is the product of the sizes of the text and of what is looked for in it."""

# One value in the template of format(): %[position$][-][width]type, where the width is a number, * or *n$.
_PLACE = re.compile(r"%(?:\d+\$)?-*(\*|\d*)")


# Words that a date's text may hold. A date that is put together from parts of them, or that a source sent, is not looked for.
_MOMENT = re.compile(r"(?<![a-z])(now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)


class Judged(NamedTuple):
    """`statement` is without a semicolon at its end. `lasting`: it gives the same as long as nothing is loaded."""

    statement: str
    lasting: bool


def check(query: str, params: Sequence[object] = ()) -> Judged:
    """The one statement in `query`. `params` are its values for $1, $2, …

    Raises QueryRefused, naming what is not allowed, unless it is one SELECT that may run.
    """
    _check_size(query)
    try:
        tree = parse(query)
    except SqlSyntaxError as error:
        place = "" if error.place is None else f" at character {error.place}"
        raise QueryRefused(f"syntax error{place}") from None
    except RecursionError:
        raise QueryRefused("the query is nested too deeply") from None
    statements = tree.get("stmts", [])
    if len(statements) != 1:
        raise QueryRefused(f"exactly one statement is taken, not {len(statements)}")
    statement = statements[0].get("stmt", {})
    if list(statement) != ["SelectStmt"]:
        raise QueryRefused("only SELECT is allowed")
    judge = _Judge(len(params))
    judge.check(statement)
    lasting = judge.lasting and not any(isinstance(value, str) and _MOMENT.search(value) for value in params)
    if judge.qualified:
        from pipeline_project.analytics.bounded import with_bounded_calls  # noqa: PLC0415 few queries need the printer

        return Judged(with_bounded_calls(query, tree), lasting)
    start, length = statements[0].get("stmt_location", 0), statements[0].get("stmt_len")
    # Both count bytes; a statement without a semicolon has no length.
    return Judged(query.encode()[start : None if length is None else start + length].decode(), lasting)


def _check_size(query: str) -> None:
    try:
        size = len(query.encode())
    except UnicodeEncodeError:
        raise QueryRefused("the query is not valid Unicode") from None
    if size > MAX_BYTES:
        raise QueryRefused(f"the query has {size} bytes, at most {MAX_BYTES} are taken")
    if "\0" in query:
        raise QueryRefused("the query holds a NUL character")


class _Judge:
    """One walk over a parse tree: dicts are nodes or their fields, told apart by their capital letter. What needs the whole
    query is looked at after it: which tables and columns there are.
    """

    def __init__(self, parameters: int) -> None:
        self.lasting = True
        self.qualified = False
        """True if the query names a bounded function or operator in pg_catalog, where ours would not be found."""
        self._parameters = parameters
        self._relations: set[str] = set()
        self._ctes: dict[str, list[Node]] = {}
        self._references: list[tuple[Scope | None, list[Node]]] = []

    def check(self, tree: Any) -> None:
        pending: list[tuple[Any, int, Scope | None]] = [(tree, 0, None)]
        nodes = 0
        while pending:
            item, depth, scope = pending.pop()
            if depth > MAX_DEPTH:
                raise QueryRefused("the query is nested too deeply")
            if isinstance(item, list):
                pending.extend((element, depth + 1, scope) for element in item)
            elif isinstance(item, dict):
                nodes += 1
                if nodes > MAX_NODES:
                    raise QueryRefused(f"the query has more than {MAX_NODES} parts")
                if "fromClause" in item:
                    scope = Scope(item, scope)
                for key, value in item.items():
                    self._check_entry(key, value, scope)
                    self.lasting = self.lasting and not _is_fleeting(key, value)
                    pending.append((value, depth + 1, scope))
        # By name and not by scope: as no name that starts with pg_ can be defined, no definition covers for a catalog.
        if unknown := self._relations - self._ctes.keys() - RELATIONS.keys():
            raise QueryRefused(f"no such table: {', '.join(sorted(unknown))}; there are {', '.join(sorted(RELATIONS))}")
        try:
            self._check_columns()
        except RecursionError:
            raise QueryRefused("the query is nested too deeply") from None

    def _check_entry(self, key: str, value: Any, scope: Scope | None) -> None:
        if key not in (NODES if key[0].isupper() else FIELDS):
            raise QueryRefused(f"not allowed: {REFUSED.get(key, key)}")
        match key:
            case "FuncCall":
                self._check_call(value)
            case "A_Expr":
                self._check_operator(value["name"])
            case "operName" | "useOp":
                self._check_operator(value)
            case "typeName":
                _check_name("type", value["names"], TYPES)
            case "collname":
                _check_name("collation", value, COLLATIONS)
            case "ColumnRef":
                if len(value["fields"]) > 1 and "String" in value["fields"][-1]:
                    self._references.append((scope, value["fields"]))
            case "RangeVar" | "RangeFunction" | "CommonTableExpr" | "ParamRef":
                self._check_reference(key, value)
            case _:
                _check_form(key, value)

    def _check_call(self, value: Node) -> None:
        _check_name("function", value["funcname"], FUNCTIONS)
        name = text(value["funcname"][-1])
        if (
            len(value["funcname"]) > 1
            and name in BOUNDED_FUNCTIONS
            and not _looks_for_little(name, value.get("args", ()))
        ):
            self.qualified = True
        _check_elements(value.get("args", ()))
        match name, value.get("args"):
            case "format", [template, *_]:
                _check_template(_constant(template))
            case "concat_ws", [separator, *_]:
                _check_separator(_constant(separator))

    def _check_operator(self, name: list[Node]) -> None:
        _check_name("operator", name, OPERATORS)
        if len(name) > 1 and text(name[-1]) in BOUNDED_OPERATORS:
            self.qualified = True

    def _check_reference(self, key: str, value: Node) -> None:
        match key:
            case "RangeVar":
                if value.get("schemaname", SCHEMA) != SCHEMA:
                    raise QueryRefused(f"only tables of the schema {SCHEMA} are allowed")
                self._relations.add(value["relname"])
            case "RangeFunction":
                # What name the column of another expression gets is PostgreSQL's secret.
                if "alias" not in value and "FuncCall" not in value["functions"][0]["List"]["items"][0]:
                    raise QueryRefused("an expression in FROM needs a name: AS")
            case "CommonTableExpr":
                if value["ctename"].startswith("pg_"):
                    raise QueryRefused("names that start with pg_ are PostgreSQL's own")
                self._ctes.setdefault(value["ctename"], []).append(value)
            case "ParamRef":
                if not 1 <= value.get("number", 0) <= self._parameters:
                    raise QueryRefused(f"a parameter $n without a value: {self._parameters} are given")

    def _check_columns(self) -> None:
        columns = Columns(self._ctes)
        for scope, fields in self._references:
            *schema, table, column = [field["String"]["sval"] for field in fields]
            if schema not in ([], [SCHEMA]) or not columns.have(scope, table, column):
                name = ".".join([*schema, table, column])
                raise QueryRefused(f"no such column: {name}; a column of a subquery or function is named with AS")


def _check_form(key: str, value: Any) -> None:
    match key:
        case "SQLValueFunction":
            if value["op"] not in CURRENT:
                raise QueryRefused("not allowed: functions that tell who or where the session is")
        case "A_Indirection":
            _check_field(value)
        case "A_ArrayExpr" | "JsonArrayConstructor" | "JsonObjectConstructor" | "RowExpr":
            _check_elements(value.get(CONSTRUCTORS[key], ()))


def _check_field(value: Node) -> None:
    """Refuse `(x).f`, which is a call of f wherever x has no such field, unless x is a call that gives a row with this field."""
    fields = [part for part in value["indirection"] if "A_Indices" not in part]
    if not fields:
        return
    known = record_columns(value["arg"].get("FuncCall", {"funcname": [{}]}))
    if not (known and fields == value["indirection"][:1] and ("A_Star" in fields[0] or text(fields[0]) in known)):
        raise QueryRefused(
            "(expression).field is not supported. Move the expression to FROM, give it an alias, and select the column there."
        )


def _check_elements(elements: Sequence[Node]) -> None:
    if len(elements) > MAX_ELEMENTS and sum(map(_is_computed, elements)) > MAX_ELEMENTS:
        raise QueryRefused(f"a list has more than {MAX_ELEMENTS} computed elements. Use array_agg over rows instead.")


def _is_computed(expression: Node) -> bool:
    return "A_Const" not in expression.get("TypeCast", {}).get("arg", expression)


def _looks_for_little(name: str, arguments: Sequence[Node]) -> bool:
    """Return whether this is a search for a short constant, which needs no other bound: TRIM(a), POSITION('x' IN a)."""
    return name in SEARCHES and all(_is_short(_constant(each)) for each in arguments[1:])


def _constant(expression: Node) -> str | None:
    match expression:
        case {"A_Const": {"sval": text}}:
            return text.get("sval", "")
    return None


def _is_short(constant: str | None) -> bool:
    return constant is not None and len(constant) <= MAX_SHORT


def _check_template(template: str | None) -> None:
    """Refuse a template of format() that is not a constant or that may make more than its arguments are."""
    if template is None:
        raise QueryRefused("format() takes a constant template, for example format('%s: %s', name, revenue)")
    widths = _PLACE.findall(template.replace("%%", ""))
    if len(widths) > MAX_VALUES or any(width == "*" or int(width or 0) > MAX_WIDTH for width in widths):
        raise QueryRefused(
            f"format() takes at most {MAX_VALUES} values. Write each width in the template, at most {MAX_WIDTH}."
        )


def _check_separator(separator: str | None) -> None:
    """Refuse a separator that is not short: PostgreSQL repeats it between all elements."""
    if not _is_short(separator):
        raise QueryRefused("concat_ws() takes a short constant separator, for example concat_ws(', ', name, country).")


def _is_fleeting(key: str, value: Any) -> bool:
    """Return whether it may give something else although nothing was loaded."""
    match key:
        case "FuncCall":
            return value["funcname"][-1]["String"]["sval"] in FLEETING_FUNCTIONS
        case "typeName":
            return value["names"][-1]["String"]["sval"] in FLEETING_TYPES
        case "RangeVar":
            return value["relname"] in RELATIONS and value["relname"] not in LASTING_RELATIONS
        case "sval":
            return isinstance(value, str) and _MOMENT.search(value) is not None
    return key == "SQLValueFunction"


def _check_name(kind: str, parts: list[dict[str, Any]], allowed: frozenset[str]) -> None:
    *schema, name = [part["String"]["sval"] for part in parts]
    if schema not in ([], ["pg_catalog"]) or name not in allowed:
        instead = f"; write {INSTEAD[name]}" if name in INSTEAD else ""
        if allowed is COLLATIONS:
            instead = f"; there are {', '.join(sorted(COLLATIONS))}"
        raise QueryRefused(f"not allowed: the {kind} {'.'.join([*schema, name])}{instead}")
