"""Rows as JSON, NDJSON, CSV and Parquet: exact, whatever the value, and harmless in a spreadsheet."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.analytics.execution import Column
from pipeline_project.errors import Permanent
from pipeline_project.results.encoders import encoder
from pipeline_project.results.options import Format, Numbers, ResultOptions
from pipeline_project.results.texts import json_bytes

FORMULA = re.compile(
    r"[\t\r\n]|[\s\ufeff\u200b-\u200f\u202a-\u202e\u2060-\u2069\u00ad\u034f\u3164\u2800]*[-=+@＝＋－＠﹢﹣﹦﹫−]"
)
"""What a cell must not begin with: blanks that a spreadsheet may skip, then a sign that begins a formula."""
BLANKS = [
    *("\ufeff", "\u00a0", " ", "\u200b", "\u200d", "\u2060", "\u3000", "\u2003", "\u00ad", "\u202e", "\u180e"),
    *("\u2028", "\u0085", "\x00", "\x1f", "\x7f", "\u034f", "\ufe0f", "\u3164", "\u2800", "\ufeff\u00a0 "),
]
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
COLUMNS = [
    Column("id", "bigint"),
    Column("name", "text"),
    Column("amount", "numeric"),
    Column("at", "timestamp with time zone"),
    Column("tags", "text[]"),
    Column("raw", "jsonb"),
]
ROWS = [
    (1, 'Ünïcode, "quoted"\nline', Decimal("1234567890123456.7800"), NOON, ["a", None], msgspec.Raw(b'{"n":1.10}')),
    (2**60, None, None, None, None, None),
]


def file_of(
    form: Format,
    columns: Sequence[Column],
    rows: Sequence[Any],
    *,
    size: int = 2,
    truncated: bool = False,
    numbers: Numbers = Numbers.NUMBER,
) -> bytes:
    target = encoder(ResultOptions(format=form, numbers=numbers), columns)
    batches = [rows[n : n + size] for n in range(0, len(rows), size)]
    body = b"".join([target.start(), *map(target.batch, batches), target.end(truncated)])
    assert target.rows == len(rows)
    return body


def exactly(text: str | bytes) -> Any:
    return json.loads(text, parse_float=Decimal)


def test_json() -> None:
    got = exactly(file_of(Format.JSON, COLUMNS, ROWS, size=1))
    assert got["columns"][2] == {"name": "amount", "type": "numeric"}
    assert got["truncated"] is False
    first, second = got["rows"]
    assert first == {
        "id": 1,
        "name": ROWS[0][1],
        "amount": Decimal("1234567890123456.7800"),
        "at": "2026-01-02T12:00:00Z",
        "tags": ["a", None],
        "raw": {"n": Decimal("1.10")},
    }
    assert second == {"id": 2**60, "name": None, "amount": None, "at": None, "tags": None, "raw": None}


@pytest.mark.parametrize("truncated", [False, True])
def test_json_says_whether_it_is_truncated(truncated: bool) -> None:
    assert exactly(file_of(Format.JSON, COLUMNS, [], truncated=truncated))["truncated"] is truncated


def test_ndjson() -> None:
    lines = file_of(Format.NDJSON, COLUMNS, ROWS).splitlines()
    assert [exactly(line)["id"] for line in lines] == [1, 2**60]
    assert b"1234567890123456.7800" in lines[0]


def test_csv() -> None:
    got = list(csv.reader(io.StringIO(file_of(Format.CSV, COLUMNS, ROWS).decode(), newline="")))
    assert got == [
        ["id", "name", "amount", "at", "tags", "raw"],
        ["1", ROWS[0][1], "1234567890123456.7800", "2026-01-02T12:00:00Z", '["a",null]', '{"n":1.10}'],
        [str(2**60), "", "", "", "", ""],
    ]


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "＝1",
        '=HYPERLINK("http://x")',
        *(blank + "=1" for blank in BLANKS),
        *(sign + "1" for sign in "＋－＠﹢﹣﹦﹫−"),
    ],
)
def test_csv_neutralises_formulas(text: str) -> None:
    body = file_of(Format.CSV, [Column(text, "text"), Column("b", "jsonb")], [(text, msgspec.Raw(json_bytes([text])))])
    for row in csv.reader(io.StringIO(body.decode(), newline="")):
        assert row[0] == "'" + text
        assert not FORMULA.match(row[1])


def test_csv_leaves_numbers_alone() -> None:
    columns = [Column("a", "numeric"), Column("b", "bigint"), Column("c", "double precision"), Column("d", "boolean")]
    assert file_of(Format.CSV, columns, [(Decimal("-1.50"), -7, -0.5, True)]) == b"a,b,c,d\r\n-1.50,-7,-0.5,true\r\n"


@given(
    st.lists(
        st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=6)), min_size=1, max_size=4
    )
)
def test_csv_reads_back_as_text(values: list[str | None]) -> None:
    body = file_of(Format.CSV, [Column(str(n), "text") for n in range(len(values))], [tuple(values)])
    *_, row = csv.reader(io.StringIO(body.decode(), newline=""))
    sent = ["" if v is None else v for v in values]
    read = [cell[1:] if cell != v and cell[:1] == "'" else cell for cell, v in zip(row or [""], sent, strict=True)]
    assert read == sent
    assert not any(map(FORMULA.match, row))


@pytest.mark.parametrize(
    "text", ["Müller = Söhne", "a=1", "漢字", "'=1", "\u00a0", "\ufeff", "", "é-1", "\u0645-1", "1 + 1"]
)
def test_csv_leaves_other_texts_as_they_are(text: str) -> None:
    body = file_of(Format.CSV, [Column("a", "text"), Column("b", "bigint")], [(text, 1)])
    *_, row = csv.reader(io.StringIO(body.decode(), newline=""))
    assert row == [text, "1"]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**18), max_value=10**18))
def test_money_is_exact_in_every_format(amount: Decimal) -> None:
    columns = [Column("amount", "numeric")]
    assert exactly(file_of(Format.JSON, columns, [(amount,)]))["rows"][0]["amount"] == amount
    assert exactly(file_of(Format.NDJSON, columns, [(amount,)]))["amount"] == amount
    assert Decimal(file_of(Format.CSV, columns, [(amount,)]).decode().split()[1]) == amount
    table = pq.read_table(io.BytesIO(file_of(Format.PARQUET, columns, [(amount,)])))
    assert table["amount"].to_pylist() == [amount]


WORDS = ["NaN", "Infinity", "-Infinity"]


@pytest.mark.parametrize("word", WORDS)
def test_nan_and_infinity_are_told_apart_from_null_in_every_format(word: str) -> None:
    columns = [Column("a", "double precision"), Column("b", "double precision[]")]
    rows = [(float(word), [float(word), None]), (None, None), (0.5, [])]
    told = [{"a": word, "b": [word, None]}, {"a": None, "b": None}, {"a": Decimal("0.5"), "b": []}]
    assert exactly(file_of(Format.JSON, columns, rows))["rows"] == told
    assert [exactly(line) for line in file_of(Format.NDJSON, columns, rows).splitlines()] == told
    body = file_of(Format.CSV, columns, rows, size=3).decode()
    assert list(csv.reader(io.StringIO(body)))[1:] == [[word, f'["{word}",null]'], ["", ""], ["0.5", "[]"]]
    table = pq.read_table(io.BytesIO(file_of(Format.PARQUET, columns, rows)))
    first, second, third = table["a"].to_pylist()
    assert (repr(first), second, third) == (repr(float(word)), None, 0.5)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("kind", ["numeric", "numeric(12,2)"])
def test_a_numeric_nan_or_infinity_is_told_or_refused(word: str, kind: str) -> None:
    columns, rows = [Column("a", kind), Column("b", f"{kind}[]")], [(Decimal(word), [Decimal(word)]), (None, None)]
    assert exactly(file_of(Format.JSON, columns, rows))["rows"] == [{"a": word, "b": [word]}, {"a": None, "b": None}]
    assert file_of(Format.CSV, columns, rows).decode() == f'a,b\r\n{word},"[""{word}""]"\r\n,\r\n'
    with pytest.raises(Permanent, match=f"column a holds {word}, which a decimal of Parquet cannot be"):
        file_of(Format.PARQUET, columns, rows)
    table = pq.read_table(io.BytesIO(file_of(Format.PARQUET, columns, rows, numbers=Numbers.TEXT)))
    assert table.to_pylist() == [{"a": word, "b": [word]}, {"a": None, "b": None}]


NUMBER_COLUMNS = [
    *(
        Column("small", "smallint"),
        Column("large", "bigint"),
        Column("exact", "numeric"),
        Column("float", "double precision"),
    ),
    *(Column("many", "numeric[]"), Column("raw", "jsonb"), Column("text", "text"), Column("flag", "boolean")),
]
NUMBER_ROW = (
    *(-7, 2**60 + 1, Decimal("1234567890123456.780"), 1e-7),
    *([Decimal("0.1"), None], msgspec.Raw(b'{"1":1.10,"e":[2e5,"3",true,null]}'), '-4 "5" \\', True),
)
NUMBERS_AS_TEXT = {
    **{"small": "-7", "large": str(2**60 + 1), "exact": "1234567890123456.780", "float": "1e-7"},
    **{"many": ["0.1", None], "raw": {"1": "1.10", "e": ["2e5", "3", True, None]}, "text": '-4 "5" \\', "flag": True},
}


def test_numbers_as_text_keep_every_digit_and_nothing_else_changes() -> None:
    rows = [NUMBER_ROW, (None,) * len(NUMBER_ROW)]
    told = [NUMBERS_AS_TEXT, dict.fromkeys(NUMBERS_AS_TEXT)]
    assert json.loads(file_of(Format.JSON, NUMBER_COLUMNS, rows, numbers=Numbers.TEXT))["rows"] == told
    assert [
        json.loads(line) for line in file_of(Format.NDJSON, NUMBER_COLUMNS, rows, numbers=Numbers.TEXT).splitlines()
    ] == told
    assert file_of(Format.CSV, NUMBER_COLUMNS, rows, numbers=Numbers.TEXT) == file_of(Format.CSV, NUMBER_COLUMNS, rows)
    table = pq.read_table(io.BytesIO(file_of(Format.PARQUET, NUMBER_COLUMNS, rows, numbers=Numbers.TEXT)))
    raw = {"raw": '{"1":1.10,"e":[2e5,"3",true,null]}'}  # which is text in Parquet in any case
    assert table.to_pylist() == [{**NUMBERS_AS_TEXT, **raw}, dict.fromkeys(NUMBERS_AS_TEXT)]


@given(st.lists(st.decimals(allow_nan=True, allow_infinity=True), min_size=1))
def test_any_number_comes_back_from_text_as_it_was(values: list[Decimal]) -> None:
    rows = [(value,) for value in values]
    body = file_of(Format.JSON, [Column("a", "numeric")], rows, numbers=Numbers.TEXT)
    assert [repr(Decimal(row["a"])) for row in json.loads(body)["rows"]] == list(map(repr, values))


def test_parquet_has_types() -> None:
    columns = [
        *COLUMNS,
        Column("price", "numeric(12,2)"),
        Column("day", "date"),
        Column("took", "interval"),
        Column("key", "uuid"),
        Column("bytes", "bytea"),
        Column("amounts", "numeric[]"),
        Column("flag", "boolean"),
    ]
    key = UUID(int=7)
    extra = (Decimal("1.50"), date(2026, 1, 2), timedelta(hours=1), key, b"\x00", [Decimal("0.1")], True)
    body = file_of(Format.PARQUET, columns, [(*ROWS[0], *extra), (*ROWS[1], *[None] * 7)], truncated=True)
    table = pq.read_table(io.BytesIO(body))
    assert [str(kind) for kind in table.schema.types] == [
        *("int64", "string", "decimal128(38, 18)", "timestamp[us, tz=UTC]", "list<element: string>", "string"),
        *(
            "decimal128(12, 2)",
            "date32[day]",
            "string",
            "string",
            "binary",
            "list<element: decimal128(38, 18)>",
            "bool",
        ),
    ]
    first = table.to_pylist()[0]
    assert (first["raw"], first["took"], first["key"]) == ('{"n":1.10}', "PT3600S", str(key))
    assert first["amounts"] == [Decimal("0.1")]
    assert pq.read_metadata(io.BytesIO(body)).metadata[b"truncated"] == b"true"


@pytest.mark.parametrize(
    ("of_postgresql", "of_arrow"),
    [
        ("smallint", "int16"),
        ("integer", "int32"),
        ("bigint", "int64"),
        ("real", "float"),
        ("double precision", "double"),
        ("boolean", "bool"),
        ("text", "string"),
        ("date", "date32[day]"),
        ("timestamp with time zone", "timestamp[us, tz=UTC]"),
        ("timestamp without time zone", "timestamp[us]"),
        ("bytea", "binary"),
        ("numeric", "decimal128(38, 18)"),
        ("numeric(12,2)", "decimal128(12, 2)"),
        ("numeric(38,38)", "decimal128(38, 38)"),
        ("numeric(38,0)", "decimal128(38, 0)"),
        ("numeric(39,2)", "decimal128(38, 18)"),
        ("numeric(5,6)", "decimal128(38, 18)"),
        ("numeric(5,-1)", "decimal128(38, 18)"),
        ("integer[]", "list<element: int32>"),
        ("uuid", "string"),
    ],
)
def test_parquet_has_a_type_for_each_of_postgresql(of_postgresql: str, of_arrow: str) -> None:
    table = pq.read_table(io.BytesIO(file_of(Format.PARQUET, [Column("a", of_postgresql)], [(None,)])))
    assert [str(kind) for kind in table.schema.types] == [of_arrow]


def test_bytes_are_written_as_postgresql_writes_them() -> None:
    columns = [Column("a", "bytea")]
    assert file_of(Format.CSV, columns, [(b"\x00\xff",)]) == b"a\r\n\\x00ff\r\n"


@pytest.mark.parametrize(("digits", "fits"), [(20, True), (21, False)])
def test_parquet_takes_twenty_digits_before_the_point_and_no_more(digits: int, fits: bool) -> None:
    value = Decimal("9" * digits)
    if fits:
        body = file_of(Format.PARQUET, [Column("a", "numeric")], [(value,)])
        assert pq.read_table(io.BytesIO(body))["a"].to_pylist() == [value]
    else:
        with pytest.raises(Permanent, match="too large for Parquet"):
            file_of(Format.PARQUET, [Column("a", "numeric")], [(value,)])


def test_parquet_is_compressed_by_zstd() -> None:
    metadata = pq.read_metadata(io.BytesIO(file_of(Format.PARQUET, [Column("a", "text")], [("x",)])))
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_parquet_rounds_quotients_and_refuses_what_does_not_fit() -> None:
    columns = [Column("a", "numeric")]
    third = Decimal(1) / Decimal(3)
    body = file_of(Format.PARQUET, columns, [(third,)])
    assert pq.read_table(io.BytesIO(body))["a"].to_pylist() == [round(third, 18)]
    with pytest.raises(Permanent, match="column a holds a number too large for Parquet; ask for numbers as text, or"):
        file_of(Format.PARQUET, columns, [(Decimal(10) ** 20,)])


def test_parquet_writes_large_results_in_groups() -> None:
    rows = [(n,) for n in range(60_000)]
    body = file_of(Format.PARQUET, [Column("n", "bigint")], rows, size=1_000)
    assert pq.read_metadata(io.BytesIO(body)).num_row_groups == 3
    assert pq.read_table(io.BytesIO(body))["n"].to_pylist() == list(range(60_000))


MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001 the zone is given below
PARQUET_VALUES = {
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "double precision": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "text": st.text(st.characters(exclude_categories=["Cs"])),
    "date": st.dates(),
    "timestamp with time zone": MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC)),
    "timestamp without time zone": MOMENTS,
    "bytea": st.binary(),
    "numeric": st.decimals(-(10**19), 10**19, places=18),
    "numeric(12,2)": st.decimals(-(10**9), 10**9, places=2),
}


@pytest.mark.parametrize("kind", PARQUET_VALUES)
@given(data=st.data())
def test_parquet_reads_back_the_same(kind: str, data: st.DataObject) -> None:
    value = st.none() | PARQUET_VALUES[kind]
    rows = data.draw(st.lists(st.tuples(value, st.none() | st.lists(value, max_size=3)), max_size=5))
    body = file_of(Format.PARQUET, [Column("one", kind), Column("many", f"{kind}[]")], rows)
    table = pq.read_table(io.BytesIO(body))
    assert list(zip(table["one"].to_pylist(), table["many"].to_pylist(), strict=True)) == rows


def test_parquet_writes_a_row_group_when_wide_rows_fill_it() -> None:
    rows = [("x" * 1024 * 1024,)] * 70
    metadata = pq.read_metadata(io.BytesIO(file_of(Format.PARQUET, [Column("a", "text")], rows)))
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [32, 32, 6]


def test_parquet_puts_narrow_rows_into_groups_of_25_000() -> None:
    rows = [(n,) for n in range(50_001)]
    metadata = pq.read_metadata(io.BytesIO(file_of(Format.PARQUET, [Column("a", "bigint")], rows, size=1000)))
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [25_000, 25_000, 1]


def test_parquet_refuses_arrays_of_several_dimensions() -> None:
    with pytest.raises(Permanent, match="column a holds an array of several dimensions; ask for json, ndjson or csv"):
        file_of(Format.PARQUET, [Column("a", "integer[]")], [([[1, 2], [3, 4]],)])


def test_parquet_does_without_pandas() -> None:
    """pyarrow imports it, 50 MB, wherever it might be handed some of its."""
    script = (
        "import sys\n"
        "from pipeline_project_tests.unit.results import test_encoders as here\n"
        "here.file_of(here.Format.PARQUET, here.COLUMNS, here.ROWS)\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("form", Format)
def test_no_rows_is_a_whole_file(form: Format) -> None:
    body = file_of(form, COLUMNS, [])
    match form:
        case Format.JSON:
            assert exactly(body)["rows"] == []
        case Format.NDJSON:
            assert body == b""
        case Format.CSV:
            assert body == b"id,name,amount,at,tags,raw\r\n"
        case Format.PARQUET:
            assert pq.read_table(io.BytesIO(body)).num_rows == 0
