"""The splitter gives exactly the records that are there, whatever the windows through which it looks."""

import json
import random
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline_project.ingest.decoding import formats
from pipeline_project.ingest.decoding import limits as sizes
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.records import Envelope
from pipeline_project_tests.records import fault

LIMITS = ("WINDOW", "CHUNK_RECORDS", "RECORD_LIMIT", "RAW_LIMIT")


class Trickle:
    """A stream that gives a few bytes at a time, as a network does."""

    def __init__(self, data: bytes, most: int) -> None:
        self._file = BytesIO(data)
        self._most = most

    def read(self, size: int, /) -> bytes:
        return self._file.read(max(1, min(size, self._most)))


@dataclass
class Split:
    """What came out of an object."""

    format: str = "unknown"
    fields: dict[str, Any] = field(default_factory=dict)
    records: list[bytes] = field(default_factory=list)
    lines: list[int | None] = field(default_factory=list)
    oversize: list[int] = field(default_factory=list)
    fault: ObjectFault | None = None


def split(data: bytes, *, most: int = 1 << 30, **limits: int) -> Split:
    """All records of `data`, with other limits than usual."""
    usual = {name: getattr(sizes, name) for name in LIMITS}
    result = Split()
    envelope = Envelope()
    try:
        for name, value in limits.items():
            setattr(sizes, name, value)
        for chunk in formats.chunks(Trickle(data, most), envelope, FieldNames(["id"])):
            assert chunk.first_ordinal == len(result.records) + 1
            assert 0 < len(chunk.records) <= max(sizes.CHUNK_RECORDS, 1)
            result.oversize += [chunk.first_ordinal + index for index in chunk.flaws]
            order = list(range(len(chunk.records)))
            if len(order) < 20:
                random.Random(len(data)).shuffle(order)  # lines may be asked for in any order
            lines = {index: chunk.line(index) for index in order}
            result.lines += [lines[index] for index in range(len(chunk.records))]
            result.records += [bytes(record) for record in chunk.records]
    except ObjectFault as fault:
        result.fault = fault
    finally:
        for name, value in usual.items():
            setattr(sizes, name, value)
    result.format, result.fields = envelope.format, envelope.fields
    return result


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.sampled_from(['"', "\\", '\\"', "}", "],", "\n", "records", "{", "\u2028", '"}],"metadata":{'])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from(["id", "name", "records", "x", "}"]), values, min_size=1, max_size=4)
tiny = st.fixed_dictionaries(
    {
        "WINDOW": st.integers(8, 200),
        "CHUNK_RECORDS": st.integers(1, 5),
        "most": st.integers(1, 64),
        # In the whole file, or behind the window: the two ways an object can be looked at.
        "RECORD_LIMIT": st.sampled_from([100, 400, 1 << 20]),
    }
)


@st.composite
def spaced(draw: st.DrawFn, elements: list[Any]) -> tuple[list[str], list[str]]:
    """Elements as texts, and what stands before, between and after them."""
    space = st.text(" \t\r\n", max_size=3)
    texts = [
        json.dumps(each, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1]))) for each in elements
    ]
    return texts, [draw(space) for _ in range(len(elements) + 1)]


def joined(texts: list[str], spaces: list[str], separator: str) -> tuple[str, list[int]]:
    """The text, and the place where each element begins."""
    pieces: list[str] = []
    places: list[int] = []
    length = 0
    for index, text in enumerate(texts):
        before = (separator if index else "") + spaces[index]
        places.append(length + len(before))
        pieces += [before, text]
        length += len(before) + len(text)
    return "".join(pieces) + spaces[-1], places


def line_of(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


@given(data=st.data(), elements=st.lists(values, max_size=12), limits=tiny)
def test_an_array_gives_the_elements_that_json_gives(
    data: st.DataObject, elements: list[Any], limits: dict[str, int]
) -> None:
    texts, spaces = data.draw(spaced(elements))
    if any(len(text.encode()) > limits["RECORD_LIMIT"] for text in texts):
        limits["RECORD_LIMIT"] = 1 << 20
    inner, places = joined(texts, spaces, ",")
    lead = data.draw(st.sampled_from(["", " ", "\n\n"]))
    text = f"{lead}[{inner}]\n"
    result = split(text.encode(), **limits)
    if not elements:
        assert result.fault is None
        assert result.records == []
        return
    assert result.fault is None
    assert [json.loads(record) for record in result.records] == elements
    assert [record.decode() for record in result.records] == texts
    assert result.lines == [line_of(text, place + len(lead) + 1) for place in places]


@given(data=st.data(), elements=st.lists(objects, max_size=12), limits=tiny, after=st.booleans())
def test_an_envelope_gives_its_records_and_what_stands_around_them(
    data: st.DataObject, elements: list[Any], limits: dict[str, int], after: bool
) -> None:
    texts, spaces = data.draw(spaced(elements))
    metadata = {"recordCount": len(elements), "x": data.draw(values)}
    encoded = json.dumps({"metadata": metadata})[1:-1]
    if max(len(text.encode()) for text in [encoded, *texts]) > limits["RECORD_LIMIT"]:
        limits["RECORD_LIMIT"] = 1 << 20
    inner, places = joined(texts, spaces, ",")
    start = '{ "records" :\n[' if after else f'{{\n{encoded}, "records" :\n['
    text = f"{start}{inner}], {encoded}}}" if after else f"{start}{inner}]}}"
    result = split(text.encode(), **limits)
    assert result.fault is None
    assert (result.format, [record.decode() for record in result.records]) == ("envelope", texts)
    assert result.lines == [line_of(text, place + len(start)) for place in places]
    assert json.loads(json.dumps(result.fields["metadata"]["recordCount"])) == len(elements)


@given(elements=st.lists(objects, min_size=2, max_size=12), limits=tiny, data=st.data())
def test_json_lines_give_a_record_a_line(elements: list[Any], limits: dict[str, int], data: st.DataObject) -> None:
    texts = [json.dumps(each) for each in elements]
    limits["RECORD_LIMIT"] = max(limits["RECORD_LIMIT"], *(len(text) + 8 for text in texts))
    end = st.sampled_from(["\n", "\r\n", "\n\n", "\n \n"])
    text = ""
    lines = []
    for each in texts:
        lines.append(line_of(text, len(text)))
        text += each + data.draw(end)
    result = split((text if data.draw(st.booleans()) else text.rstrip()).encode(), **limits)
    assert result.fault is None
    assert result.format == "json_lines"
    assert [record.decode().strip() for record in result.records] == texts
    assert result.lines == lines


@given(record=objects.filter(lambda each: not isinstance(each.get("records"), list)), most=st.integers(1, 64))
def test_a_single_object_is_a_record(record: dict[str, Any], most: int) -> None:
    text = json.dumps(record, indent=1)
    result = split(f" {text}\n".encode(), most=most)
    assert (result.fault, result.format, result.fields) == (None, "object", {})
    assert [json.loads(each) for each in result.records] == [record]
    assert result.lines == [1]


@given(elements=st.lists(objects | st.text(min_size=60, max_size=300), min_size=1, max_size=8), data=st.data())
def test_a_record_that_is_too_large_is_told_and_its_neighbours_are_kept(
    elements: list[Any], data: st.DataObject
) -> None:
    limit = data.draw(st.integers(40, 120))
    texts = [json.dumps(each) for each in elements]
    for text, name in ((f"[{', '.join(texts)}]", "array"), ("\n".join(["{}", "{}", *texts]), "json_lines")):
        if name == "json_lines" and not all(isinstance(each, dict) for each in elements):
            continue
        expected = texts if name == "array" else ["{}", "{}", *texts]
        result = split(text.encode(), WINDOW=data.draw(st.integers(8, 40)), RECORD_LIMIT=limit, RAW_LIMIT=10)
        assert result.fault is None
        too_large = [ordinal for ordinal, each in enumerate(expected, 1) if len(each) > limit]
        assert result.oversize == too_large
        assert len(result.records) == len(expected)
        for ordinal, (record, each) in enumerate(zip(result.records, expected, strict=True), 1):
            assert record.decode() == (each[:10] if ordinal in too_large else each)


@given(
    content=st.binary(max_size=60)
    | st.text('[]{},:"\\ \n019.aeE-+truefalsnl', max_size=60).map(str.encode)
    | st.lists(
        st.sampled_from(
            [b'{"id":1}', b'{"records":[', b"]}", b",", b"[", b"]", b"}", b'"', b"\n", b'{"a":', b"\\", b"7"]
        )
    ).map(b"".join),
    limits=tiny,
)
@example(content=b'["' + b"x" * 200 + b'", {"id": 1}]', limits={"WINDOW": 16, "RECORD_LIMIT": 100})
@example(content=b"[" + b"1" * 200 + b', {"id": 1}]', limits={"WINDOW": 16, "RECORD_LIMIT": 100})
@example(content=b"{" * 3000, limits={"WINDOW": 16})
@example(content=b'{"' + b"k" * 300 + b'": 1, "records": [{}]}', limits={"WINDOW": 16, "RECORD_LIMIT": 100})
def test_any_bytes_give_records_or_a_fault_with_its_place(content: bytes, limits: dict[str, int]) -> None:
    result = split(content, **limits)
    if result.fault is not None:
        assert result.fault.code
        if result.fault.line is not None:
            assert 1 <= result.fault.line <= content.count(b"\n") + 1
        assert result.fault.column is None or 1 <= result.fault.column <= len(content) + 1


@given(
    elements=st.lists(objects, min_size=1, max_size=8),
    limits=tiny,
    breaks=st.sampled_from(["", "\n", "\n  "]),
    data=st.data(),
)
def test_a_fault_is_told_with_its_line_and_column(
    elements: list[Any], limits: dict[str, int], breaks: str, data: st.DataObject
) -> None:
    texts = [json.dumps(each) for each in elements]
    limits["RECORD_LIMIT"] = max(limits["RECORD_LIMIT"], *map(len, texts))
    place = data.draw(st.integers(0, len(texts)))
    before = "[" + breaks + f",{breaks}".join(texts[:place]) + ("," if place > 0 else "") + breaks
    # A closing brace without an opening one: told where it stands.
    text = before + "}" + ",".join(texts[place:]) + "]"
    result = split(text.encode(), **limits)
    assert result.fault is not None
    line_begin = before.rfind("\n") + 1
    assert (result.fault.line, result.fault.column) == (line_of(text, len(before)), len(before) - line_begin + 1)


FAULTS = [
    pytest.param(b"", "empty", 1, 1, id="empty"),
    pytest.param(b" \n ", "empty", 1, 1, id="blank"),
    pytest.param(b'[{"id": 1}, {"id"', "truncated", 1, 18, id="truncated in a record"),
    pytest.param(b'[{"id": 1},\n{"id": 2}', "truncated", 2, 10, id="truncated after a record"),
    pytest.param(b'[{"id": 1},\n', "truncated", 2, 1, id="truncated after a comma"),
    pytest.param(b'{"records": [{"id": 1}]', "truncated", 1, 24, id="truncated after the records"),
    pytest.param(b'{"records": [{"id": 1}], "metadata": {"rec', "truncated", 1, 43, id="truncated in the metadata"),
    pytest.param(b'{"id": 1, "name": "A', "truncated", 1, 21, id="truncated object"),
    pytest.param(b'[{"id": 1},\n{"id": 2},\n]', "bad_json", 3, 1, id="trailing comma in an array"),
    pytest.param(b'[{"id": 1},, {"id": 2}]', "bad_json", 1, 12, id="two commas"),
    pytest.param(b'[,{"id": 1}]', "bad_json", 1, 2, id="comma first"),
    pytest.param(b'{"records": [{"id": 1}],}', "bad_json", 1, 25, id="trailing comma in an envelope"),
    pytest.param(b'{"id": 1, "name": "A",}', "bad_json", 1, 23, id="trailing comma in an object"),
    pytest.param(b'[{"id": 1} {"id": 2}]', "bad_json", 1, 12, id="missing comma"),
    pytest.param(b'{"id": 1}{"id": 2} x', "trailing_data", 1, 20, id="words after concatenated objects"),
    pytest.param(b'[{"id": 1}]\n{"id": 2}', "trailing_data", 2, 1, id="an object after an array"),
    pytest.param(b'{"id": 1}{"id": 2', "truncated", 1, 18, id="truncated in concatenated objects"),
    pytest.param(b'{"records": [{"id": 1}]} x', "trailing_data", 1, 26, id="words after an envelope"),
    pytest.param(b"{'id': 1}", "bad_json", 1, 2, id="single quotes"),
    pytest.param(b'{"a": [1, 2}', "bad_json", 1, 12, id="brackets that do not match"),
    pytest.param(b'{"records": [1], "records": [2]}', "bad_json", 1, 29, id="records twice"),
    pytest.param(b'{"records": [1], "\\u0072ecords": [2]}', "bad_json", 1, 34, id="records twice, escaped"),
    pytest.param(b'{"\\u0072ecords": [1], "r\\u0065cords": [2]}', "bad_json", 1, 39, id="records twice, both escaped"),
    pytest.param(b'{"records": [1], "rec\\u006Frds": null}', "bad_json", 1, 34, id="a second records without a list"),
]


@pytest.mark.parametrize(("content", "code", "line", "column"), FAULTS)
@pytest.mark.parametrize(
    "limits", [{}, {"WINDOW": 8, "RECORD_LIMIT": 1000, "most": 3}, {"WINDOW": 8, "RECORD_LIMIT": 24}]
)
def test_faults_of_a_file(content: bytes, code: str, line: int, column: int, limits: dict[str, int]) -> None:
    fault = split(content, **limits).fault
    assert fault is not None
    assert (fault.code, fault.line, fault.column) == (code, line, column)


@pytest.mark.parametrize("records", ['"records"', '"r\\u0065cords"'])
@pytest.mark.parametrize("limits", [{}, {"WINDOW": 8, "RECORD_LIMIT": 60}])
def test_of_what_stands_twice_beside_the_records_the_last_counts(records: str, limits: dict[str, int]) -> None:
    text = '{"sourceSystem": "erp", "metadata": {"recordCount": 7}, %s: [{"id": 1}], '
    text += '"metadata": {"recordCount": 1}, "source\\u0053ystem": "crm"}'
    result = split((text % records).encode(), **limits)
    assert (result.fault, result.format, result.records) == (None, "envelope", [b'{"id": 1}'])
    assert result.fields == {"sourceSystem": "crm", "metadata": {"recordCount": 1}}


def test_a_fault_far_into_a_single_line_has_the_right_column() -> None:
    content = b"[" + b'{"id": 1},' * 50_000 + b"}]"
    fault = split(content, WINDOW=4096, RECORD_LIMIT=4096).fault
    assert fault is not None
    assert (fault.code, fault.line, fault.column) == ("bad_json", 1, len(content) - 1)


@pytest.mark.parametrize(
    "record",
    [
        b'{"id": 2, "name": "B",}',
        b'{"id": 2 "name"}',
        b'{"id": NaN}',
        b'{"id": Infinity}',
        b'{"id": 01}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a\x00b"}',
        b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"id": ' + b"1" * 5000 + b"}",
    ],
)
def test_a_fault_inside_a_record_stays_with_it(record: bytes) -> None:
    content = b'[{"id": 1},\n' + record + b',\n{"id": 3}]'
    for text in (content, b'{"records": ' + content + b"}", b'{"id": 1}\n' + record + b'\n{"id": 3}'):
        for limits in ({}, {"WINDOW": 16}):
            result = split(text, **limits)
            assert result.fault is None
            assert result.records == [b'{"id": 1}', record, b'{"id": 3}']
            assert result.lines == [1, 2, 3]


def test_of_an_envelope_only_what_is_asked_about_is_kept() -> None:
    """One object of a million fields, as exports keyed by id are: it is no envelope, and must not fill the memory."""
    text = json.dumps({"sourceSystem": "crm", **{str(number): {"id": number} for number in range(100)}})
    result = split(text.encode(), WINDOW=64, RECORD_LIMIT=200)
    assert result.fault is not None
    assert result.fault.code == "too_large"
    assert set(result.fields) <= {"sourceSystem"}


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (b"[1]", "trailing_data"),
        (b'"text"', "unknown_format"),
        (b"null", "unknown_format"),
        (b"words", "unknown_format"),
        (b'{"id": 1, "na', "bad_json"),
        (b'{"id": 1} x', "trailing_data"),
        (b'{"x": "' + b"x" * sizes.RECORD_LIMIT + b'"}', "too_large"),
    ],
)
def test_the_first_line_tells_json_lines(first: bytes, code: str) -> None:
    """As documented: what is a reject further down refuses the file here, since it may as well be of another format."""
    assert fault(first + b'\n{"id": 2}\n{"id": 3}\n').code == code


def test_a_first_line_with_a_fault_inside_is_a_reject_if_an_object_follows() -> None:
    chunks = formats.chunks(BytesIO(b'{"id": 1,}\n{"id": 2}\n'), Envelope(), FieldNames(["id"]))
    assert [bytes(record) for chunk in chunks for record in chunk.records] == [b'{"id": 1,}', b'{"id": 2}']
