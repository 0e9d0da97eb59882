"""From a record's text to a row or to what is wrong with it: one answer for each oddity."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.datasets.registry import datasets
from pipeline_project.ingest.mapping.rows import Bad, Row
from pipeline_project_tests.mapped import NOW, columns, errors, mapped, rules

# --- ids


@pytest.mark.parametrize("spelled", [7, "7", " 7 "])
def test_7_and_text_7_are_the_same_id(spelled: Any) -> None:
    row = mapped({"id": spelled, "name": "A"})
    assert columns(row)["canonical_id"] == "legacy_7"
    assert isinstance(row, Row)
    assert row.key == "legacy_7"


def test_an_id_beyond_64_bits_keeps_its_digits() -> None:
    assert columns(mapped(b'{"id": 123456789012345678901234567890, "name": "A"}'))["canonical_id"].endswith(
        "901234567890"
    )


@pytest.mark.parametrize(
    ("source_id", "rule"),
    [
        ("x" * 201, "string_too_long"),
        ("", "missing"),
        ("  ", "missing"),
        (None, "missing"),
        (True, "string_type"),
        ([1], "string_type"),
        ("a\0b", "nul_character"),
    ],
)
def test_ids_that_are_none(source_id: Any, rule: str) -> None:
    row = mapped({"id": source_id, "name": "A"})
    assert rules(row) == [("id", rule)]
    assert isinstance(row, Bad)
    assert row.key is None


def test_a_long_id_of_wide_letters_is_taken() -> None:
    """200 letters of four bytes: within an entry of an index."""
    assert columns(mapped({"id": "🙂" * 200, "name": "A"}))["canonical_id"] == "legacy_" + "🙂" * 200


# --- JSON subtleties


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (b'{"id": 1, "name": "A",}', "bad_json"),
        (b'{"id": 1, "name": NaN}', "bad_json"),
        (b'{"id": 1, "x": Infinity}', "bad_json"),
        (b'{"id": 1, "x": -Infinity}', "bad_json"),
        (b'{"id": 01, "name": "A"}', "bad_json"),
        (b"{'id': 1}", "bad_json"),
        (b'{"id": 1, "name": "\\ud800"}', "bad_json"),
        (b'{"id": 1, "name": "\\ud800x"}', "bad_json"),
        (b'{"id": 1, "name": "\\udc00"}', "bad_json"),
        (b'{"id": 1, "name": "a\x00b"}', "bad_json"),
        (b'{"id": 1, "name": "a\nb"}', "bad_json"),
        (b'{"id": 1, "name": "M\xfcller"}', "bad_encoding"),
        (b'{"id": 1, "name": "\xed\xa0\x80"}', "bad_encoding"),
        (b"[1, 2]", "not_an_object"),
        (b"null", "not_an_object"),
        (b"7", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b'{"id": 1, "name": "A", "x": ' + b"[" * 101 + b"]" * 101 + b"}", "nested_too_deeply"),
        (b'{"id": 1, "name": "A", "x": ' + b'{"a":' * 700 + b"1" + b"}" * 700 + b"}", "nested_too_deeply"),
        (b'{"id": 1, "name": "A", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested_too_deeply"),
    ],
)
def test_records_that_are_no_records(raw: bytes, rule: str) -> None:
    for dataset in datasets():
        assert rules(mapped(raw, dataset=dataset)) == [("", rule)]


@pytest.mark.parametrize(
    ("name", "half"),
    [
        (rb"\ud800", rb"\ud800"),
        (rb"\uD83Dx", rb"\uD83D"),
        (rb"\udc00 and \u00e4", rb"\udc00"),
        (rb"\ud800\u0041", rb"\ud800"),
        (rb"\ud83d\ude00 \\ \n\ud800\ud800", rb"\ud800"),
        (rb"\\ud800 \\\udfff", rb"\udfff"),
    ],
)
def test_half_a_character_is_called_by_its_name(name: bytes, half: bytes) -> None:
    """The decoder says "Input data was truncated" where it stands near the end."""
    for rest in (b"}", b', "note": "a text that goes on and on"}'):
        row = mapped(b'{"id": 1, "name": "' + name + b'"' + rest)
        assert rules(row) == [("", "bad_json")]
        assert isinstance(row, Bad)
        assert f"half a character ({half.decode()}, a lone surrogate)" in row.errors[0].message


def test_a_record_that_ends_too_early_is_called_truncated() -> None:
    for raw in (rb'{"id": 1, "name": "\\ud800', rb'{"id": 1, "name": "\ud83d\ude00'):
        row = mapped(raw)
        assert isinstance(row, Bad)
        assert row.errors[0].message == "not valid JSON: Input data was truncated"


def test_of_duplicate_keys_the_last_counts() -> None:
    assert columns(mapped(b'{"id": 1, "name": "A", "name": "B"}'))["name"] == "B"


def test_nesting_up_to_the_limit_is_kept() -> None:
    deep = "[" * 99 + "]" * 99
    assert json.loads(columns(mapped(f'{{"id": 1, "name": "A", "x": {deep}}}'.encode()))["attributes"]) == {
        "x": json.loads(deep)
    }
    wide = [[]] * 500
    assert json.loads(columns(mapped({"id": 1, "name": "A", "x": wide}))["attributes"]) == {"x": wide}


@pytest.mark.parametrize(
    "field", [{"name": "a\0b"}, {"note": "\0"}, {"x": [{"y": "\0"}]}, {"x\0": 1}, {"x": {"\0": 1}}, {"industry": "\0"}]
)
def test_nul_characters_are_a_reject(field: dict[str, Any]) -> None:
    row = mapped({"id": 1, "name": "A", **field})
    assert [rule for _, rule in rules(row)] == ["nul_character"]
    assert isinstance(row, Bad)
    assert row.key == "legacy_1"


def test_nul_characters_in_the_keys_of_other_datasets_are_a_reject() -> None:
    assert (
        rules(mapped({"parent_id": "a\0", "child_id": 2, "type": "owns"}, dataset="relationships"))[0][1]
        == "nul_character"
    )
    assert (
        rules(mapped({"parent_id": 1, "child_id": 2, "type": "ow\0ns"}, dataset="relationships"))[0][1]
        == "nul_character"
    )
    assert (
        rules(mapped({"id": "a\0", "type": "x", "date": "2025-01-01", "value": 1}, dataset="metrics"))[0][1]
        == "nul_character"
    )


def test_a_backslash_before_u0000_is_text() -> None:
    assert columns(mapped({"id": 1, "name": "a\\u0000", "x": "\\u0000"}))["name"] == "a\\u0000"


# --- numbers


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("1200.50", "1200.5"),
        ('"1200.50"', "1200.5"),
        ("1200", "1200"),
        ("1.2e3", "1200"),
        ("0.10", "0.1"),
        ("0", "0"),
        ("-0", "0"),
        ("1000000000000000000", "1000000000000000000"),
        ('""', ""),
        ('"  "', ""),
        ("null", ""),
    ],
)
def test_money_is_decimal_and_has_one_spelling(sent: str, stored: str) -> None:
    assert columns(mapped(f'{{"id": 1, "name": "A", "revenue": {sent}}}'.encode()))["revenue"] == stored


@pytest.mark.parametrize(
    "sent",
    [
        '"1,234.50"', '"1.234,50"', '"1 234"', '"1\'234"', '"1_234"', '"€5"', '"12 EUR"', '"Infinity"', '"-1"', "-1",
        "1e400", "1e5000000000", "1e19", "1e-21", "[1]", "true", "false", '{"a": 1}', '"0x10"', '"one"',
    ],
)  # fmt: skip
def test_what_is_no_amount(sent: str) -> None:
    row = mapped(f'{{"id": 1, "name": "A", "revenue": {sent}}}'.encode())
    assert [field for field, _ in rules(row)] == ["revenue"]
    assert row.key == "legacy_1"


@pytest.mark.parametrize(
    "sent", ["1.5", '"1,000"', '"1_000"', "-1", "9007199254740993", "1e30", '"ten"', "true", "false"]
)
def test_what_is_no_count(sent: str) -> None:
    assert [field for field, _ in rules(mapped(f'{{"id": 1, "name": "A", "employees": {sent}}}'.encode()))] == [
        "employees"
    ]


@pytest.mark.parametrize(
    ("sent", "stored"), [("10", "10"), ('"10"', "10"), ("10.0", "10"), ("1e3", "1000"), ('"10.0"', "10")]
)
def test_what_is_a_count(sent: str, stored: str) -> None:
    assert columns(mapped(f'{{"id": 1, "name": "A", "employees": {sent}}}'.encode()))["employees"] == stored


def test_attributes_keep_numbers_digit_for_digit() -> None:
    row = mapped(b'{"id": 1, "name": "A", "x": 0.1000000000000000055511151231257827, "y": 12345678901234567890123}')
    assert columns(row)["attributes"] == '{"x":0.1000000000000000055511151231257827,"y":12345678901234567890123}'


@pytest.mark.parametrize("number", ["1e301", "1e-301", "1e999999999", "1" * 400, "1" * 5000, "-1e400"])
def test_numbers_that_would_fill_megabytes_are_a_reject(number: str) -> None:
    for sent in (number, f'[{{"a": {number}}}]'):
        found = rules(mapped(f'{{"id": 1, "name": "A", "x": {sent}}}'.encode()))
        assert found in ([("x", "number_too_large")], [("", "bad_json")])
        metric = f'{{"id": 1, "type": "t", "date": "2025-01-01", "value": 1, "tags": {{"x": {sent}}}}}'
        assert rules(mapped(metric.encode(), dataset="metrics")) in ([("tags", "number_too_large")], [("", "bad_json")])


# --- dates


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2025-01-01", "2025-01-01T00:00:00+00:00"),
        ("2025-01-01T10:00:00", "2025-01-01T10:00:00+00:00"),
        ("2025-01-01 10:00:00", "2025-01-01T10:00:00+00:00"),
        ("2025-01-01T10:00:00Z", "2025-01-01T10:00:00+00:00"),
        ("2025-01-01T10:00:00.123456789Z", "2025-01-01T10:00:00.123456+00:00"),
        ("2025-01-01T10:00:00+02:00", "2025-01-01T08:00:00+00:00"),
        ("2025-01-01T10:00:00+0200", "2025-01-01T08:00:00+00:00"),
        (1735725600, "2025-01-01T10:00:00+00:00"),
        (1735725600000, "2025-01-01T10:00:00+00:00"),
        ("1735725600", "2025-01-01T10:00:00+00:00"),
        (" 1735725600 ", "2025-01-01T10:00:00+00:00"),
        ("1735725600000", "2025-01-01T10:00:00+00:00"),
        (1735725600.25, "2025-01-01T10:00:00.250000+00:00"),
        ("1735725600.25", "2025-01-01T10:00:00.250000+00:00"),
        (631152000, "1990-01-01T00:00:00+00:00"),
        (631152000000, "1990-01-01T00:00:00+00:00"),
        (" 2025-01-01T10:00:00Z ", "2025-01-01T10:00:00+00:00"),
        ("2025-01-11T11:00:00Z", "2025-01-11T11:00:00+00:00"),  # less than a day ahead: clocks differ
        (None, NOW.isoformat()),
        ("", NOW.isoformat()),
        (" ", NOW.isoformat()),
    ],
)
def test_times_of_update(sent: Any, stored: str) -> None:
    row = mapped({"id": 1, "name": "A", "updated_at": sent})
    assert isinstance(row, Row)
    assert row.updated_at == datetime.fromisoformat(stored)
    assert datetime.fromisoformat(columns(row)["source_updated_at"]) == row.updated_at


@pytest.mark.parametrize(
    "sent",
    ["31/12/2024", "12/31/2024", "31.12.2024", "99999-01-01", "99999-01-01T00:00:00Z", "2024-02-30", "0000-01-01", "yesterday",
     [2024], True, "2025-13-01"],
)  # fmt: skip
def test_what_is_no_time(sent: Any) -> None:
    row = mapped({"id": 1, "name": "A", "updated_at": sent})
    assert [field for field, _ in rules(row)] == ["updated_at"]
    assert isinstance(row, Bad)
    assert row.updated_at == NOW


@pytest.mark.parametrize(
    "sent",
    [
        *(b"20260102", b'"20260102"', b"2026", b'" 2026 "', b"45678", b"45678.5", b"202601021530", b"20260102153000"),
        *(b"0", b"-1", b"-1735725600", b'"-1735725600"', b"631151999", b"4102444801", b"631151999999", b"4102444800001"),
        *(b"1735725600123456", b"1735725600123456789", b'"1735725600123456789"', b"1e9999", b'"1e9999"', b"1" * 400, b'".5e1"'),
    ],
)  # fmt: skip
def test_a_number_that_can_hardly_be_a_unix_time_is_none(sent: bytes) -> None:
    """A day without hyphens, a year, a spreadsheet's day, nanoseconds: as Unix times they would lie in 1970 or nowhere."""
    row = mapped(b'{"id": 1, "name": "A", "updated_at": ' + sent + b"}")
    assert rules(row) == [("updated_at", "not_a_time")]
    assert isinstance(row, Bad)
    assert "write a time as 2024-12-31T23:59:59Z" in row.errors[0].message
    assert row.updated_at == NOW


@pytest.mark.parametrize("sent", ["20260102T101500Z", "20260102T101500", "20260102T10:15:00Z"])
def test_a_time_without_hyphens_is_told_how_to_be_written(sent: str) -> None:
    row = mapped({"id": 1, "name": "A", "updated_at": sent})
    assert isinstance(row, Bad)
    assert "write a time as 2024-12-31T23:59:59Z" in row.errors[0].message


@given(
    sent=st.from_regex(r"[ +-]?[0-9._]{1,20}([eE][+-]?[0-9]{1,3})?[ ]?", fullmatch=True) | st.integers() | st.floats()
)
def test_no_number_is_a_time_of_another_age(sent: Any) -> None:
    row = mapped({"id": 1, "name": "A", "updated_at": sent})
    if isinstance(row, Row):
        assert row.updated_at == NOW or row.updated_at.year >= 1990


def test_a_bad_row_is_at_the_time_of_its_object_if_its_own_is_none() -> None:
    row = mapped({"id": 1, "name": "A", "revenue": -1, "updated_at": "20240102"})
    assert isinstance(row, Bad)
    assert row.updated_at == NOW


@pytest.mark.parametrize("sent", ["2025-01-12T00:00:00Z", "9999-12-31T23:59:59+14:00", "2031-01-01"])
def test_a_time_in_the_future_is_a_reject_at_the_time_of_its_object(sent: str) -> None:
    """At its own time it could not be superseded by the mended row."""
    row = mapped({"id": 1, "name": "A", "updated_at": sent})
    assert rules(row) == [("updated_at", "in_future")]
    assert isinstance(row, Bad)
    assert row.updated_at == NOW


@pytest.mark.parametrize("sent", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_utc_does_not_have_is_a_reject(sent: str) -> None:
    row = mapped({"id": 1, "name": "A", "updated_at": sent})
    assert rules(row) == [("updated_at", "time_out_of_range")]
    assert isinstance(row, Bad)
    assert row.updated_at == NOW


@pytest.mark.parametrize("sent", ["2024-01-01T00:00:00+23:59", "2023-12-31T00:01:00", "2023-12-31T00:01:00Z"])
def test_any_offset_is_understood(sent: str) -> None:
    """PostgreSQL itself takes none beyond 16 hours."""
    row = mapped({"id": 1, "name": "A", "updated_at": sent})
    assert isinstance(row, Row)
    assert "2023-12-31T00:01:00+00:00" in row.line


def test_a_bad_row_keeps_its_time_and_key() -> None:
    row = mapped({"id": 1, "updated_at": "2025-01-05T00:00:00"})
    assert isinstance(row, Bad)
    assert (row.key, row.updated_at) == ("legacy_1", datetime(2025, 1, 5, tzinfo=UTC))


@pytest.mark.parametrize("day", ["31/12/2024", "99999-01-01", "1899-12-31", "2201-01-01", "2024-02-30", ""])
def test_days_that_are_none_or_out_of_reach(day: str) -> None:
    row = mapped({"id": 1, "type": "t", "date": day, "value": 1}, dataset="metrics")
    assert [field for field, _ in rules(row)] in (["date"], ["metric_date"])


@pytest.mark.parametrize("day", ["1899-12-31", "2201-01-01"])
def test_the_bounds_of_a_day_are_told_as_days(day: str) -> None:
    row = mapped({"id": 1, "type": "t", "date": day, "value": 1}, dataset="metrics")
    assert isinstance(row, Bad)
    assert row.errors[0].message.split(" to ")[1] in ("1900-01-01", "2200-12-31")


@pytest.mark.parametrize("tags", ["a,b", 7, True])
def test_what_are_no_tags(tags: Any) -> None:
    row = mapped({"id": 1, "type": "t", "date": "2025-01-01", "value": 1, "tags": tags}, dataset="metrics")
    assert rules(row) == [("tags", "not_an_object_or_array")]


@pytest.mark.parametrize(
    "day",
    [
        *("2025-01-31", "2025-01-31T10:00:00Z", "2025-01-31 10:00", "2025-01-31T23:59:59.123456-05:00", " 2025-01-31 "),
        *("2025-01-31T00:00:00", "2025-01-31 23:00:00+02:00"),
    ],
)
def test_days(day: str) -> None:
    row = mapped({"id": 1, "type": "t", "date": day, "value": 1}, dataset="metrics")
    assert columns(row, dataset="metrics")["metric_date"] == "2025-01-31"


@pytest.mark.parametrize(
    "day",
    [
        *("2024-01-02Tgarbage", "2024-01-02 99:99", "2024-01-02T", "2024-01-02T10:00:00Z or so", "2024-01-02x", "2024-01-02 x"),
        *(0, 86400, 20260102, 1735725600, 45678.0, "0", "86400", "20260102", "1735689600", "1735689600000", "-86400"),
    ],
)  # fmt: skip
def test_what_is_no_day_is_told_how_to_write_one(day: Any) -> None:
    relationship = {"parent_id": 1, "child_id": 2, "type": "owns"}
    for row, field in (
        (mapped({"id": 1, "type": "t", "date": day, "value": 1}, dataset="metrics"), "date"),
        (mapped({"id": 1, "name": "A", "first_order_date": day}, "crm"), "first_order_date"),
        (mapped({**relationship, "valid_from": day}, dataset="relationships"), "valid_from"),
        (mapped({**relationship, "valid_to": day}, dataset="relationships"), "valid_to"),
    ):
        assert rules(row) == [(field, "not_a_day")]
        assert errors(row)[0].message.endswith("write a day as 2024-12-31")


@pytest.mark.parametrize("field", ["value", "quality"])
def test_true_is_no_number_of_a_metric(field: str) -> None:
    row = mapped({"id": 1, "type": "t", "date": "2025-01-01", "value": 1, field: True}, dataset="metrics")
    assert rules(row) == [(field, "not_a_plain_number")]


# --- what is kept


def test_every_field_is_kept() -> None:
    row = mapped({"customer_id": 1, "company_name": "A", "name": "B", "x": {"y": [1, None]}, "id": 9}, "crm")
    assert columns(row, "crm")["name"] == "A"
    assert json.loads(columns(row, "crm")["attributes"]) == {"id": 9, "name": "B", "x": {"y": [1, None]}}


def test_of_a_nested_object_the_rest_is_kept() -> None:
    record = {
        "businessId": 1,
        "businessName": "A",
        "financials": {"annualRevenue": 5, "currency": "EUR"},
        "hrData": {"employeeCount": 3},
    }
    row = columns(mapped(record, "erp"), "erp")
    assert (row["revenue"], row["employees"], json.loads(row["attributes"])) == (
        "5",
        "3",
        {"financials": {"currency": "EUR"}},
    )


def test_of_an_end_with_two_ids_the_one_that_does_not_count_is_kept() -> None:
    record = {
        "parent_canonical_id": "erp_1",
        "parent_id": 7,
        "child_canonical_id": "erp_2",
        "type": "owns",
        "share": 0.5,
    }
    row = columns(mapped(record, dataset="relationships"), dataset="relationships")
    assert (row["parent_canonical_id"], json.loads(row["attributes"])) == ("erp_1", {"parent_id": "7", "share": 0.5})
    row = columns(
        mapped({**record, "parent_id": " ", "child_id": "8"}, dataset="relationships"), dataset="relationships"
    )
    assert (row["child_canonical_id"], json.loads(row["attributes"])) == ("erp_2", {"child_id": "8", "share": 0.5})


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_a_blank_in_a_nested_object_counts_as_not_sent(empty: Any) -> None:
    row = columns(
        mapped({"businessId": 1, "businessName": "A", "financials": {"annualRevenue": empty}, "revenue": 7}, "erp"),
        "erp",
    )
    assert row["revenue"] in ("", "7")


def test_all_errors_of_a_row_are_told() -> None:
    assert {field for field, _ in rules(mapped({"id": 1, "revenue": -1, "employees": "x"}))} >= {"revenue", "employees"}


@pytest.mark.parametrize(
    "field", [{"_deleted": True}, {"status": "deleted"}, {"status": "Deleted"}, {"_deleted": "true"}]
)
def test_a_tombstone_needs_no_name(field: dict[str, Any]) -> None:
    assert columns(mapped({"id": 1, **field}))["deleted"] == "t"


@pytest.mark.parametrize(
    ("record", "field", "rule"),
    [
        ({"parent_id": 1, "type": "owns"}, "child_id", "missing"),
        ({"parent_id": 1, "child_id": 1, "type": "owns"}, "child_id", "self_reference"),
        ({"parent_id": 1, "child_canonical_id": "legacy_1", "type": "owns"}, "child_id", "self_reference"),
        ({"parent_id": 1, "child_id": 2}, "relationship_type", "missing"),
        (
            {"parent_id": 1, "child_id": 2, "type": "x", "valid_from": "2025-01-02", "valid_to": "2025-01-01"},
            "valid_to",
            "before_start",
        ),
    ],
)
def test_rules_of_relationships(record: dict[str, Any], field: str, rule: str) -> None:
    assert rules(mapped(record, dataset="relationships")) == [(field, rule)]


@pytest.mark.parametrize(("sent", "stored"), [(0.5, "0.5"), (1e-50, "0"), (1, "1"), (0.1234567, "0.123457")])
def test_a_quality_fits_its_column(sent: float, stored: str) -> None:
    row = mapped({"id": 1, "type": "t", "date": "2025-01-01", "value": 1, "quality": sent}, dataset="metrics")
    assert Decimal(columns(row, dataset="metrics")["quality"]) == Decimal(stored)
