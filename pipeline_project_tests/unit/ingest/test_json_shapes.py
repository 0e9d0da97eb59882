"""JSON as systems really write it: each shape reads as its plain twin, and two readings refuse the file."""

import json
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.ingest.decoding import formats, limits
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.json_braces import Brace, look_at_braces
from pipeline_project.ingest.decoding.records import Envelope
from pipeline_project.sources.dialect import UNDECLARED, Dialect
from pipeline_project_tests.records import records_of
from pipeline_project_tests.unit.ingest.test_csv_shapes import NAMES

PLAIN = [{"customer_id": "R-1", "company_name": "A }{ B"}, {"customer_id": "R-2", "company_name": "C"}]
TEXTS = [json.dumps(each) for each in PLAIN]
LINES = "\n".join(TEXTS)


def read(data: bytes | str | Any, dialect: Dialect = UNDECLARED) -> tuple[list[Any], dict[int, str], Envelope]:
    text = data if isinstance(data, str | bytes) else json.dumps(data)
    envelope = Envelope()
    stream = BytesIO(text if isinstance(text, bytes) else text.encode())
    records, flaws = records_of(formats.chunks(stream, envelope, NAMES, dialect))
    return records, flaws, envelope


def refused(data: bytes | str | Any, dialect: Dialect = UNDECLARED) -> ObjectFault:
    with pytest.raises(ObjectFault) as caught:
        read(data, dialect)
    assert len(caught.value.message) < 600
    return caught.value


LOADED: dict[str, Any] = {
    "array": PLAIN,
    "lines": LINES,
    "concatenated": "".join(TEXTS),
    "concatenated with blanks": "  ".join(TEXTS) + " ",
    "concatenated and pretty-printed": "\n\n".join(json.dumps(each, indent=2) for each in PLAIN),
    "with record separators": "".join(f"\x1e{text}\n" for text in TEXTS),
    "with record separators only between": "\x1e".join(TEXTS),
    "arrays one after another": "\n".join(f"[{text}]" for text in TEXTS),
    "records": {"records": PLAIN},
    "records, and an own id": {"id": "export-7", "records": PLAIN},
    "OData": {"@odata.context": "x", "value": PLAIN},
    "an array of another name, after much else": {"meta": {"a": [1, {"b": 2}]}, "codes": [{"x": 1}], "items": PLAIN},
}


@pytest.mark.parametrize("name", LOADED)
@pytest.mark.parametrize("window", [16, 1 << 20])
def test_a_shape_reads_as_its_plain_twin(name: str, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW", window)
    assert read(LOADED[name])[:2] == (PLAIN, {})


@pytest.mark.parametrize("name", [name for name, value in LOADED.items() if isinstance(value, dict)])
def test_a_document_that_is_larger_than_a_record_reads_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW", 16)
    monkeypatch.setattr(limits, "RECORD_LIMIT", 100)
    document = {**LOADED[name]}
    array = next(key for key, value in document.items() if value is PLAIN)
    many = PLAIN * 20
    assert read({**document, array: many})[:2] == (many, {})


def test_several_objects_in_some_lines_are_read() -> None:
    text = f"{TEXTS[0]}\n{TEXTS[1]} {TEXTS[0]}\n{TEXTS[1]}\n"
    assert read(text)[:2] == (PLAIN * 2, {})
    broken = f"{TEXTS[0]}\n{TEXTS[1]}{{broken\n{TEXTS[1]}\n".encode()
    (chunk,) = formats.chunks(BytesIO(broken), Envelope(), NAMES)
    assert list(chunk.records) == broken.splitlines()


CHILD = {"id": "K-1", "name": "x"}
REFUSED: dict[str, tuple[Any, str, str]] = {
    "an envelope with an own id": (
        {"id": "list-7", "company_name": "All", "members": PLAIN},
        "ambiguous_envelope",
        'records = "members"',
    ),
    "an event with an own id": ({"id": "e-1", "detail": PLAIN[0]}, "ambiguous_envelope", 'record = "detail"'),
    "two arrays of records": ({"new": PLAIN, "old": PLAIN}, "ambiguous_envelope", "'new' and 'old'"),
    "deeper": ({"d": {"results": PLAIN}}, "records_elsewhere", 'records = "d.results"'),
    "wrapped": ({"data": PLAIN[0]}, "records_elsewhere", 'record = "data"'),
    "events in lines": (
        LINES + "\n" + json.dumps({"id": "e-3", "detail": PLAIN[0]}),
        "ambiguous_envelope",
        'record = "detail"',
    ),
    "a change feed": ([{"op": "u", "after": PLAIN[0]}, PLAIN[1]], "records_elsewhere", 'record = "after"'),
    "events, written with breaks": (
        '[{"id": "1"}, {"id": "2", "payload" :\n\n {"id": "3"}}]',
        "ambiguous_envelope",
        'record = "payload"',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_document_with_two_readings_is_refused_with_the_setting_that_decides(name: str) -> None:
    document, code, told = REFUSED[name]
    found = refused(document)
    assert (found.code, told in found.message) == (code, True), found.message


@pytest.mark.parametrize(
    "record",
    [
        {"id": "C-1", "company_name": "A", "annual_revenue": 1, "contacts": [{**CHILD, "company_name": "x"}]},
        {"id": "C-1", "company_name": "A", "data": {"id": "x"}},
        {"id": "C-1", "fields": {"note": "x"}},
        {"id": "C-1", "note": '"data": {"id": 7}'},
    ],
)
def test_a_record_with_children_stays_one_record(record: dict[str, Any]) -> None:
    assert read(record)[:2] == ([record], {})
    assert read([record, record])[:2] == ([record, record], {})


def test_an_unfinished_page_is_told() -> None:
    for more in ({"done": False}, {"nextRecordsUrl": "/x"}, {"paging": {"next": {"after": "7"}}}, {"has_more": True}):
        assert read({"records": PLAIN, **more})[2].notes.counts == {"unfinished_page": 1}
    for last in ({"done": True}, {"next": None}, {"paging": {"next": None}}, {"has_more": False}):
        assert not read({"records": PLAIN, **last})[2].notes.counts


DECLARED: dict[str, tuple[Any, Dialect]] = {
    "records": ({"id": "7", "members": PLAIN}, Dialect(records="members")),
    "deeper records": ({"d": {"__next": None, "results": PLAIN}}, Dialect(records="d.results")),
    "documents with records in lines": (
        "\n".join(json.dumps({"d": {"results": [each]}}) for each in PLAIN),
        Dialect(records="d.results"),
    ),
    "record": ([{"op": "c", "after": each} for each in PLAIN], Dialect(record="after")),
    "deeper record": ([{"a": {"b": each}} for each in PLAIN], Dialect(record="a.b")),
    "records and record": ({"x": [{"Item": each} for each in PLAIN]}, Dialect(records="x", record="Item")),
}


@pytest.mark.parametrize("name", DECLARED)
@pytest.mark.parametrize("window", [16, 1 << 20])
def test_a_declared_structure_reads_as_its_plain_twin(name: str, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW", window)
    document, dialect = DECLARED[name]
    records, flaws, _ = read(document, dialect)
    assert ([{k: v for k, v in record.items() if k != "op"} for record in records], flaws) == (PLAIN, {})


def test_outer_fields_stay_where_the_inner_record_has_none() -> None:
    event = {"id": "e-1", "time": "2024-01-01", "detail": {"id": "C-1"}}
    assert read([event], Dialect(record="detail"))[0] == [{"id": "C-1", "time": "2024-01-01"}]
    assert read(event, Dialect(records=".", record="."))[0] == [event]
    assert read([{"id": "1", "after": None}], Dialect(record="after"))[0] == [{"id": "1", "after": None}]


def test_a_declared_path_without_an_array_is_refused() -> None:
    assert refused({"d": {"x": 1}}, Dialect(records="d.results")).code == "no_records"
    assert refused({"d": 7}, Dialect(records="d.results")).code == "no_records"


@given(
    records=st.lists(
        st.fixed_dictionaries(
            {"customer_id": st.text(st.characters(codec="utf-8"), min_size=1)},
            optional={"x": st.recursive(st.text(st.characters(codec="utf-8")), st.lists)},
        ),
        min_size=2,
        max_size=8,
    ),
    between=st.sampled_from(["", " ", "\n", "\r\n", "\t", "\x1e", "\n\x1e", "\n \n"]),
    indent=st.sampled_from([None, 2]),
    window=st.integers(16, 200),
)
def test_objects_one_after_another_read_as_an_array(
    records: list[dict[str, Any]], between: str, indent: int | None, window: int
) -> None:
    text = between.join(json.dumps(each, indent=indent, ensure_ascii=False) for each in records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "WINDOW", window)
        assert read(text)[:2] == (records, {})


@given(
    before=st.text(st.sampled_from('abc{}":, \n'), max_size=300),
    word=st.sampled_from(["detail", "data", "payload", "after", "Item", "fields", "body"]),
    colon=st.sampled_from([":", ": ", " : ", ":\n", ":\t", ":\n  ", " :"]),
)
def test_no_wrapper_is_overlooked(before: str, word: str, colon: str) -> None:
    assert Brace.OF_WRAPPER in look_at_braces(f'{before}"{word}"{colon}{{"id": 1}}'.encode())
