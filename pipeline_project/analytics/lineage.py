"""Which columns of the analytics views each column of an operation's result is computed from, as its SQL says.

Read from PostgreSQL's own parse tree. What only decides which rows there are (WHERE, JOIN … ON, GROUP BY) is not counted;
what a value is made of is, through CTEs, subqueries and windows.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from pipeline_project.analytics.allowed import SCHEMA
from pipeline_project.analytics.columns import natural_name
from pipeline_project.analytics.sql_parser import Node, statements


class Source(NamedTuple):
    """A column of a view of the analytics schema."""

    view: str
    column: str


Columns = dict[str, set[Source]]


def column_lineage(sql: bytes) -> Columns:
    """By column of the result. A column that is counted or made of parameters alone has none."""
    text = re.sub(r"%\(\w+\)s", "$1", sql.decode()).replace("%%", "%")
    [statement] = statements(text)
    return _select(statement["SelectStmt"], {}, None)


@dataclass
class _Scope:
    """What names mean in one SELECT. Of a view the columns are not known: it has what nothing else has."""

    ctes: Mapping[str, Columns]
    outer: Self | None
    known: dict[str, Columns] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)
    windows: dict[str, Node] = field(default_factory=dict)

    def add(self, item: Node) -> None:
        [(kind, node)] = item.items()
        alias = node.get("alias", {})
        match kind:
            case "RangeVar":
                name = alias.get("aliasname", node["relname"])
                if node.get("schemaname") == SCHEMA:
                    self.views[name] = node["relname"]
                else:
                    self.known[name] = self.ctes.get(node["relname"], {})
            case "RangeSubselect":
                found = _select(node["subquery"]["SelectStmt"], self.ctes, self)
                self.known[alias["aliasname"]] = _renamed(found, alias)
            case "RangeFunction":
                sources = self.sources(node["functions"])
                name = alias.get("aliasname", "")
                names = list(_names(alias.get("colnames", ()))) or [name]
                self.known[name] = dict.fromkeys(names, sources)
            case "JoinExpr":
                self.add(node["larg"])
                self.add(node["rarg"])

    def sources(self, node: Any) -> set[Source]:
        """Of everything that an expression is made of."""
        if isinstance(node, list):
            return {source for each in node for source in self.sources(each)}
        if not isinstance(node, dict):
            return set()
        found: set[Source] = set()
        for key, value in node.items():
            if key == "ColumnRef":
                found |= self.column(list(_names(value["fields"])))
            elif key == "SelectStmt":
                found |= set().union(*_select(value, self.ctes, self).values())
            elif key == "over":
                found |= self.sources(self.windows.get(value.get("name", ""), value))
            else:
                found |= self.sources(value)
        return found

    def column(self, names: Sequence[str]) -> set[Source]:
        *qualifiers, name = names
        item = qualifiers[-1] if qualifiers else None
        hits = [found[name] for each, found in self.known.items() if item in (None, each) and name in found]
        if not hits and item is None and name in self.known:  # a row as a whole
            hits = [*self.known[name].values()]
        if not hits:
            hits = [{Source(view, name)} for each, view in self.views.items() if item in (None, each)]
        if not hits and self.outer:
            return self.outer.column(names)
        return set().union(*hits)


def _select(node: Node, ctes: Mapping[str, Columns], outer: _Scope | None) -> Columns:
    ctes = dict(ctes)
    for each in node.get("withClause", {}).get("ctes", ()):
        cte = each["CommonTableExpr"]
        query = cte["ctequery"]["SelectStmt"]
        aliases = {"colnames": cte.get("aliascolnames", ())}
        if "larg" in query:  # which the other half may refer to
            ctes[cte["ctename"]] = _renamed(_select(query["larg"], ctes, outer), aliases)
        ctes[cte["ctename"]] = _renamed(_select(query, ctes, outer), aliases)
    if "larg" in node:
        left, right = (_select(node[side], ctes, outer) for side in ("larg", "rarg"))
        return {name: left[name] | more for name, more in zip(left, right.values(), strict=True)}
    scope = _Scope(ctes, outer)
    for item in node.get("fromClause", ()):
        scope.add(item)
    scope.windows = {each["WindowDef"]["name"]: each["WindowDef"] for each in node.get("windowClause", ())}
    found: Columns = {}
    for each in node.get("targetList", ()):
        target = each["ResTarget"]
        fields = target["val"].get("ColumnRef", {}).get("fields", [{}])
        if "A_Star" in fields[-1]:
            for item in list(_names(fields[:-1])) or scope.known:
                found |= scope.known.get(item, {})
        else:
            name = target.get("name") or natural_name(target["val"]) or "?column?"
            # PostgreSQL may give several the same name; only their place counts then.
            found[f"{name} {len(found)}" if name in found else name] = scope.sources(target["val"])
    return found


def _renamed(columns: Columns, alias: Node) -> Columns:
    names = list(_names(alias.get("colnames", ())))
    return dict(zip([*names, *list(columns)[len(names) :]], columns.values(), strict=True))


def _names(fields: Sequence[Node]) -> Iterator[str]:
    return (each["String"]["sval"] for each in fields)
