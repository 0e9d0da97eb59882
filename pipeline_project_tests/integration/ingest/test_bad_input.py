"""Whatever is uploaded: each object has its documented answer, no run crashes or hangs, no neighbour is lost."""

import gzip
import json
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline_project.ingest.decoding import formats, streams
from pipeline_project.ingest.ledger.objects import Outcome
from pipeline_project.ingest.loading import loader as load
from pipeline_project.ingest.loading import worker
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing, ingest

GOOD = {"id": "good", "name": "Good"}


@dataclass(frozen=True)
class Case:
    """An object, and what is to become of it."""

    content: bytes
    code: str | None = None
    line: int | None = None
    column: int | None = None
    rejects: dict[int, str] = field(default_factory=dict)
    """Rules by ordinal; all other records load."""
    folder: str = "crm-data"


def records(*each: Any) -> bytes:
    return json.dumps([{**GOOD}, *each, {**GOOD}]).encode()


def envelope(metadata: Any, *each: Any, **more: Any) -> bytes:
    return json.dumps({"records": list(each) or [GOOD], "metadata": metadata, **more}).encode()


def parquet(**columns: Any) -> bytes:
    file = BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


LONG = "x" * 201
CASES = {
    # What cannot be read as a whole
    "truncated JSON": Case(b'[{"id": 1, "name": "A"},\n{"id": 2, "na', "truncated", 2, 14),
    "truncated envelope": Case(b'{"records": [{"id": 1, "name": "A"}]', "truncated", 1, 37),
    "trailing comma": Case(b'[{"id": 1, "name": "A"},\n]', "bad_json", 2, 1),
    "trailing comma in a record": Case(records().replace(b"}]", b",}]"), rejects={2: "bad_json"}),
    "words after concatenated objects": Case(b'{"id": 1, "name": "A"}{"id": 2, "name": "B"} x', "trailing_data", 1, 46),
    "concatenated objects": Case(b'{"id": 1, "name": "A"}{"id": 2, "name": "B"}'),
    "a recordCount that lies": Case(envelope({"recordCount": 3}), "count_mismatch"),
    "a recordCount that is no number": Case(envelope({"recordCount": "sNaN"}), "count_mismatch"),
    "a recordCount that is an object": Case(envelope({"recordCount": {}}), "count_mismatch"),
    "a recordCount with a NUL": Case(envelope({"recordCount": "1\0"}), "count_mismatch"),
    "only a row with a NUL in a name": Case(b'[{"id": 1, "name": "A", "x\\u0000": 1}]', "too_many_rejects", 1),
    "a recordCount as text": Case(envelope({"recordCount": "1"})),
    "no records but a count": Case(b'{"records": [], "metadata": {"recordCount": 5}}', "count_mismatch"),
    "a summary that lies": Case(envelope({}, summary={"recordCount": 7}), "count_mismatch"),
    "totals that lie": Case(
        b'{"records": [{"businessId": 1, "businessName": "A", "financials": {"annualRevenue": 0.1}},'
        b'{"businessId": 2, "businessName": "B", "financials": {"annualRevenue": 0.2}}], "summary": {"totalRevenue": 0.31}}',
        "total_mismatch",
        folder="erp-data",
    ),
    "totals that hold": Case(
        b'{"records": [{"businessId": 1, "businessName": "A", "financials": {"annualRevenue": 0.1}},'
        b'{"businessId": 2, "businessName": "B", "financials": {"annualRevenue": 0.2}}], "summary": {"totalRevenue": 0.3}}',
        folder="erp-data",
    ),
    "totals beside metrics": Case(
        b'{"records": [{"id": 1, "type": "t", "date": "2025-01-01", "value": 5}], "summary": {"totalRevenue": 5}}',
        folder="erp-data/metrics",
    ),
    "another source": Case(envelope({"sourceSystem": "erp"}), "wrong_source"),
    "another source beside the right one": Case(envelope({"sourceSystem": "crm"}, sourceSystem="erp"), "wrong_source"),
    "another source beside none": Case(envelope({"sourceSystem": None}, sourceSystem="erp"), "wrong_source"),
    "broken UTF-8 in metadata": Case(b'{"records": [{"id": 1, "name": "A"}],\n"metadata": {"by": "\xff"}}', "bad_json", 2, 13),
    "a number of many digits in metadata": Case(
        b'{"records": [{"id": 1, "name": "A"}], "metadata": {"x": ' + b"1" * 5000 + b"}}", "bad_json", 1, 51
    ),
    "a huge exponent in metadata": Case(
        b'{"records": [{"id": 1, "name": "A"}], "metadata": {"x": 1e99999999999999999999}}'
    ),
    "its own source in capitals": Case(envelope({"sourceSystem": "CRM"})),
    "metadata that is no object": Case(envelope([1, 2])),
    "blank file": Case(b" \n\n", "empty", 1, 1),
    "gzip of nothing": Case(gzip.compress(b""), "empty", 1, 1),
    "gzip of gzip": Case(gzip.compress(gzip.compress(records())), "packed_twice"),
    "truncated gzip": Case(gzip.compress(records())[:-6], "truncated"),
    "damaged gzip": Case(gzip.compress(records())[:20] + b"\xff\x00\xff", "bad_compression"),
    "zip bomb": Case(gzip.compress(b"[" + b" " * 10_000_000), "too_large"),
    "a bomb of records": Case(gzip.compress(b'[{"id":1,"name":"A"}' + b',{"id":1,"name":"A"}' * 100_000 + b"]"), "too_large"),
    "a Parquet bomb": Case(
        parquet(
            id=pa.array(range(1000)),
            name=pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), ["x" * 100_000]),
        ),
        "too_large",
    ),
    "a spreadsheet": Case(b"PK\x03\x04" + b"\0" * 100, "bad_archive"),
    "a picture": Case(b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "bad_encoding", 1, 1),
    "random bytes": Case(bytes(range(1, 256)), "bad_encoding", 2),
    "two records fields": Case(b'{"records": [{"id": 1, "name": "A"}], "records": []}', "bad_json", 1, 50),
    "records that are none": Case(b'{"records": null}', "too_many_rejects", 1),
    "UTF-16": Case('[{"id": "good", "name": "Zoë"}]'.encode("utf-16")),
    "UTF-8 with a byte-order mark": Case(b"\xef\xbb\xbf" + records()),
    "UTF-16 cut in two": Case("[1]".encode("utf-16")[:-1], "bad_encoding"),
    "Latin-1": Case('id;name\n1;A\n2;Müller\n'.encode("latin-1"), "bad_encoding", 3, 4),
    "a CSV that does not close a quote": Case(b'id,name\n1,A\n2,"B\n3,C\n', "bad_csv", 3, 1),
    "a CSV that names a field twice": Case(b"id,name,name\n1,2,3\n", "duplicate_column", 1, 1),
    "deep nesting": Case(b"[" * 200_000, "truncated"),
    "deep nesting of objects": Case(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested_too_deeply", 1),
    "damaged Parquet": Case(parquet(id=[1, 2], name=["A", "B"])[:-9], "bad_parquet"),
    "more bad rows than good": Case(records({}, {}, {}), "too_many_rejects", 1),
    # What is wrong with single rows
    "NaN": Case(b'[{"id": 1, "name": "A"},{"id": 2, "name": "B", "revenue": NaN}]', rejects={2: "bad_json"}),
    "Infinity": Case(b'[{"id": 1, "name": "A"},{"id": 2, "name": "B", "x": -Infinity}]', rejects={2: "bad_json"}),
    "lone surrogate": Case(b'[{"id": 1, "name": "A"},{"id": 2, "name": "\\ud83d"}]', rejects={2: "bad_json"}),
    "NUL": Case(records({"id": 2, "name": "a\0b"}), rejects={2: "nul_character"}),
    "NUL in an id": Case(records({"id": "a\0b", "name": "A"}), rejects={2: "nul_character"}),
    "NUL in an attribute": Case(records({"id": 2, "name": "A", "x": {"y\0": ["\0"]}}), rejects={2: "nul_character"}),
    "NUL in a name": Case(records({"id": 2, "name": "A", "x\0": 1}), rejects={2: "nul_character"}),
    "NUL in a CSV": Case(b"id,name\n1,A\n2,\0\n3,C\n", rejects={2: "nul_character"}),
    "broken UTF-8": Case(b'{"id": 1, "name": "A"}\n{"id": 2, "name": "\xff"}\n', rejects={2: "bad_encoding"}),
    "beyond 64 bits": Case(
        b'[{"id": 98765432109876543210, "name": "A", "x": 98765432109876543210},'
        b' {"id": 2, "name": "B", "employees": 98765432109876543210}]',
        rejects={2: "less_than_equal"},
    ),
    "a number of megabytes": Case(
        b'[{"id": 1, "name": "A", "x": 1e999999999}, {"id": 2, "name": "B"}]', rejects={1: "number_too_large"}
    ),
    "exponents that nothing holds": Case(
        b'[{"id": 1, "name": "A"}, {"id": 2, "name": "B", "x": 1e99999999999999999999}, {"id": 3, "name": "C"},'
        b' {"id": 4, "name": "D", "revenue": 1e-99999999999999999999}, {"id": 5, "name": "E"}]',
        rejects={2: "number_too_large", 4: "number_too_large"},
    ),
    "a fraction without end": Case(
        b'[{"id": 1, "name": "A", "x": 0.' + b"1" * 4_000 + b'}, {"id": 2, "name": "B", "x": 0.' + b"1" * 20_000 + b"}]",
        rejects={2: "number_too_large"},
    ),
    "nested too deeply": Case(
        b'[{"id": 1, "name": "A", "x": ' + b"[" * 500 + b"]" * 500 + b'}, {"id": 2, "name": "B"}]',
        rejects={1: "nested_too_deeply"},
    ),
    "ids as number and text": Case(records({"id": 7, "name": "A"}, {"id": "7", "name": "A"})),
    "an id that is too long": Case(records({"id": LONG, "name": "A"}), rejects={2: "string_too_long"}),
    "the longest ids": Case(records({"id": "🙂" * 200, "name": "A"})),
    "dates of somewhere": Case(
        records(*({"id": 2, "name": "A", "updated_at": day} for day in ("31/12/2024", "99999-01-01"))),
        rejects={2: "datetime_from_date_parsing", 3: "datetime_from_date_parsing"},
    ),
    "times of no year, and of far zones": Case(
        records(
            *({"id": 2, "name": "A", "updated_at": time} for time in ("0001-01-01T00:00:00+01:00", "2024-01-01T00:00:00+23:59"))
        ),
        rejects={2: "time_out_of_range"},
    ),
    "days without hyphens, and days of spreadsheets": Case(
        records(*({"id": 2, "name": "A", "updated_at": day} for day in (20240102, "20240102", 2024, 45678, 202401021530))),
        "too_many_rejects",
    ),
    "half of a time, and true for a number": Case(
        records({"id": 2, "name": "A", "first_order_date": "2024-01-02 99:99"}, {"id": 3, "name": "A", "employee_count": True}),
        rejects={2: "not_a_day", 3: "not_a_plain_number"},
    ),
    "a date in the future": Case(records({"id": 2, "name": "A", "updated_at": "2099-01-01"}), rejects={2: "in_future"}),
    "numbers with separators": Case(
        records(*({"id": 2, "name": "A", "revenue": number} for number in ("1,234.50", "1.234,50"))),
        rejects={2: "not_a_plain_number", 3: "not_a_plain_number"},
    ),
    "ragged rows": Case(b"id,name\n1,A\n2\n3,C\n4,D,x\n5,E\n", rejects={2: "ragged_row", 4: "ragged_row"}),
    "Parquet with nested columns": Case(parquet(id=[1, 2], name=["A", "B"], address=[{"city": "X", "tags": ["a"]}, None])),
    "records that are no objects": Case(
        b'[{"id": 1, "name": "A"}, 7, "x", null, [],'
        b' {"id": 2, "name": "B"}, {"id": 3, "name": "C"}, {"id": 4, "name": "D"}]',
        rejects={2: "not_an_object", 3: "not_an_object", 4: "not_an_object", 5: "not_an_object"}),
    "lines of which the second is no JSON": Case(
        b'{"id": 1, "name": "A"}\nGARBAGE\n{"id": 3, "name": "C"}\n', rejects={2: "bad_json"}
    ),
    "lines of which the second is null": Case(
        b'{"id": 1, "name": "A"}\n\nnull\n{"id": 3, "name": "C"}\n', rejects={2: "not_an_object"}
    ),
    # What looks strange, and loads
    "one object": Case(json.dumps(GOOD).encode()),
    "duplicate keys": Case(b'[{"id": 1, "name": "A", "name": "B"}]'),
    "an empty array": Case(b"[]"),
    "no records": Case(b'{"records": []}'),
    "separators of Unicode": Case(records({"id": 2, "name": "a\u2028b\u0085c"})),
    "separators of Unicode in a CSV": Case("id,name\n1,a\u2028b\x0cc\n2,d\n".encode()),
    "what COPY escapes": Case(records({"id": "n\\N", "name": "\\.", "x": "\\t\t\r\n\\"}, {"id": "a\tb\nc", "name": "\t.\n"})),
    # Other datasets
    "bad relationships": Case(
        b'[{"parent_id": 1, "child_id": 2, "type": "owns"}, {"parent_id": 1, "child_id": 2},'
        b'{"parent_id": "a\\u0000", "child_id": 2, "type": "x"},'
        b'{"parent_id": 1, "child_id": 3, "type": "owns", "valid_from": "2025-01-01", "valid_to": "2024-01-01"},'
        b'{"parent_id": 1, "child_id": 4, "type": "owns"}, {"parent_id": 1, "child_id": 5, "type": "owns"}]',
        rejects={2: "missing", 3: "nul_character", 4: "before_start"},
        folder="crm-data/relationships",
    ),
    "bad metrics": Case(
        json.dumps(
            [
                {"id": 1, "type": "t", "date": "2025-01-01", "value": 1, "quality": 1e-60, "tags": ["a"]},
                {"id": 1, "type": "t", "date": "1066-10-14", "value": 1},
                {"id": 1, "type": "t", "date": "2025-01-02"},
                {"id": 1, "type": "t", "date": "2025-01-03", "value": 1, "tags": {"x": [1, None]}, "more": 1},
                {"id": 1, "type": "t", "date": "2025-01-04", "value": "1,5"},
                {"id": 1, "type": "t", "date": "2025-01-05", "value": -1.5, "quality": 0.123456789},
            ]
        ).encode(),
        rejects={2: "greater_than_equal", 3: "missing", 5: "not_a_plain_number"},
        folder="crm-data/metrics",
    ),
}  # fmt: skip


def rejected(database: FreshDatabase) -> dict[str, dict[int, str]]:
    with psycopg.connect(database.admin) as connection:
        found: dict[str, dict[int, str]] = {}
        for key, ordinal, rule in connection.execute(
            "SELECT key, ordinal, errors -> 0 ->> 'rule' FROM ingest.rejects JOIN ingest.objects USING (object_id)"
        ):
            found.setdefault(key, {})[ordinal] = rule
        return found


Answer = tuple[str, str | None, int | None, int | None, dict[int, str]]


def expected(case: Case) -> Answer:
    state = "failed" if case.code else "loaded_with_rejects" if case.rejects else "loaded"
    return (state, case.code, case.line, case.column, case.rejects)


def found(case: Case, outcome: Outcome, rejects: dict[int, str]) -> Answer:
    fault = outcome.fault
    if fault is None:
        counted = outcome.inserted + outcome.updated + outcome.unchanged + outcome.stale + outcome.rejected
        # A reject is of a record, or of values without which a record was loaded.
        assert outcome.records == counted
        assert outcome.rejected <= len(rejects) <= outcome.rejected + outcome.fields_unread
        return (outcome.state, None, None, None, rejects)
    assert outcome.inserted == outcome.updated == outcome.unchanged == outcome.stale == 0
    assert len(fault.message) < 600
    line, column = (None if case.line is None else fault.line, None if case.column is None else fault.column)
    return (outcome.state, fault.code, line, column, {})


@pytest.mark.parametrize("together", [True, False])
def test_each_object_has_its_answer_and_no_neighbour_is_lost(
    database: FreshDatabase, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BOMB_FLOOR", 1_000_000)
    if not together:
        monkeypatch.setattr(worker, "SMALL", 0)
    landing = Landing()
    seen = []
    for number, (name, case) in enumerate(CASES.items()):
        seen.append(landing.put(f"{case.folder}/{name}", case.content, second=10))
        seen.append(
            landing.put(f"crm-data/neighbour {number}", [{"id": f"neighbour {number}", "name": "N"}], second=10)
        )
    outcomes = ingest(database.loader, landing, *seen)
    assert len(outcomes) == len(seen)
    rejects = rejected(database)
    answers = {}
    for name, case in CASES.items():
        key = f"{case.folder}/{name}"
        answers[name] = found(case, outcomes[key], rejects.get(key, {}))
    assert answers == {name: expected(case) for name, case in CASES.items()}
    for number in range(len(CASES)):
        assert outcomes[f"crm-data/neighbour {number}"].inserted == 1
    with psycopg.connect(database.admin) as connection:
        assert connection.execute("SELECT count(*) FROM canonical.entities WHERE name = 'N'").fetchone() == (
            len(CASES),
        )
        assert connection.execute(
            "SELECT count(*) FROM ingest.objects WHERE state IN ('claimed', 'discovered')"
        ).fetchone() == (0,)
        told = connection.execute("""
            SELECT key, ordinal, line, e ->> 'field', e ->> 'message'
            FROM ingest.rejects JOIN ingest.objects USING (object_id), jsonb_array_elements(errors) e""").fetchall()
        stored = dict(connection.execute("SELECT source_id, name FROM canonical.entities").fetchall())
    # Each reject names object, row, line, field (unless it is the record as a whole) and what to do.
    assert all(key and ordinal and line and message for key, ordinal, line, _, message in told)
    dates = [each for each in told if each[0] == "crm-data/dates of somewhere"]
    assert [(ordinal, field) for _, ordinal, _, field, _ in sorted(dates)] == [(2, "updated_at"), (3, "updated_at")]
    assert all("write a time as 2024-12-31T23:59:59Z" in message for *_, message in dates)
    nul = {(field, message) for key, *_, field, message in told if "/NUL" in key}
    assert nul == {(field, "holds a NUL character (\\u0000): remove it") for field in ("name", "id", "x", "x\ufffd")}
    # Letter for letter, whatever COPY makes of backslashes.
    assert stored["n\\N"] == "\\."
    assert stored["a\tb\nc"] == "."
    assert stored["🙂" * 200] == "A"


def test_odd_keys_are_loaded(database: FreshDatabase) -> None:
    landing = Landing()
    names = [
        "a+b",
        "100%",
        "a b",
        "ünïcödé 🙂",
        "../up",
        "new\nline",
        "\x01",
        "%2B",
        "a//b",
        "'; DROP TABLE x",
        "x" * 1000,
    ]
    outcomes = ingest(
        database.loader,
        landing,
        *(landing.put(f"crm-data/{name}", [{"id": name[:200], "name": "A"}]) for name in names),
    )
    assert {outcome.state for outcome in outcomes.values()} == {"loaded"}
    assert set(outcomes) == {f"crm-data/{name}" for name in names}


def test_a_fault_that_nobody_thought_of_fails_its_object_alone(
    database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise one object would stop its neighbours in each run, for ever."""
    usual = formats.chunks

    def chunks(stream: Any, *arguments: Any) -> Any:
        data = stream.read(100_000)
        if b"poison" in data:
            raise ZeroDivisionError
        return usual(BytesIO(data), *arguments)

    monkeypatch.setattr(worker, "chunks", chunks)
    landing = Landing()
    seen = [landing.put(f"crm-data/{name}", [{"id": name, "name": "A"}]) for name in ("a", "poison", "b")]
    outcomes = ingest(database.loader, landing, *seen)
    assert [outcomes[each.key].state for each in seen] == ["loaded", "failed", "loaded"]
    fault = outcomes["crm-data/poison"].fault
    assert fault is not None
    assert fault.code == "internal_error"


def test_small_packed_objects_do_not_add_up_in_memory(database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded together is in memory together: that is bounded by what it unpacks to."""
    monkeypatch.setattr(load, "TOGETHER_UNPACKED", 200_000)
    landing = Landing()
    seen = []
    for number in range(5):
        rows = [{"id": f"{number} {row}", "name": "A" * 1000} for row in range(90)]
        seen.append(landing.put(f"crm-data/{number}", gzip.compress(json.dumps(rows).encode())))
    outcomes = ingest(database.loader, landing, *seen)
    assert {(outcome.state, outcome.inserted) for outcome in outcomes.values()} == {("loaded", 90)}
    assert landing.gets == 5 + 3  # two at once, the others by themselves


@pytest.mark.slow
def test_a_record_of_100_megabytes_is_a_reject_and_its_neighbours_load(database: FreshDatabase) -> None:
    landing = Landing()
    large = b'{"id": 2, "name": "' + b"x" * 100_000_000 + b'"}'
    good = [b'{"id": 1, "name": "A"}', b'{"id": 3, "name": "C"}', b'{"id": 4, "name": "D"}']
    rows = [good[0], large, *good[1:]]
    outcomes = ingest(
        database.loader,
        landing,
        landing.put("crm-data/array", b"[" + b",\n".join(rows) + b"]"),
        landing.put("crm-data/lines", b"\n".join(rows)),
        landing.put("crm-data/envelope", b'{"records": [' + b",\n".join(rows) + b'], "metadata": {"recordCount": 4}}'),
        landing.put("crm-data/packed", gzip.compress(b"[" + b",\n".join([*rows, *good]) + b"]", 1)),
        landing.put("crm-data/alone", large),
    )
    for key in ("array", "lines", "envelope"):
        assert (outcomes[f"crm-data/{key}"].state, outcomes[f"crm-data/{key}"].rejected) == ("loaded_with_rejects", 1)
    assert rejected(database)["crm-data/array"] == {2: "too_large"}
    for key in ("packed", "alone"):  # the one is taken for a bomb
        fault = outcomes[f"crm-data/{key}"].fault
        assert fault is not None
        assert fault.code == "too_large"
