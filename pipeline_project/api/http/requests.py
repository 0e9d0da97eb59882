"""What arrives: one request from API Gateway's event, read strictly. What is not understood is refused, not ignored."""

import base64
import binascii
import codecs
import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from pipeline_project.api.http.problems import Problem

LARGEST_BODY = 64 * 1024
MOST_CHARACTERS = 50
"""Length of a number. It is far below what Python converts in no time."""
MOST_DIGITS_BEFORE, MOST_DIGITS_AFTER = 131_072, 16_383
"""Digits around the decimal point, as PostgreSQL's numeric has them. An exponent needs few characters for billions of digits."""
CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]+)")
GZIP = b"\x1f\x8b"
"""First bytes of a file that is compressed with gzip."""
IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
# RFC 7240: preferences are tokens with values; those we do not know are to be ignored.
PREFERENCE = re.compile(r"\s*(respond-async|wait\s*=\s*\"?(\d{1,6})\"?)\s*(?:;.*)?", re.IGNORECASE)


LISTED = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
"""One element of a list in a header. A comma within quotes does not end it."""


class Preference(NamedTuple):
    """Preferences of a caller (RFC 7240). `wait` is in seconds, and None if the caller said nothing.

    `respond-async` alone asks for a job at once. With `wait` it asks for a job if the answer takes longer than that.
    """

    respond_async: bool
    wait: int | None

    def within(self, most: int) -> "Preference":
        """Return the preference that is applied if a client may wait at most `most` seconds."""
        return self if self.wait is None else self._replace(wait=min(self.wait, most))

    def __str__(self) -> str:
        """Write it as a header has it."""
        said = ["respond-async"] if self.respond_async else []
        said += [f"wait={self.wait}"] if self.wait is not None else []
        return ", ".join(said)


class Request:
    """A request as the routes see it. `path` is without the stage."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        context = event.get("requestContext") or {}
        self.method = str(event.get("httpMethod") or "GET").upper()
        self.path = str(event.get("path") or "/")
        self.id = str(context.get("requestId") or "unknown")
        self.stage_path = str(context.get("path") or self.path).removesuffix(self.path)
        self.identity: Mapping[str, Any] = context.get("identity") or {}
        self.authorizer: Mapping[str, Any] = context.get("authorizer") or {}
        self._headers = _headers(event)
        self._query = _query(event)
        self._body = event.get("body")
        self._encoded = bool(event.get("isBase64Encoded"))

    def header(self, name: str) -> str | None:
        """The header's value; several of one name are joined by a comma."""
        return self._headers.get(name.lower())

    def query(self, *allowed: str) -> dict[str, str]:
        """The query's parameters. Raises Problem for one that is not of `allowed`, or is given twice."""
        self.query_lists(*allowed)
        for name, values in self._query.items():
            if len(values) > 1:
                raise Problem("invalid_query", f"{_shown(name)} is given {len(values)} times")
        return {name: values[0] for name, values in self._query.items()}

    def query_lists(self, *allowed: str) -> dict[str, list[str]]:
        """The same where parameters may be repeated."""
        if not all(text.isprintable() for name, values in self._query.items() for text in (name, *values)):
            raise Problem("invalid_query", "the query string holds control characters")
        if unknown := sorted(set(self._query) - set(allowed)):
            takes = ", ".join(allowed) or "none"
            raise Problem("invalid_query", f"unknown parameter {_shown(unknown[0])}; this route takes: {takes}")
        return self._query

    def query_names(self) -> frozenset[str]:
        return frozenset(self._query)

    def json_object(self) -> dict[str, Any]:
        """The body, which has to be a JSON object. Decimals stay as exact as they were written."""
        media_type, _, options = (self.header("content-type") or "").lower().partition(";")
        if media_type.strip() != "application/json":
            raise Problem("unsupported_media_type", "send Content-Type: application/json")
        if (charset := CHARSET.search(options)) and charset[1] not in ("utf-8", "utf8"):
            raise Problem("unsupported_media_type", f"the body is {_shown(charset[1])} by its Content-Type; send UTF-8")
        value = parse_json(self._plain_bytes(), "invalid_body")
        if not isinstance(value, dict):
            raise Problem("invalid_body", "the body is a JSON object")
        return value

    def _plain_bytes(self) -> bytes:
        """Give the body if it is neither compressed nor in UTF-16 or UTF-32, whatever its headers say."""
        coding = (self.header("content-encoding") or "identity").strip().lower()
        data = self._bytes()
        if coding != "identity" or data.startswith(GZIP):
            name = "gzip" if data.startswith(GZIP) else _shown(coding)
            # RFC 9110 §15.5.16 names the header that tells the cause.
            raise Problem(
                "unsupported_media_type",
                f"the body is compressed ({name}); send it as it is",
                headers={"Accept-Encoding": "identity"},
            )
        # JSON begins with two ASCII characters, or with one that is all of it.
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:2]:
            raise Problem("unsupported_media_type", "the body is UTF-16 or UTF-32; send UTF-8")
        return data

    def no_body(self) -> None:
        """Raises Problem if there is one with something in it, for routes that take none."""
        if self._bytes().strip() not in (b"", b"{}"):
            raise Problem("invalid_body", "this route takes no body")

    def _bytes(self) -> bytes:
        body = self._body or ""
        if len(body) > LARGEST_BODY * (4 / 3 if self._encoded else 1) + 4:
            raise Problem("request_too_large", f"a body may have {LARGEST_BODY:,} bytes")
        try:
            data = base64.b64decode(body, validate=True) if self._encoded else body.encode("utf-8")
        except (binascii.Error, UnicodeEncodeError):
            raise Problem("malformed_json", "the body is not UTF-8") from None
        if len(data) > LARGEST_BODY:
            raise Problem("request_too_large", f"a body may have {LARGEST_BODY:,} bytes")
        return data

    def idempotency_key(self) -> str | None:
        key = self.header("idempotency-key")
        if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
            raise Problem("invalid_header", "Idempotency-Key is 1 to 255 visible ASCII characters")
        return key

    def preference(self) -> Preference:
        found = [PREFERENCE.fullmatch(part) for part in LISTED.findall(self.header("prefer") or "")]
        waits = [int(match[2]) for match in found if match and match[2]]
        respond_async = any(match and not match[2] for match in found)
        return Preference(respond_async, waits[0] if waits else None)

    def takes_gzip(self) -> bool:
        """Tell whether `Accept-Encoding` admits gzip (RFC 9110 §12.5.3). Without the header, nothing is compressed."""
        if not self.header("accept"):  # API Gateway would not turn base64 into bytes
            return False
        weights = {}
        for part in (self.header("accept-encoding") or "").lower().split(","):
            name, _, weight = part.partition(";")
            weights[name.strip()] = weight.replace(" ", "")
        found = weights.get("gzip", weights.get("x-gzip", weights.get("*", "q=0")))
        return re.fullmatch(r"q=0(\.0*)?", found) is None

    def wants_fresh(self) -> bool:
        """Return whether `Cache-Control` asks for an answer that was not kept (RFC 9111 §5.2.1.4)."""
        directives = [each.strip().lower() for each in (self.header("cache-control") or "").split(",")]
        return "no-cache" in directives

    def matches(self, etag: str) -> bool:
        """Return whether `If-None-Match` names the entity tag (weak comparison, RFC 9110 §13.1.2)."""
        named = [tag.strip().removeprefix("W/") for tag in (self.header("if-none-match") or "").split(",")]
        return etag in named or "*" in named


class _UnfitError(ValueError):
    """Well-formed, but no parameter can be that."""


def parse_json(data: bytes, unfit: str) -> Any:
    """JSON without doubles: no duplicated names, no NaN, no bad UTF-8. Raises Problem; `unfit` is its code for what is JSON
    and still more than any parameter takes."""
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_unique, parse_float=_decimal, parse_int=_integer, parse_constant=_no_constant
        )
        _check_texts(value)
    except _UnfitError as error:
        raise Problem(unfit, str(error)) from None
    except UnicodeDecodeError:
        raise Problem("malformed_json", "the body is not UTF-8") from None
    except RecursionError:
        raise Problem("malformed_json", "the document is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Problem("malformed_json", f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Problem("malformed_json", f"the field {_shown(twice)} is given twice in one object")
    return found


def _check_texts(value: Any) -> None:
    """JSON can spell half of a surrogate pair, which no UTF-8 text can hold; PostgreSQL refuses the character 0."""
    match value:
        case str():
            if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise _UnfitError("a text holds U+0000 or half of a surrogate pair")
        case list():
            for item in value:
                _check_texts(item)
        case dict():
            for name, item in value.items():
                _check_texts(name)
                _check_texts(item)


def _decimal(digits: str) -> Decimal:
    if len(digits) > MOST_CHARACTERS:
        raise _UnfitError(f"a number has more than {MOST_CHARACTERS} characters")
    try:
        number = Decimal(digits)
    except InvalidOperation:  # an exponent that no decimal can have
        number = Decimal("Infinity")
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MOST_DIGITS_AFTER or number.adjusted() >= MOST_DIGITS_BEFORE:
        message = (
            f"a number has more than {MOST_DIGITS_BEFORE:,} digits before the point or {MOST_DIGITS_AFTER:,} after it"
        )
        raise _UnfitError(message)
    return number


def _integer(digits: str) -> int:
    if len(digits) > MOST_CHARACTERS:
        raise _UnfitError(f"a number has more than {MOST_CHARACTERS} digits")
    return int(digits)


def _no_constant(name: str) -> Any:
    raise Problem("malformed_json", f"{name} is not JSON")


def _shown(name: str) -> str:
    """A caller's word, made fit to be repeated."""
    return repr(name[:60])


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    many = event.get("multiValueHeaders") or {name: [value] for name, value in (event.get("headers") or {}).items()}
    return {name.lower(): ", ".join(values) for name, values in many.items() if values}


def _query(event: Mapping[str, Any]) -> dict[str, list[str]]:
    many = event.get("multiValueQueryStringParameters")
    if many is None:
        many = {name: [value] for name, value in (event.get("queryStringParameters") or {}).items()}
    return many
