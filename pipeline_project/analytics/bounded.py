"""Takes the schema away from calls of functions that the schema `bounded` has, too.

PostgreSQL cannot stop some functions while they run, and others make a gigabyte at once. The schema `bounded` has a function of
the same name and arguments for each of them, which first looks at the sizes. The session's search path has that schema in front
of pg_catalog, so most calls need no change. SQL's own syntax, such as POSITION(a IN b), always calls pg_catalog.
"""

from typing import Any

from pglast import parse_sql
from pglast.enums import CoercionForm
from pglast.stream import RawStream
from pglast.visitors import Visitor

from pipeline_project.analytics.allowed import BOUNDED_FUNCTIONS, BOUNDED_OPERATORS
from pipeline_project.analytics.failures import QueryRefused


def with_bounded_calls(query: str) -> str:
    """Give the statement of `query`, which names bounded functions in pg_catalog, without that schema.

    Raises QueryRefused if the new text does not mean exactly the changed statement.
    """
    statement: Any = parse_sql(query)[0].stmt
    try:
        _Bounding()(statement)
        text = RawStream()(statement)
        same = parse_sql(text)[0].stmt == statement
    except RecursionError:
        raise QueryRefused("the query is nested too deeply") from None
    if not same:
        raise QueryRefused("this form of a bounded function is not supported. Call the function by its plain name.")
    return text


class _Bounding(Visitor):
    """A walk that takes the schema away from each bounded name."""

    def visit_FuncCall(self, _: object, node: Any) -> None:  # noqa: N802 the library's name
        if len(node.funcname) > 1 and node.funcname[-1].sval in BOUNDED_FUNCTIONS:
            node.funcname = node.funcname[-1:]
            node.funcformat = CoercionForm.COERCE_EXPLICIT_CALL

    def visit_A_Expr(self, _: object, node: Any) -> None:  # noqa: N802 the library's name
        if len(node.name) > 1 and node.name[-1].sval in BOUNDED_OPERATORS:
            node.name = node.name[-1:]

    def visit_SubLink(self, _: object, node: Any) -> None:  # noqa: N802 the library's name
        if node.operName and len(node.operName) > 1 and node.operName[-1].sval in BOUNDED_OPERATORS:
            node.operName = node.operName[-1:]
