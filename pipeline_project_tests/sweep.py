"""Statements that give each listed function, operator and cast the largest values that a query can build.

The statements come from the allow list and from the signatures in the database's catalog. A name that is added to the list is
swept without a change here, as long as HOSTILE has values of its types.
"""

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

from pipeline_project.analytics import allowed
from pipeline_project.database import Connection

TABLE = "hostile"
TEXT_BYTES = 1_000_000
ELEMENTS = 100_000
MOST_COMBINATIONS = 6
"""Statements for one signature, if all combinations of its values are tried."""
BY_CHANCE = 1
ROWS = 20
"""Rows of an aggregate's large values."""


def _text(part: str, count: int) -> str:
    return f"(SELECT string_agg('{part}', '') FROM generate_series(1, {count}))"


def _gathered(aggregate: str, count: int = ELEMENTS) -> str:
    return f"(SELECT {aggregate} FROM generate_series(1, {count}) AS n)"


_LETTERS = _text("a", TEXT_BYTES)
_WORDS = _gathered("string_agg(n::text, ' ')", 150_000)
_ARRAY = _gathered("jsonb_agg(n)")
_OBJECT = _gathered("jsonb_object_agg('k' || n, n)")
_NESTED = f"({_text('[', 3_000)} || {_text(']', 3_000)})"
_NINES = f"({_text('9', 131_072)} || '.' || {_text('9', 16_383)})"

# The first value of each type is a small one. Each of the others makes some function slow or large.
HOSTILE: dict[str, list[str]] = {
    "text": [
        "'a'",
        _LETTERS,
        f"('b' || {_text('a', TEXT_BYTES // 2)})",
        # Marks of two combining classes, in the wrong order.
        f"({_text(chr(0x301), 250_000)} || {_text(chr(0x327), 250_000)})",
        f"({_text('%a', TEXT_BYTES // 2)} || 'b')",
        _WORDS,
        "(SELECT string_agg(chr(n), '') FROM generate_series(256, 55000) AS n)",
        _text("9", TEXT_BYTES),
        r"'(a*)*(a|aa)+(.*)\1b'",
        _text("YYYYMM", TEXT_BYTES // 6),
        f"({_ARRAY})::text",
    ],
    "bytea": [
        r"'\x61'::bytea",
        f"convert_to({_LETTERS}, 'UTF8')",
        f"convert_to('b' || {_text('a', TEXT_BYTES // 2)}, 'UTF8')",
    ],
    "bit varying": [
        "B'1'::varbit",
        f"{_text('1', TEXT_BYTES)}::varbit",
        f"(B'0' || {_text('1', TEXT_BYTES // 2)}::varbit)",
    ],
    "jsonb": [
        "'1'::jsonb",
        _ARRAY,
        _OBJECT,
        _gathered("jsonb_agg(n::text)"),
        f"{_NESTED}::jsonb",
        f"jsonb_build_object('a', {_LETTERS})",
        f"jsonb_build_array({_NINES}::numeric, {_NINES}::numeric)",
        _gathered("jsonb_agg(-n)"),
    ],
    "json": [
        "'1'::json",
        f"{_ARRAY}::json",
        f"{_OBJECT}::json",
        f"{_NESTED}::json",
        f"json_build_object('a', {_LETTERS})",
        _gathered("json_object_agg('k', n)"),
    ],
    "jsonpath": [
        "'$'::jsonpath",
        "'$.** ? (@ like_regex \"(a|aa)+$\")'::jsonpath",
        "'$[*] ? (exists($ ? (@[*] == @[last])))'::jsonpath",
        "'$[0] * $[0] * $[0] / $[1] % $[0]'::jsonpath",
        "'$.**{0 to last}'::jsonpath",
        f"('$' || {_text('.a', 2_000)})::jsonpath",
        f"('$' || {_text(' + 1', 2_000)})::jsonpath",
    ],
    "numeric": [
        "2::numeric",
        f"{_NINES}::numeric",
        f"({_text('7', 131_072)})::numeric",
        f"('0.' || {_text('7', 16_383)})::numeric",
        "1e6::numeric",
    ],
    "double precision": ["2::float8", "1e308::float8", "-1e-300::float8"],
    "real": ["2::float4", "1e38::float4"],
    "smallint": ["1::int2", "32767::int2"],
    "integer": ["1", "1000000", "2147483647", "-2147483648"],
    "bigint": ["1::int8", "9223372036854775807"],
    "boolean": ["true", "false"],
    "interval": ["interval '1 second'", "interval '170000000 years'"],
    "date": ["date '2024-01-01'", "date '5874897-12-31'"],
    "time without time zone": ["time '10:00'"],
    "time with time zone": ["timetz '10:00+01'"],
    "timestamp without time zone": ["timestamp '2024-01-01'", "timestamp '294276-12-31'"],
    "timestamp with time zone": ["timestamptz '2024-01-01 00:00+00'", "timestamptz '294276-12-31 00:00+00'"],
    "uuid": ["'01900000-0000-7000-8000-000000000000'::uuid"],
    "integer[]": [
        "ARRAY[1]",
        _gathered("array_agg(n)"),
        _gathered("array_agg(-n)"),
        _gathered("array_agg(1)"),
        "(SELECT array_agg(a) FROM (SELECT array_agg(n) AS a FROM generate_series(1, 100) AS n, "
        "generate_series(1, 1000) AS m GROUP BY m) AS x)",
    ],
    "text[]": [
        "ARRAY['a']",
        _gathered("array_agg('k' || n)"),
        _gathered("array_agg(n::text)"),
        f"ARRAY[{_LETTERS}, {_LETTERS}]",
        _gathered("array_agg(NULL::text)"),
    ],
    "double precision[]": ["ARRAY[0.5]::float8[]", _gathered(f"array_agg(n / {ELEMENTS}::float8)")],
    "jsonb[]": ["ARRAY['1'::jsonb]"],
    "int4range": ["int4range(1, 2)", "int4range(1, 1000000000)"],
    "int4range[]": ["ARRAY[int4range(1, 2)]", _gathered("array_agg(int4range(2 * n, 2 * n + 1))", 60_000)],
    "tsvector": [
        "to_tsvector('simple', 'a b')",
        f"array_to_tsvector({_gathered('array_agg(n::text)')})",
        _gathered("to_tsvector('simple', string_agg('a b c', ' '))", 16_000),
        f"array_to_tsvector({_gathered('array_agg((n * 2)::text)')})",
    ],
    "tsquery": [
        "'a'",
        _gathered("string_agg(n::text, ' & ')", 5_000),
        _gathered("string_agg('a', ' <-> ')", 2_000),
        _gathered("string_agg('(a | b)', ' <-> ')", 2_000),
        f"({_text('!', 20)} || 'a')",
        _gathered("string_agg((-n)::text || ':*', ' | ')", 5_000),
    ],
    # Texts that PostgreSQL takes for these types only as constants.
    "regconfig": ["'english'", "'simple'"],
    '"char"': ["'A'"],
    '"char"[]': ["'{a,b}'"],
    "name": ["'UTF8'", "'LATIN1'"],
}
CONSTANTS = ("regconfig", '"char"', '"char"[]', "name")
SAME = {"character": "text", "bit": "bit varying"}
POLYMORPHIC = {
    '"any"': ("text", "jsonb"),
    "anyarray": ("integer[]", "text[]"),
    "anycompatiblearray": ("integer[]", "text[]"),
    "anyelement": ("integer", "text"),
    "anycompatible": ("integer", "text"),
    "anynonarray": ("integer", "text"),
    "anyrange": ("int4range", "int4range"),
}
SIGNATURES = """
    SELECT proname, prokind::text, proretset,
           ARRAY(SELECT format_type(t, NULL) FROM unnest(proargtypes) WITH ORDINALITY AS a (t, n) ORDER BY n),
           coalesce((SELECT aggnumdirectargs FROM pg_aggregate WHERE aggfnoid = p.oid AND aggkind <> 'n'), -1)
    FROM pg_proc p
    WHERE pronamespace::regnamespace::text IN ('pg_catalog', 'extensions', 'bounded') AND proname = ANY (%s)
    ORDER BY proname, proargtypes
"""
OPERATORS = """
    SELECT DISTINCT oprname, CASE WHEN oprleft = 0 THEN NULL ELSE format_type(oprleft, NULL) END, format_type(oprright, NULL)
    FROM pg_operator
    WHERE oprnamespace::regnamespace::text IN ('pg_catalog', 'extensions', 'bounded') AND oprname = ANY (%s)
    ORDER BY 1, 2, 3
"""


class Swept(NamedTuple):
    """A statement, named by the signature that it is for."""

    name: str
    signature: str
    statement: str


def columns() -> dict[str, str]:
    """The table's columns, each with the expression of its value."""
    return {
        f"v{number}_{index}": value
        for number, (kind, values) in enumerate(HOSTILE.items())
        for index, value in enumerate(values)
        if kind not in CONSTANTS
    }


def _values(kind: str) -> list[str]:
    kind = SAME.get(kind, kind)
    if kind == "record":
        return ["ROW(1, 2)", f"ROW({_values('text')[1]}, {_values('integer[]')[1]})"]
    if kind in CONSTANTS:
        return HOSTILE[kind]
    number = list(HOSTILE).index(kind)
    # PostgreSQL stores no large tsquery.
    cast = "::tsquery" if kind == "tsquery" else ""
    return [f"v{number}_{index}{cast}" for index in range(len(HOSTILE[kind]))]


def _chosen(arguments: Sequence[list[str]]) -> list[tuple[str, ...]]:
    """All combinations if they are few. Otherwise, values that go along with each other, neighbours, and some by chance."""
    if math.prod(map(len, arguments)) <= MOST_COMBINATIONS:
        return list(product(*arguments))
    longest = max(map(len, arguments))
    found = [
        tuple(values[(index + step * place) % len(values)] for place, values in enumerate(arguments))
        for step in (0, 1)
        for index in range(longest)
    ]
    chance = random.Random(repr(arguments))
    found += [tuple(map(chance.choice, arguments)) for _ in range(BY_CHANCE)]
    return list(dict.fromkeys(found))


def _expanded(kinds: Sequence[str]) -> Iterator[list[str]]:
    """The types with their polymorphic ones replaced, once for each choice."""
    if any(kind in POLYMORPHIC for kind in kinds):
        for choice in range(2):
            yield [POLYMORPHIC[kind][choice] if kind in POLYMORPHIC else kind for kind in kinds]
    else:
        yield list(kinds)


def _reachable(kinds: Iterable[str]) -> bool:
    return all(SAME.get(kind, kind) in HOSTILE or kind == "record" for kind in kinds)


def function_statements(connection: Connection) -> Iterator[Swept]:
    for name, kind, several, kinds, direct in connection.execute(SIGNATURES, (list(allowed.FUNCTIONS),)):
        signature = f"{name}({', '.join(kinds)})"
        for types in _expanded(kinds):
            if not _reachable(types):
                continue
            for given in _chosen([_values(each) for each in types]):
                yield from (
                    Swept(name, signature, statement)
                    for statement in _calls(name, kind, given, several=several, direct=direct)
                )


def _calls(name: str, kind: str, given: Sequence[str], *, several: bool, direct: int) -> Iterator[str]:
    """`direct` counts the arguments that stand in front of WITHIN GROUP. It is negative for other functions."""
    called = f'"{name}"'
    if kind == "w":
        yield f"SELECT {called}({', '.join(given)}) OVER () FROM {TABLE}, generate_series(1, {ROWS})"
    elif kind == "a":
        if direct >= 0:
            call = f"{called}({', '.join(given[:direct])}) WITHIN GROUP (ORDER BY {', '.join(given[direct:])})"
        else:
            call = f"{called}({', '.join(given) or '*'})"
        yield f"SELECT {call} FROM {TABLE}, generate_series(1, {ROWS})"
    elif several:
        yield f"SELECT count(x) FROM (SELECT {called}({', '.join(given)}) AS x FROM {TABLE}) AS y"
    else:
        yield f"SELECT {called}({', '.join(given)}) FROM {TABLE}"


def operator_statements(connection: Connection) -> Iterator[Swept]:
    for name, left, right in connection.execute(OPERATORS, (list(allowed.OPERATORS),)):
        kinds = [right] if left is None else [left, right]
        for types in _expanded(kinds):
            if _reachable(types):
                for given in _chosen([_values(each) for each in types]):
                    expression = f"{name} {given[0]}" if left is None else f"{given[0]} {name} {given[1]}"
                    yield Swept(name, f"{left} {name} {right}", f"SELECT {expression} FROM {TABLE}")


def cast_statements() -> Iterator[Swept]:
    """All texts as each type, and the largest value of each type as each other."""
    for kind in sorted(allowed.TYPES):
        for source in HOSTILE:
            for value in _values(source)[: None if source == "text" else 2]:
                yield Swept(kind, f"{source}::{kind}", f"SELECT CAST({value} AS {kind}) FROM {TABLE}")


def filled(form: str) -> str:
    """Give the statement with the values that its placeholders name."""
    text, numbers, jsonb = _values("text"), _values("integer[]"), _values("jsonb")
    named = {"letters": text[1], "late": text[2], "marks": text[3], "pattern": text[4], "different": text[6]}
    return form.format(**named, numbers=numbers[1], negatives=numbers[2], array=jsonb[1], document=jsonb[2])


def build(connection: Connection) -> None:
    """Create the table of values. Its owner must be the connection's role."""
    made: dict[str, Any] = columns()
    values = ", ".join(f"{value} AS {name}" for name, value in made.items())
    connection.execute(f"CREATE TABLE analytics.{TABLE} AS SELECT {values}".encode())
