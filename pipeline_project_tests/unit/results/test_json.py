"""JSON of results that every reader takes: no NaN, no infinity, and no number with more digits than Python reads."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.analytics.execution import Column
from pipeline_project.results.encoders import encoder
from pipeline_project.results.options import Format, ResultOptions
from pipeline_project.results.texts import json_bytes

MOST = 4300
"""The limit of Python's json, as `sys.int_info.default_max_str_digits` tells."""


def strictly(text: bytes) -> Any:
    """Read JSON as the standard has it: Python's reader takes NaN and Infinity, other readers do not."""

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse, parse_float=Decimal)


def values_in(form: Format, kind: str, values: list[Any]) -> list[Any]:
    target = encoder(ResultOptions(format=form), [Column("v", kind)])
    body = target.start() + target.batch([(value,) for value in values]) + target.end(False)
    rows = [strictly(line) for line in body.splitlines()] if form is Format.NDJSON else strictly(body)["rows"]
    return [row["v"] for row in rows]


@pytest.mark.parametrize("form", [Format.JSON, Format.NDJSON])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_number_becomes_text_when_it_has_too_many_digits(form: Format, sign: str) -> None:
    fits, too_long = sign + "7" * MOST, sign + "7" * (MOST + 1)
    assert values_in(form, "numeric", [Decimal(fits), Decimal(too_long)]) == [int(fits), too_long]
    assert values_in(form, "numeric[]", [[Decimal(too_long), None]]) == [[too_long, None]]
    raw = msgspec.Raw(f'{{"a": [{too_long}, {fits}], "b": "{too_long}\\" 1"}}'.encode())
    assert values_in(form, "jsonb", [raw]) == [{"a": [too_long, int(fits)], "b": too_long + '" 1'}]


def test_digits_after_the_point_count_as_well() -> None:
    fits, too_long = "0." + "7" * MOST, "0." + "7" * (MOST + 1)
    assert strictly(json_bytes([Decimal(fits), Decimal(too_long)])) == [Decimal(fits), too_long]


def test_an_envelope_follows_the_same_rule() -> None:
    too_long = "1" * (MOST + 1)
    rows = [msgspec.Raw(json_bytes({"n": Decimal(too_long)}))]
    assert strictly(json_bytes({"rows": rows, "row_count": 1})) == {"rows": [{"n": too_long}], "row_count": 1}


@given(before=st.text(max_size=200), digits=st.integers(MOST - 2, MOST + 200), after=st.text(max_size=200))
def test_each_json_number_is_found_wherever_it_is(before: str, digits: int, after: str) -> None:
    number = "9" * digits
    expected = number if digits > MOST else int(number)
    assert strictly(json_bytes([before, Decimal(number), after])) == [before, expected, after]


@pytest.mark.parametrize("form", [Format.JSON, Format.NDJSON])
@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_a_word_and_never_a_literal(form: Format, word: str) -> None:
    decimal, number = Decimal(word), float(word)
    assert values_in(form, "numeric", [decimal, Decimal(1)]) == [word, 1]
    assert values_in(form, "numeric[]", [[decimal, Decimal(1)], [[decimal]]]) == [[word, 1], [[word]]]
    assert values_in(form, "double precision", [number, 1.5]) == [word, Decimal("1.5")]
    assert values_in(form, "double precision[]", [[number], [[number]]]) == [[word], [[word]]]
    assert values_in(form, "text", [word, f"a {word}"]) == [word, f"a {word}"]


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_row_with_text_beside_what_is_no_number_keeps_the_text(word: str) -> None:
    target = encoder(
        ResultOptions(format=Format.NDJSON), [Column("a", "numeric"), Column("b", "text"), Column("c", "jsonb")]
    )
    line = target.batch([(Decimal(word), word, msgspec.Raw(b'{"NaN":1.10}'))])
    assert strictly(line) == {"a": word, "b": word, "c": {"NaN": Decimal("1.10")}}
