"""The names that PostgreSQL gives to expressions without a name: `coalesce`, `case`, `date` for `x::date`.

They follow FigureColname of PostgreSQL. A test compares them with the names of a real server.
"""

from pipeline_project.analytics.sql_parser import Node

Named = tuple[str | None, int]
"""A name, or None if it is not known, and its strength. A cast or a CASE overrides a name of strength 0 or 1."""

UNNAMED: Named = (None, 0)
FIXED = {
    "A_ArrayExpr": "array",
    "CoalesceExpr": "coalesce",
    "GroupingFunc": "grouping",
    "JsonArrayAgg": "json_arrayagg",
    "JsonArrayConstructor": "json_array",
    "JsonArrayQueryConstructor": "json_array",
    "JsonObjectAgg": "json_objectagg",
    "JsonObjectConstructor": "json_object",
    "JsonParseExpr": "json",
    "JsonScalarExpr": "json_scalar",
    "JsonSerializeExpr": "json_serialize",
    "RowExpr": "row",
}
BY_OPERATION = {
    "IS_GREATEST": "greatest",
    "IS_LEAST": "least",
    "JSON_EXISTS_OP": "json_exists",
    "JSON_QUERY_OP": "json_query",
    "JSON_VALUE_OP": "json_value",
}
BY_LINK = {"ARRAY_SUBLINK": "array", "EXISTS_SUBLINK": "exists"}


def natural_name(expression: Node) -> str | None:
    """Give PostgreSQL's name for an expression that has none in the query, or None if it is not known here."""
    return _named(expression)[0]


def text(node: Node) -> str:
    """Give the text of a String node, and an empty text for other nodes."""
    return node.get("String", {}).get("sval", "")


def _named(expression: Node) -> Named:
    for kind, value in expression.items():
        if kind in FIXED:
            return FIXED[kind], 2
        match kind:
            case "ColumnRef":
                return text(value["fields"][-1]) or None, 2
            case "FuncCall":
                return text(value["funcname"][-1]), 2
            case "MinMaxExpr" | "JsonFuncExpr":
                return BY_OPERATION.get(value["op"]), 2
            case "SQLValueFunction":
                return value["op"].removeprefix("SVFOP_").removesuffix("_N").lower(), 2
            case "A_Expr":
                return ("nullif", 2) if value["kind"] == "AEXPR_NULLIF" else UNNAMED
            case "CollateClause":
                return _named(value["arg"])
            case "A_Indirection":
                fields = [name for part in value["indirection"] if (name := text(part))]
                return (fields[-1], 2) if fields else _of_elements(value)
            case "TypeCast":
                return _unless_strong(value["arg"], text(value["typeName"]["names"][-1]))
            case "CaseExpr":
                return _unless_strong(value.get("defresult", {}), "case")
            case "SubLink":
                return _of_sublink(value)
    return UNNAMED


def _of_elements(indirection: Node) -> Named:
    """A star gives several columns, and an element has the name of its array."""
    starred = any("A_Star" in part for part in indirection["indirection"])
    return (None, 2) if starred else _named(indirection["arg"])


def _unless_strong(expression: Node, name: str) -> Named:
    found = _named(expression)
    return found if found[1] > 1 else (name, 1)


def _of_sublink(link: Node) -> Named:
    if link["subLinkType"] != "EXPR_SUBLINK":
        name = BY_LINK.get(link["subLinkType"])
        return (name, 2) if name else UNNAMED
    select = link["subselect"]["SelectStmt"]
    while "larg" in select:
        select = select["larg"]
    if "valuesLists" in select:
        return "column1", 2
    match select.get("targetList"):
        case [{"ResTarget": target}]:
            named, strength = _named(target["val"])
            return target.get("name") or (named if strength else "?column?"), 2
    return None, 2
