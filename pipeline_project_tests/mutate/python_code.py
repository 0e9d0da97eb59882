"""Mutations of Python: operators by cosmic-ray, and parts that are left out by ours."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count

from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from pipeline_project_tests.mutate.mutation import Change, Edit

# One replacement for each operator: others of the same place are noticed by the same tests.
OPERATORS = {
    "comparison": (
        "Lt_LtE",
        "LtE_Lt",
        "Gt_GtE",
        "GtE_Gt",
        "Eq_NotEq",
        "NotEq_Eq",
        "Is_IsNot",
        "IsNot_Is",
    ),
    "arithmetic": ("Add_Sub", "Sub_Add", "Mul_Add", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul", "BitAnd_BitOr"),
}
NAMES = {
    "connective": ("ReplaceAndWithOr", "ReplaceOrWithAnd"),
    "negation": ("ReplaceUnaryOperator_Delete_Not", "AddNot"),
    "sign": ("ReplaceUnaryOperator_USub_UAdd",),
    "boolean": ("ReplaceTrueWithFalse", "ReplaceFalseWithTrue"),
    "loop": ("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
    "exception": ("ExceptionReplacer",),
    "number": ("NumberReplacer",),
    "dropped decorator": ("RemoveDecorator",),
}

# Calls that give nearly what they are given.
CONVERSIONS = frozenset(
    {"sorted", "set", "frozenset", "list", "tuple", "dict", "reversed", "str", "int", "abs", "round"}
)


# Keywords that hold the programmer to something, as `assert` does: no input of a user makes a difference.
DISCIPLINE = frozenset({"strict", "frozen", "kw_only", "slots", "gc"})

LOGS = frozenset({"log", "logger", "logging"})
# What a function remembers changes its speed alone.
CACHED = re.compile(r"^[ \t]*@(?:lru_)?cache\b[^\n]*", re.MULTILINE)


def _operators() -> Iterator[tuple[str, str]]:
    prefixes = {"comparison": "ReplaceComparisonOperator", "arithmetic": "ReplaceBinaryOperator"}
    for rule, pairs in OPERATORS.items():
        yield from ((rule, f"core/{prefixes[rule]}_{pair}") for pair in pairs)
    for rule, names in NAMES.items():
        yield from ((rule, f"core/{name}") for name in names)


@dataclass(frozen=True)
class OperatorChange:
    """A change by an operator of cosmic-ray."""

    rule: str
    begin: int
    operator: str
    occurrence: int

    def apply(self, text: str) -> str:
        changed = mutate_code(text, get_operator(self.operator)(), self.occurrence)
        assert changed is not None, f"{self.operator} has no place {self.occurrence}"
        return changed


def is_valid(text: str) -> bool:
    """Return whether Python can parse the text."""
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def statement_lines(text: str, line: int) -> range:
    """Return the lines of the innermost statement that contains a line; of a compound one, its head."""
    found = range(line, line + 1)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt) and node.end_lineno is not None and node.lineno <= line <= node.end_lineno:
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno
            if line <= last:
                found = range(node.lineno, last + 1)
    return found


def changes(text: str) -> Iterator[Change]:
    """Find all mutations of a module. What a running program does not need is left alone."""
    tree = ast.parse(text)
    offsets = _Offsets(text)
    unread = [offsets.of(node) for node in _not_needed(tree)]
    unread += [found.span() for found in CACHED.finditer(text)]
    found = chain(_by_operators(text, offsets), _left_out(tree, text, offsets))
    yield from (each for each in found if not any(begin <= each.begin < end for begin, end in unread))


class _Offsets:
    """Turns lines and columns into offsets. Columns of `ast` count bytes of UTF-8."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines(keepends=True)
        self._begins = [0]
        for line in self._lines:
            self._begins.append(self._begins[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        return self._begins[line - 1] + column

    def of(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.expr | ast.stmt | ast.keyword)
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._in_bytes(node.lineno, node.col_offset), self._in_bytes(node.end_lineno, node.end_col_offset)

    def _in_bytes(self, line: int, column: int) -> int:
        return self.at(line, len(self._lines[line - 1].encode()[:column].decode()))


def _by_operators(text: str, offsets: _Offsets) -> Iterator[Change]:
    tree = get_ast(text)
    for rule, name in _operators():
        operator = get_operator(name)()
        places: list[tuple[int, int]] = []

        class Places(Visitor):
            def visit(self, node, operator=operator, places=places):
                places.extend(begin for begin, _ in operator.mutation_positions(node))
                return node

        Places().walk(tree)
        numbers = count()
        yield from (OperatorChange(rule, offsets.at(*place), name, next(numbers)) for place in places)


def _left_out(tree: ast.Module, text: str, offsets: _Offsets) -> Iterator[Edit]:
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Call() as call) if not _is_log(call):
                yield Edit("dropped statement", *offsets.of(node), "pass")
            case ast.Raise() | ast.AugAssign() | ast.Delete():
                yield Edit("dropped statement", *offsets.of(node), "pass")
            case ast.Call(keywords=keywords, args=arguments):
                if not _is_log(node):
                    yield from _without_keywords([*arguments, *keywords], offsets)
                if ast.unparse(node.func) in CONVERSIONS and len(arguments) == 1:
                    inner = slice(*offsets.of(arguments[0]))
                    yield Edit("dropped call", *offsets.of(node), text[inner])
            case ast.BoolOp(values=values):
                for operand in values:
                    yield Edit("dropped condition", *offsets.of(operand), str(isinstance(node.op, ast.And)))
            case ast.List(elts=elements) | ast.Set(elts=elements) | ast.Tuple(elts=elements) if len(elements) > 2:
                yield from _without_each(elements, offsets)
            case ast.Dict(keys=keys, values=values) if len(keys) > 1:
                pairs = [key if key is not None else value for key, value in zip(keys, values, strict=True)]
                if all(key is not None for key in keys):
                    yield from _without_each(pairs, offsets, values)


def _without_keywords(arguments: list[ast.expr | ast.keyword], offsets: _Offsets) -> Iterator[Edit]:
    places = sorted(
        (offsets.of(each), isinstance(each, ast.keyword) and each.arg not in DISCIPLINE) for each in arguments
    )
    for n, ((begin, end), may_go) in enumerate(places):
        if not may_go:
            continue
        if n + 1 < len(places):
            yield Edit("dropped argument", begin, places[n + 1][0][0], "")
        elif n:
            yield Edit("dropped argument", places[n - 1][0][1], end, "")


def _without_each(elements: list[ast.expr], offsets: _Offsets, ends: list[ast.expr] | None = None) -> Iterator[Edit]:
    last = ends or elements
    for n, element in enumerate(elements):
        begin, end = offsets.of(element)[0], offsets.of(last[n])[1]
        if n + 1 < len(elements):
            yield Edit("dropped element", begin, offsets.of(elements[n + 1])[0], "")
        else:
            yield Edit("dropped element", offsets.of(last[n - 1])[1], end, "")


def _is_log(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value).rpartition(".")[2] in LOGS


def _not_needed(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        match node:
            case ast.arg(annotation=annotation) | ast.AnnAssign(annotation=annotation) if annotation is not None:
                yield annotation
            case ast.FunctionDef(returns=returns) if returns is not None:
                yield returns
            case ast.keyword(arg=name) if name in DISCIPLINE:
                yield node
            case ast.Assert() | ast.Expr(value=ast.Constant()):
                yield node
