"""JSON of requests: what is taken, what is refused, at each bound."""

import base64
import json
from decimal import Decimal
from typing import Any

import pytest

from pipeline_project.api.http.problems import Problem
from pipeline_project.api.http.requests import Request, parse_json


def refusal(text: bytes) -> Problem:
    with pytest.raises(Problem) as refused:
        parse_json(text, "unfit")
    return refused.value


@pytest.mark.parametrize("bad", ["\0", "\ud800", "\udbff", "\udc00", "\udfff"])
@pytest.mark.parametrize(
    "place", [lambda text: text, lambda text: [1, [text]], lambda text: {"a": {text: 1}}, lambda text: [{"a": text}]]
)
def test_a_text_that_postgresql_cannot_hold_is_refused_wherever_it_is(bad: str, place: Any) -> None:
    assert refusal(json.dumps(place(f"x{bad}")).encode()).code == "unfit"
    for good in ("\x01", "\ud7ff", "\ue000", "\U00010000"):
        assert parse_json(json.dumps(place(f"x{good}")).encode(), "unfit") == place(f"x{good}")


@pytest.mark.parametrize(
    ("text", "code", "detail"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "malformed_json", "the field 'a' is given twice in one object"),
        (b'[{"x": {"a": 1, "a": 1}}]', "malformed_json", "the field 'a' is given twice in one object"),
        (b"[NaN]", "malformed_json", "NaN is not JSON"),
        (b"[-Infinity]", "malformed_json", "-Infinity is not JSON"),
        (b"\xff", "malformed_json", "the body is not UTF-8"),
        (b"[1,\n 2,]", "malformed_json", "line 2, column 4"),
        (b"[" * 100_000, "malformed_json", "the document is nested too deeply"),
    ],
)
def test_what_is_no_json_is_refused_in_words(text: bytes, code: str, detail: str) -> None:
    problem = refusal(text)
    assert problem.code == code
    assert detail in problem.detail


@pytest.mark.parametrize(
    ("taken", "refused", "reason"),
    [
        ("1" * 50, "1" * 51, "more than 50 digits"),
        ("0." + "1" * 48, "0." + "1" * 49, "more than 50 characters"),
        ("1e131071", "1e131072", "131,072 digits before"),
        ("1e-16383", "1e-16384", "16,383 after"),
        ("-9e131071", "-9e999999999999999999", "131,072 digits before"),
    ],
)
def test_a_number_has_as_many_digits_as_postgresql_takes(taken: str, refused: str, reason: str) -> None:
    assert parse_json(f"[{taken}]".encode(), "unfit") == [Decimal(taken)]
    problem = refusal(f"[{refused}]".encode())
    assert problem.code == "unfit"
    assert reason in problem.detail


def request(body: str | None = None, *, encoded: bool = False, **headers: str) -> Request:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request({"headers": given, "body": body, "isBase64Encoded": encoded})


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("character", ["x", "ä"])
def test_a_body_may_have_64_kibibytes(encoded: bool, character: str) -> None:
    frame = len('{"a": ""}')
    text = character * ((65_536 - frame) // len(character.encode()))
    text += "x" * (65_536 - frame - len(text.encode()))
    for more, is_taken in (("", True), ("x", False)):
        body = f'{{"a": "{text}{more}"}}'
        sent = base64.b64encode(body.encode()).decode() if encoded else body
        made = request(sent, encoded=encoded, content_type="application/json")
        if is_taken:
            assert made.json_object() == {"a": text}
        else:
            with pytest.raises(Problem, match="65,536 bytes") as refused:
                made.json_object()
            assert refused.value.code == "request_too_large"


@pytest.mark.parametrize(
    ("key", "is_taken"),
    [("k", True), ("!~", True), ("k" * 255, True), ("k" * 256, False), ("", False), ("a b", False), ("ä", False)],
)
def test_an_idempotency_key_has_1_to_255_visible_characters(key: str, is_taken: bool) -> None:
    made = request(idempotency_key=key)
    if is_taken:
        assert made.idempotency_key() == key
    else:
        with pytest.raises(Problem, match="1 to 255 visible ASCII characters"):
            made.idempotency_key()


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("respond-async", (True, None)),
        ("wait=10", (False, 10)),
        ('Wait = "7" ; x=1', (False, 7)),
        ("respond-async, wait=5, wait=9", (True, 5)),
        ("wait=999999", (False, 999_999)),
        ("wait=1000000", (False, None)),
        ("wait", (False, None)),
        ("handling=lenient", (False, None)),
        ("", (False, None)),
    ],
)
def test_a_preference_is_read_or_ignored(prefer: str, expected: tuple[bool, int | None]) -> None:
    assert request(prefer=prefer).preference() == expected


@pytest.mark.parametrize(
    ("header", "is_match"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("a", False), ("", False)],
)
def test_an_entity_tag_matches_weakly(header: str, is_match: bool) -> None:
    assert request(if_none_match=header).matches('"a"') is is_match


@pytest.mark.parametrize(
    ("header", "is_wanted"), [("no-cache", True), ("max-age=0, No-Cache", True), ("max-age=0", False), ("", False)]
)
def test_a_fresh_answer_is_asked_for_by_no_cache(header: str, is_wanted: bool) -> None:
    assert request(cache_control=header).wants_fresh() is is_wanted


@pytest.mark.parametrize(
    ("body", "is_taken"), [(None, True), ("", True), (" {} ", True), ("[]", False), ("{} x", False)]
)
def test_a_route_without_a_body_takes_an_empty_object(body: str | None, is_taken: bool) -> None:
    if is_taken:
        request(body).no_body()
    else:
        with pytest.raises(Problem, match="takes no body"):
            request(body).no_body()


@pytest.mark.parametrize(
    ("content_type", "is_taken"),
    [("application/json", True), ("Application/JSON; charset=utf-8", True), ("text/json", False), ("", False)],
)
def test_a_body_says_that_it_is_json(content_type: str, is_taken: bool) -> None:
    made = request("{}", content_type=content_type)
    if is_taken:
        assert made.json_object() == {}
    else:
        with pytest.raises(Problem, match="send Content-Type: application/json"):
            made.json_object()
