"""Declared formats: many records at once give what each alone gives, for each setting; and what a format reads."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline_project.datasets.entities import ENTITIES
from pipeline_project.ingest.decoding import Chunk
from pipeline_project.ingest.mapping.converters import NumberFormat, TimeFormat
from pipeline_project.ingest.mapping.converters.columns import UNREAD
from pipeline_project.ingest.mapping.rows import Bad, Row
from pipeline_project.ingest.mapping.versioned_mapper import VersionedMapper
from pipeline_project.sources.crm import SOURCE as CRM
from pipeline_project.sources.dialect import Dialect, FieldFormat
from pipeline_project.sources.source import Source
from pipeline_project_tests.mapped import POSITION, told

EXAMPLES = 15
"""Examples for each dialect. There are many dialects, and a mapper takes some milliseconds to make."""
DIALECTS = {
    "nothing": Dialect(),
    "decimal": Dialect(decimal=","),
    "decimal and group": Dialect(decimal=",", group="."),
    "group": Dialect(group=","),
    "blanks": Dialect(decimal=",", group=" "),
    "apostrophes": Dialect(group="'"),
    "trailing_minus": Dialect(decimal=",", group=".", trailing_minus=True),
    "parentheses": Dialect(parentheses=True),
    "currency": Dialect(decimal=",", currency=("EUR", "€")),
    "share": Dialect(percent="share"),
    "points": Dialect(percent="points"),
    "days": Dialect(days=("%d.%m.%Y",)),
    "several days": Dialect(days=("%d.%m.%Y", "%d %b %Y", "iso", "excel")),
    "times": Dialect(times=("%d.%m.%Y %H:%M:%S", "iso", "unix", "unix_ms", "msdate")),
    "twelve hours": Dialect(times=("%m/%d/%Y %I:%M %p",), zone="America/New_York"),
    "zone": Dialect(zone="Europe/Berlin"),
    "times in a zone": Dialect(times=("%d.%m.%Y %H:%M:%S",), days=("%d.%m.%Y",), zone="Europe/Berlin"),
    "earlier": Dialect(times=("%d.%m.%Y %H:%M:%S",), zone="Europe/Berlin", doubtful="earlier"),
    "later": Dialect(times=("%d.%m.%Y %H:%M:%S",), zone="Europe/Berlin", doubtful="later"),
    "zero_days": Dialect(zero_days="reject"),
    "flags": Dialect(true=("X", "ja"), false=("", "nein")),
    "null_texts": Dialect(null_texts=("n/v", "k.A.")),
    "null_texts_in_json": Dialect(null_texts=("n/v", "NULL"), null_texts_in_json=True),
    "deleted_if_filled": Dialect(deleted_if_filled=("status",)),
    "id_decimals": Dialect(id_decimals="strip"),
    "id_cleanup": Dialect(id_cleanup=("apostrophe", "salesforce18", "upper", "leading_zeros")),
    "bad_field": Dialect(bad_field="reject_record"),
    "fields": Dialect(
        decimal=",", fields={"annual_revenue": FieldFormat(decimal="."), "x": FieldFormat(null_texts=("7",))}
    ),
}
NUMBERS = (
    st.sampled_from(
        [
            *(
                "1",
                "0",
                "-0",
                "007",
                "1.5",
                "1,5",
                "12.500",
                "1.234,56",
                "1,234.56",
                "1 234,5",
                "1\u00a0234,5",
                "1'234.50",
            ),
            *(
                "-5",
                "5-",
                "-5-",
                "+5",
                "(5)",
                "(5",
                "€ 5",
                "5 EUR",
                "EUR5,50-",
                "12%",
                "12 %",
                "1e3",
                "1,5E3",
                ".5",
                ",5",
                "5.",
            ),
            *(
                "123456789012345678901",
                "0,0000000001",
                "1.23,4",
                "1..2",
                "k.A.",
                "n/v",
                "N/A",
                "-",
                " 7 ",
                "",
                "1\n2",
                "1_0",
                "9" * 400,
            ),
        ]
    )
    | st.integers(-3, 3)
    | st.sampled_from([1.25, 0.1, True, None, [1], {"a": 1}])
)
DAYS = st.sampled_from(
    [
        *(
            "2024-12-31",
            "31.12.2024",
            "31.02.2024",
            "1.2.2024",
            "31 Dec 2024",
            "12/31/2024",
            "20241231",
            "45657",
            "45657.5",
        ),
        *(
            "0000-00-00",
            "00000000",
            "00.00.0000",
            "2024-12-31 10:00:00+00",
            "NaT",
            "",
            " ",
            "31.12.2024\n",
            "01.01.0001",
        ),
    ]
) | st.sampled_from([45657, None, True, 20241231])
TIMES = st.sampled_from(
    [
        *(
            "2024-12-31T10:00:00Z",
            "2024-12-31 10:00:00+00",
            "2024-12-31 10:00:00.123456 UTC",
            "2024-12-31 10:00:00 -0800",
        ),
        *("31.12.2024 10:00:00", "31.12.2024", "27.10.2024 02:30:00", "31.03.2024 02:30:00", "31.12.1950 10:00:00"),
        *("12/31/2024 10:00 PM", "12/31/2024 13:00 PM", "1735689600", "1735689600000", "/Date(1735689600000)/", "NULL"),
        *("2024-12-31", "2024-12-31T10:00:00", "0000-00-00 00:00:00", "", "yesterday", "2024-12-31T10:00:00,5Z"),
    ]
) | st.sampled_from([1735689600, None, 1735689600000, 7])
TEXTS = st.sampled_from(
    [
        *(
            "A",
            "NULL",
            "\\N",
            "#N/A",
            "(null)",
            "n/v",
            "Mu\u0308ller",
            "a\u200bb",
            '="007"',
            '="a""b"',
            " ",
            "",
            "a\tb",
            "x" * 201,
            "7",
        )
    ]
)
FLAGS = st.sampled_from(["X", "ja", "nein", "true", "False", "1", "t", "maybe", "", "NULL", True, False, None, 0, 1, 2])
IDS = st.sampled_from(
    [
        *(
            "1",
            "0012",
            "12345.0",
            "1.23E+11",
            "1E+11",
            "1,2E5",
            "N/A",
            "na",
            "'7",
            "I\u200b1",
            "Mu\u0308",
            "001B000000AbCdE",
            "a.b",
            "",
        )
    ]
) | st.sampled_from([7, 7.0, 7.5, 123456789012345678, None])
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("customer_id", "Customer ID", "ID"), IDS),
        **dict.fromkeys(("company_name", "NAME", "industry", "x", "status"), TEXTS),
        **dict.fromkeys(
            ("annual_revenue", "Annual Revenue", "ANNUAL-REVENUE", "lifetime_value", "employee_count"), NUMBERS
        ),
        **dict.fromkeys(("first_order_date", "Last Order Date"), DAYS),
        **dict.fromkeys(("updated_at", "UpdatedAt", "SystemModstamp"), TIMES),
        **dict.fromkeys(("_deleted", "IsDeleted", "Deleted"), FLAGS),
        **dict.fromkeys(("deleted_at",), DAYS),
    },
).map(lambda record: record if record.get("customer_id") else {**record, "customer_id": "C1"})


def source(dialect: Dialect) -> Source:
    return Source(name="crm", description="", records=CRM.records, fallbacks=CRM.fallbacks, dialect=dialect)


@pytest.mark.parametrize("cells", [False, True])
@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=EXAMPLES)
@given(records=st.lists(RECORDS, min_size=1, max_size=6))
@example(records=[{"customer_id": "1", "company_name": "A", "annual_revenue": "12.500"}])
def test_many_at_once_give_what_each_alone_gives(name: str, cells: bool, records: list[dict[str, Any]]) -> None:
    mapper = VersionedMapper(source(DIALECTS[name]), ENTITIES, 1, cells=cells)
    raws = [
        json.dumps({key: text(value) for key, value in each.items() if text(value)} if cells else each).encode()
        for each in records
    ]
    together = mapper.map_all(Chunk(1, raws), range(len(raws)), POSITION)
    alone = [mapper.map(raw, ordinal, POSITION) for ordinal, raw in enumerate(raws, start=1)]
    rows = [each for each in alone if isinstance(each, Row)]
    assert sorted(told(together.rows), key=lambda row: row.ordinal) == [row for each in rows for row in told(each)]
    assert [each._replace(findings=None) for each in together.bad] == [
        each._replace(findings=None) for each in alone if isinstance(each, Bad)
    ]
    # What decides about the file is the same, too.
    assert together.seen.unread.total() == sum(len(each.findings.unread) for each in rows)
    assert together.seen.settled == {field for each in alone for field in each.findings.settled}
    assert {*together.seen.doubts} == {doubt.field for each in alone for doubt in each.findings.doubts}
    filled = [field for each in rows for field in each.sent if field != "deleted"]
    assert +together.seen.filled - +type(together.seen.filled)(deleted=9) == type(together.seen.filled)(filled)
    # A probe key gives the key, the time and the digest of the row.
    keys = mapper.probe_keys(Chunk(1, raws), POSITION, 1)
    for key, ordinal, digest in zip(keys.keys, keys.ordinals.tolist(), keys.digests, strict=True):
        row = alone[ordinal - 1]
        if isinstance(row, Row) and row.line.endswith(digest.hex()[:32]):
            assert row.key == key


def text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


@given(
    number=st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12),
    group=st.sampled_from(["", ".", " ", "'"]),
    trailing=st.booleans(),
)
def test_numbers_are_read_as_they_were_written(number: Decimal, group: str, trailing: bool) -> None:
    written = f"{abs(number):,}".replace(",", "G").replace(".", ",").replace("G", group)
    written = (f"{written}-" if trailing else f"-{written}") if number < 0 else written
    convert = NumberFormat(FieldFormat(decimal=",", group=group, trailing_minus=trailing))
    for read in (convert.single(written), *convert([written, written])):
        assert isinstance(read, str)
        assert Decimal(read) == number


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]
)
@given(moments=st.lists(st.datetimes(datetime(1975, 1, 1), datetime(2095, 1, 1)), min_size=1, max_size=5))  # noqa: DTZ001
def test_local_times_become_utc_together_as_alone(zone: str, moments: list[datetime]) -> None:
    convert = TimeFormat(FieldFormat(times=("%d.%m.%Y %H:%M:%S",), zone=zone), days_only=False)
    texts = [f"{moment:%d.%m.%Y %H:%M:%S}" for moment in moments]
    assert convert(texts) == [convert.single(each) for each in texts]


def test_a_doubtful_hour_is_no_time_unless_the_declaration_chooses() -> None:
    texts = ["27.10.2024 02:30:00", "31.03.2024 02:30:00"]
    found = {}
    for doubtful in ("reject", "earlier", "later"):
        declared = FieldFormat(times=("%d.%m.%Y %H:%M:%S",), zone="Europe/Berlin", doubtful=doubtful)
        found[doubtful] = TimeFormat(declared, days_only=False)(texts)
    assert found == {
        "reject": [UNREAD, UNREAD],
        "earlier": ["2024-10-27T00:30:00Z", "2024-03-31T00:30:00Z"],
        "later": ["2024-10-27T01:30:00Z", "2024-03-31T01:30:00Z"],
    }
    assert datetime.fromisoformat(found["later"][0]) > datetime(2024, 10, 27, tzinfo=UTC)
