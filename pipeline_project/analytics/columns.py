"""Which columns the tables, subqueries and functions in a query's FROM have. For guard.py: PostgreSQL takes `x.f` for the
column f of x and, where x has none, for the call f(x), of any function there is.

A column that is reported here exists. For some columns PostgreSQL's name is not known here: those the query must name with AS.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pipeline_project.analytics.allowed import FUNCTION_COLUMNS, RELATIONS, SETS_OF_VALUES
from pipeline_project.analytics.natural_names import natural_name, text
from pipeline_project.analytics.sql_parser import Node

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
        self._marks: dict[int, dict[str | None, frozenset[str]]] = {}

    def have(self, scope: Scope | None, table: str, column: str) -> bool:
        """Return whether `table.column`, said in this scope, is a column."""
        found: list[frozenset[str]] = []
        while scope:
            if (columns := self._sources_of(scope.select).get(table)) is not None:
                found.append(columns | self._marks[id(scope.select)].get(table, NONE))
            scope = scope.outer
        return bool(found) and all(column in columns for columns in found)

    def _sources_of(self, select: Node) -> dict[str | None, frozenset[str]]:
        """The columns of all that the FROM of a SELECT names."""
        sources = self._sources.setdefault(id(select), {})
        marks = self._marks.setdefault(id(select), {})
        if not sources:
            for item in _items(select.get("fromClause", ())):
                columns, name = self._of(*item), _name(*item)
                added = self._marks_of(*item)
                marks[name] = added & marks.get(name, added)
                sources[name] = columns & sources.get(name, columns)
        return sources

    def _marks_of(self, kind: str, value: Node) -> frozenset[str]:
        """The columns that SEARCH and CYCLE add to a CTE. A star in a subquery leaves them out."""
        if kind != "RangeVar" or "colnames" in value.get("alias", {}) or value["relname"] in RELATIONS:
            return NONE
        found = [_marks(cte) for cte in self._ctes.get(value["relname"], ())]
        return frozenset.intersection(*found) if found else NONE

    def _of(self, kind: str, value: Node) -> frozenset[str]:
        ordinality = frozenset({"ordinality"} if value.get("ordinality") else ())
        if names := value.get("alias", {}).get("colnames"):
            return frozenset(map(text, names)) | ordinality
        match kind:
            case "RangeVar":
                return self._of_relation(value["relname"])
            case "RangeSubselect":
                return self._of_select(value["subquery"]["SelectStmt"])
            case "JoinExpr":
                return self._of_all([value["larg"], value["rarg"]])
            case "JoinUsing":
                return frozenset(map(text, value["columns"]))
            case "JsonTable":
                return frozenset(_of_json_table(value["columns"]))
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
            return frozenset(map(text, names))
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
        match target["val"]:
            case {"ColumnRef": {"fields": [{"A_Star": _}]}}:
                return self._of_all(select.get("fromClause", ()))
            case {"ColumnRef": {"fields": [*_, table, {"A_Star": _}]}}:
                return self._sources_of(select).get(text(table), NONE)
            case {"A_Indirection": {"arg": {"FuncCall": call}, "indirection": [{"A_Star": _}]}}:
                return record_columns(call)
        return NONE


def record_columns(call: Node) -> frozenset[str]:
    """The columns of the row that a function gives. A function of one column gives a value and no row."""
    columns = FUNCTION_COLUMNS.get(text(call["funcname"][-1]), NONE)
    return columns if len(columns) > 1 else NONE


def _marks(cte: Node) -> frozenset[str]:
    search, cycle = cte.get("search_clause", {}), cte.get("cycle_clause", {})
    named = (search.get("search_seq_column"), cycle.get("cycle_mark_column"), cycle.get("cycle_path_column"))
    return frozenset(name for name in named if name)


def _items(sources: Iterable[Node]) -> Iterator[tuple[str, Node]]:
    """The items of a FROM that a column can be taken from. If a join has a name, they are the join alone."""
    for source in sources:
        for kind, value in source.items():
            if kind == "JoinExpr" and "alias" not in value:
                yield from _items([value["larg"], value["rarg"]])
                if using := value.get("join_using_alias"):
                    yield "JoinUsing", {"name": using["aliasname"], "columns": value["usingClause"]}
            else:
                yield kind, value


def _name(kind: str, value: Node) -> str | None:
    if "alias" in value:
        return value["alias"]["aliasname"]
    match kind:
        case "RangeVar":
            return value["relname"]
        case "JoinUsing":
            return value["name"]
        case "JsonTable":
            return "json_table"
        case "RangeFunction":
            return natural_name(value["functions"][0]["List"]["items"][0])
    return None


def _of_json_table(columns: Iterable[Node]) -> Iterator[str]:
    for column in columns:
        value = column["JsonTableColumn"]
        if value["coltype"] == "JTC_NESTED":
            yield from _of_json_table(value["columns"])
        else:
            yield value["name"]


def _of_function(value: Node) -> frozenset[str]:
    """The columns of a function in FROM, if the query does not name them by an alias.

    A column of values has the name of the whole, unless the function names the column.
    """
    if defined := value.get("coldeflist"):
        return frozenset(each["ColumnDef"]["colname"] for each in defined)
    match value["functions"]:
        case [{"List": {"items": [{"FuncCall": {"funcname": [*_, called]}}, *_]}}]:
            if text(called) in SETS_OF_VALUES:
                return frozenset({_name("RangeFunction", value) or ""})
            return FUNCTION_COLUMNS.get(text(called), NONE)
    return NONE
