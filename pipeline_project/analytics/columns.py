"""Which columns the tables, subqueries and functions in a query's FROM have. For guard.py: PostgreSQL takes `x.f` for the
column f of x and, where x has none, for the call f(x), of any function there is.

What is said to be a column is one. Of some it is not known here (of a CASE without a name): those the query has to name.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pipeline_project.analytics.allowed import FUNCTION_COLUMNS, RELATIONS, SETS_OF_VALUES

Node = dict[str, Any]
"""A node of the parse tree, without its kind, as pglast's JSON has it."""
NONE: frozenset[str] = frozenset()


class Scope(NamedTuple):
    """A SELECT with a FROM, and the one around it."""

    select: Node
    outer: "Scope | None"


class Columns:
    """`ctes`: those of the whole query, by name.

    What PostgreSQL finds under a name depends on finer rules than are followed here (LATERAL, where a CTE is seen). So a column
    is one only if all that have the name have the column.
    """

    def __init__(self, ctes: Mapping[str, list[Node]]) -> None:
        self._ctes = ctes
        self._of_selects: dict[int, frozenset[str]] = {}
        self._sources: dict[int, dict[str | None, frozenset[str]]] = {}

    def have(self, scope: Scope | None, table: str, column: str) -> bool:
        """Whether `table.column`, said in this scope, is a column."""
        found: list[frozenset[str]] = []
        while scope:
            if (columns := self._sources_of(scope.select).get(table)) is not None:
                found.append(columns)
            scope = scope.outer
        return bool(found) and all(column in columns for columns in found)

    def _sources_of(self, select: Node) -> dict[str | None, frozenset[str]]:
        """The columns of all that the FROM of a SELECT names."""
        sources = self._sources.setdefault(id(select), {})
        if not sources:
            for item in _items(select.get("fromClause", ())):
                columns, name = self._of(*item), _name(*item)
                sources[name] = columns & sources.get(name, columns)
        return sources

    def _of(self, kind: str, value: Node) -> frozenset[str]:
        ordinality = frozenset({"ordinality"} if value.get("ordinality") else ())
        if names := value.get("alias", {}).get("colnames"):
            return frozenset(map(_text, names)) | ordinality
        match kind:
            case "RangeVar":
                return self._of_relation(value["relname"])
            case "RangeSubselect":
                return self._of_select(value["subquery"]["SelectStmt"])
            case "JoinExpr":
                return self._of_all([value["larg"], value["rarg"]])
            case _:
                return _of_function(value) | ordinality

    def _of_all(self, items: Iterable[Node]) -> frozenset[str]:
        return NONE.union(*(self._of(kind, value) for item in items for kind, value in item.items()))

    def _of_relation(self, name: str) -> frozenset[str]:
        found = [self._of_cte(cte) for cte in self._ctes.get(name, ())]
        if name in RELATIONS:
            found.append(RELATIONS[name])
        return frozenset.intersection(*found) if found else NONE

    def _of_cte(self, cte: Node) -> frozenset[str]:
        if names := cte.get("aliascolnames"):
            return frozenset(map(_text, names))
        return self._of_select(cte["ctequery"]["SelectStmt"])

    def _of_select(self, select: Node) -> frozenset[str]:
        if id(select) not in self._of_selects:
            self._of_selects[id(select)] = NONE  # for a CTE that refers to itself
            self._of_selects[id(select)] = self._of_targets(select)
        return self._of_selects[id(select)]

    def _of_targets(self, select: Node) -> frozenset[str]:
        if "larg" in select:
            return self._of_select(select["larg"])
        if rows := select.get("valuesLists"):
            return frozenset(f"column{n}" for n in range(1, len(rows[0]["List"]["items"]) + 1))
        return NONE.union(*(self._of_target(each["ResTarget"], select) for each in select.get("targetList", ())))

    def _of_target(self, target: Node, select: Node) -> frozenset[str]:
        if name := target.get("name") or natural_name(target["val"]):
            return frozenset({name})
        match target["val"].get("ColumnRef", {}).get("fields"):
            case [{"A_Star": _}]:
                return self._of_all(select.get("fromClause", ()))
            case [*_, table, {"A_Star": _}]:
                return self._sources_of(select).get(_text(table), NONE)
        return NONE


def _items(sources: Iterable[Node]) -> Iterator[tuple[str, Node]]:
    """What a FROM has by itself; of a join with a name only the whole can be referred to."""
    for source in sources:
        for kind, value in source.items():
            if kind == "JoinExpr" and "alias" not in value:
                yield from _items([value["larg"], value["rarg"]])
            else:
                yield kind, value


def _name(kind: str, value: Node) -> str | None:
    if "alias" in value:
        return value["alias"]["aliasname"]
    match kind:
        case "RangeVar":
            return value["relname"]
        case "RangeFunction":
            return natural_name(value["functions"][0]["List"]["items"][0])
    return None


def _of_function(value: Node) -> frozenset[str]:
    """Without names for its columns. A column of values has the name of the whole, unless the function names it."""
    match value["functions"]:
        case [{"List": {"items": [{"FuncCall": {"funcname": [*_, called]}}, *_]}}]:
            if _text(called) in SETS_OF_VALUES:
                return frozenset({_name("RangeFunction", value) or ""})
            return FUNCTION_COLUMNS.get(_text(called), NONE)
    return NONE


def natural_name(expression: Node) -> str | None:
    """PostgreSQL's name for an expression that is given none; None where that is not known here."""
    for kind, value in expression.items():
        match kind:
            case "ColumnRef":
                return _text(value["fields"][-1]) or None
            case "FuncCall":
                return _text(value["funcname"][-1])
            case "TypeCast" | "A_Indirection":
                return natural_name(value["arg"])
    return None


def _text(node: Node) -> str:
    return node.get("String", {}).get("sval", "")
