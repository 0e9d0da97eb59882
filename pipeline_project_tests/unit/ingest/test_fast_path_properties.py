"""Many records at once, or a glimpse of each, against the long way of each by itself; and what holds for any record."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from io import BytesIO

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline_project.datasets.registry import datasets
from pipeline_project.ingest.decoding.json_values import UNREADABLE, decode
from pipeline_project.ingest.decoding.records import Chunk
from pipeline_project.ingest.mapping import fast_path
from pipeline_project.ingest.mapping.probe_keys import to_binary_copy, without_repeated_keys
from pipeline_project.ingest.mapping.rows import Bad, Row
from pipeline_project.ingest.mapping.struct_columns import Path, Projection, is_missing
from pipeline_project.sources.registry import sources
from pipeline_project_tests.mapped import NOW, POSITION, columns, mapped, new_mapper, told

texts = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    [
        "7",
        " 7",
        "deleted",
        "DELETED",
        "",
        " ",
        "a\tb",
        "a\\b",
        "a\nb",
        "\\N",
        "\\.",
        "x" * 201,
        "\u2028",
        "\x1f",
        "\x85",
        "\0",
        "\\u0000",
    ]
)
times = st.sampled_from(
    [
        *("2025-01-01", "2025-01-01T10:00:00", "2025-01-01 10:00:00", "2025-01-01T10:00:00Z", "2025-01-01T10:00:00.5Z"),
        *("2025-01-01t10:00:00z", "2025-01-01 10:00:00Z", "0001-01-01T00:00:00Z"),
        *(
            "2025-01-01T10:00:00,5Z",
            "2025-01-01T10:00:00+02:00",
            "2025-01-01T10:00:00+0200",
            "2025-01-01T10:00:00-00:00",
        ),
        *(
            "2025-01-01T10:00",
            "2025-01-01T24:00:00",
            "2025-W01-1",
            "20250101",
            "2025-01-01T10:00:00.1234567Z",
            "2025-01-01t10:00:00z",
        ),
        *(
            "2025-01-10T20:00:00Z",
            "2025-01-11T20:00:00Z",
            "2025-01-01T10:00:00+02:00:30",
            "2025-01-01T10:00:60Z",
            "2025-1-1",
        ),
        *(
            "20250101T100000Z",
            "1735725600",
            "1735725600000",
            "1735725600.5",
            "45678",
            "202501011530",
            "2025",
            " 2025-01-01 ",
        ),
        *("2025-01-01Tx", "2025-01-01 99:99", "2025-01-01 10:00 ", " 2025-01-01T10:00:00Z", "12345678901234567890"),
        *(
            "2025-01-01T10:00:00.Z",
            "2025-01-01T10:00:00+25:00",
            "2025-01-01T10:00:00+23:59",
            "0001-01-01T00:00:00+01:00",
            "2025-01-01T10:00:00 Z",
            "2025-01-01T10:00:00.123456+05:30",
        ),
    ]
) | st.from_regex(r"2025-[0-9]{2}-[0-9]{2}([T ][0-9:.,]{5,12}([Z+-][0-9:]{0,6})?)?", fullmatch=True)
numbers = (
    st.integers(-5, 10**19)
    | st.decimals(allow_nan=False, allow_infinity=False, min_value=-1, max_value=10**19).map(str)
    | st.sampled_from(
        [
            "0.10",
            "1e3",
            "1E-3",
            "1e99999999999999999999",
            "-0",
            "-0.0",
            "1e30",
            "true",
            "12.50",
            "9007199254740993",
            "0.0000000000001",
        ]
    )
)


ODD_TIMES = ["null", "1735725600", "1735725600000", "1735725600.5", "20250101", "45678.5", "0", "-1", "1e400", "true"]
AMOUNTS = [
    *("revenue", "annual_revenue", "annualRevenue", "lifetime_value"),
    *("employees", "employeeCount", "total_orders", "financials.annualRevenue", "hrData.employeeCount"),
]


@st.composite
def raw_records(draw: st.DrawFn) -> bytes:
    names = ["id", "customer_id", "name", "company_name", "revenue", "annual_revenue", "employees", "status", "industry",
             "industry_code", "updated_at", "updatedAt", "_deleted", "first_order_date", "first_purchase_date", "total_orders",
             "lifetime_value", "x", "entity_type", "type", "businessId", "businessName", "sector", "annualRevenue",
             "employeeCount", "financials", "hrData", "financials.annualRevenue", "hrData.employeeCount",
             "", "ü", 'a"b', "a\\b", "a\tb", "\x7f", "a.b"]  # fmt: skip
    fields = []
    for name in draw(st.lists(st.sampled_from(names), max_size=9)):
        if name in ("updated_at", "updatedAt") or "date" in name:
            kind = times.map(json.dumps) | texts.map(json.dumps) | st.sampled_from(ODD_TIMES)
        elif name in AMOUNTS:
            kind = numbers.map(str) | numbers.map(lambda number: json.dumps(str(number))) | texts.map(json.dumps)
            kind |= st.sampled_from(["true", "false"])
        elif name in ("financials", "hrData"):
            inner = st.sampled_from(["annualRevenue", "employeeCount", "currency"])
            values = numbers.map(str) | st.sampled_from(["null", '""', '" "', '"EUR"', '{"a": null}', "1e400"])
            pairs = st.lists(st.tuples(inner, values), max_size=3)
            kind = pairs.map(lambda pairs: "{" + ", ".join(f'"{key}": {value}' for key, value in pairs) + "}")
            kind |= st.sampled_from(["null", "7", '""', '"text"', "[]", '[{"annualRevenue": 1}]'])
        elif name == "_deleted":
            kind = st.sampled_from(["true", "false", "null", '"true"', "1", '"x"'])
        else:
            kind = texts.map(json.dumps) | st.sampled_from(["7", "7.0", "null", '{"a": 1.10}', "[]", "1e400", "true"])
        spelled = (
            json.dumps(name) if draw(st.booleans()) else "".join(f"\\u{ord(letter):04x}" for letter in name).join('""')
        )
        fields.append(f"{spelled}: {draw(kind)}")
    if draw(st.booleans()):
        fields += ['"id": 7', '"name": "A"']
    return ("{" + ", ".join(fields) + "}").encode()


METRIC_NAMES = ["id", "entity_id", "customer_id", "type", "metric_type", "metric", "date", "metric_date", "value", "quality",
                "quality_score", "tags", "_deleted", "updated_at", "x", 'a"b']  # fmt: skip
EDGE_NAMES = ["parent_id", "child_id", "parent_canonical_id", "child_canonical_id", "type", "relationship_type", "valid_from",
              "valid_to", "_deleted", "updated_at", "x", 'a"b']  # fmt: skip


@st.composite
def dated_records(draw: st.DrawFn, names: list[str], good: str) -> bytes:
    """Metrics and relationships: any of these names, and often what makes a good one besides."""
    fields = []
    for name in draw(st.lists(st.sampled_from(names), max_size=7)):
        if name == "updated_at":
            kind = times.map(json.dumps) | st.sampled_from(ODD_TIMES)
        elif name in ("date", "metric_date", "valid_from", "valid_to"):
            days = ["2025-01-31", "2025-02-30", "20250131", "1899-12-31", "2201-01-01", "0001-01-01", "", " 2025-01-31"]
            kind = times.map(json.dumps) | st.sampled_from(days).map(json.dumps) | st.sampled_from(ODD_TIMES)
        elif name in ("value", "quality", "quality_score"):
            shares = [
                "0",
                "1",
                "0.5",
                "-0.0",
                "1e-50",
                "0.1234567",
                '"0.50"',
                "1.0000001",
                "1e400",
                "true",
                "null",
                '""',
            ]
            kind = numbers.map(str) | numbers.map(lambda number: json.dumps(str(number))) | st.sampled_from(shares)
        elif name == "tags":
            kind = st.sampled_from(
                [
                    '{"b": 1, "a": "x"}',
                    '["a"]',
                    "{}",
                    "[]",
                    '"a"',
                    "7",
                    "null",
                    '""',
                    '{"x": 2}',
                    "[1e400]",
                    '{"a": "\\u0000"}',
                ]
            )
        elif name == "_deleted":
            kind = st.sampled_from(["true", "false", "null", '"true"', "1"])
        else:
            kind = texts.map(json.dumps) | st.sampled_from(["7", "7.0", "null", '{"a": 1.10}', "1e400", "true"])
        fields.append(f"{json.dumps(name)}: {draw(kind)}")
    if draw(st.booleans()):
        fields.append(good)
    return ("{" + ", ".join(fields) + "}").encode()


METRICS = dated_records(METRIC_NAMES, '"id": 7, "type": "revenue", "date": "2025-01-01", "value": 1.50')
EDGES = dated_records(EDGE_NAMES, '"parent_id": 7, "child_id": "8", "type": "owns"')


@given(
    raws=st.lists(raw_records(), min_size=1, max_size=6),
    source=st.sampled_from(["crm", "erp", "legacy"]),
    most=st.integers(0, 6),
    frequent=st.integers(1, 4),
)
@example(
    raws=[b'{"id": 7, "name": "A"}', b'{"id": 8, "name": "B", "x": " ", "y": 1e400}'], source="crm", most=6, frequent=1
)
def test_it_is_all_the_same_which_fields_become_columns(
    raws: list[bytes], source: str, most: int, frequent: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_path, "MOST_FIELDS", most)
        patch.setattr(fast_path, "FREQUENT", frequent)
        assert_as_alone("entities", raws, source)


@given(raws=st.lists(METRICS, min_size=1, max_size=6))
@example(raws=[b'{"id": 7, "type": "t", "date": "2025-01-01", "value": 1, "tags": ["a"], "x": 1.10}'])
def test_many_metrics_at_once_give_what_each_alone_gives(raws: list[bytes]) -> None:
    assert_as_alone("metrics", raws)


@given(raws=st.lists(EDGES, min_size=1, max_size=6))
@example(raws=[b'{"parent_id": 7, "parent_canonical_id": "crm_1", "child_id": 8, "type": "owns"}'])
@example(
    raws=[b'{"parent_id": 7, "child_id": 8, "type": "owns", "valid_from": "2025-01-02", "valid_to": "2025-01-01"}']
)
def test_many_relationships_at_once_give_what_each_alone_gives(raws: list[bytes]) -> None:
    assert_as_alone("relationships", raws)


@pytest.mark.parametrize(
    ("dataset", "raw"),
    [
        (
            "metrics",
            b'{"id": 7, "type": "t", "date": "2025-01-01", "value": 1.50, "quality": 0.9, "tags": {"a": 1}, "x": 2}',
        ),
        ("relationships", b'{"parent_id": 7, "child_canonical_id": "crm_8", "type": "owns", "valid_to": "2025-01-01"}'),
    ],
)
def test_they_take_the_fast_path(dataset: str, raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    mapper = new_mapper(sources()["legacy"], dataset)
    monkeypatch.setattr(mapper, "map", None)
    assert len(mapper.map_all(Chunk(1, [raw, raw]), range(2), POSITION).rows.keys) == 2


def assert_as_alone(dataset: str, raws: list[bytes], source: str = "legacy") -> None:
    mapper = new_mapper(sources()[source], dataset)
    mapped = mapper.map_all(Chunk(3, raws), range(len(raws)), POSITION)
    alone = [mapper.map(raw, 3 + place, POSITION) for place, raw in enumerate(raws)]
    assert sorted(told(mapped.rows), key=lambda row: row.ordinal) == [
        row for each in alone if isinstance(each, Row) for row in told(each)
    ]
    assert mapped.bad == [each for each in alone if isinstance(each, Bad)]


@given(raws=st.lists(raw_records(), min_size=1, max_size=6), source=st.sampled_from(["crm", "erp", "legacy"]))
@example(raws=[b'{"id": 7, "name": "A", "updated_at": "2025-01-01T10:00:00+02:00:30"}'], source="crm")
@example(raws=[b'{"id": 7, "name": "A", "x": " ", "y": null}'], source="crm")
@example(raws=[b'{"id": 7, "name": "A", "updated_at": "2025-01-01T10:00:00.Z"}'], source="crm")
@example(
    raws=[b'{"id": null, "customer_id": 8, "name": "B"}', b'{"id": 7, "customer_id": "", "name": "A"}'], source="crm"
)
@example(raws=[b'{"id": 7, "name": "A", "revenue": "007.10", "employees": "-0"}'], source="legacy")
def test_many_at_once_give_what_each_alone_gives(raws: list[bytes], source: str) -> None:
    assert_as_alone("entities", raws, source)


@given(raws=st.lists(raw_records(), min_size=1, max_size=6), source=st.sampled_from(["crm", "erp", "legacy"]))
def test_probe_keys_have_the_key_time_and_digest_that_the_row_has(raws: list[bytes], source: str) -> None:
    mapper = new_mapper(sources()[source], "entities")
    probe_keys = mapper.probe_keys(Chunk(3, raws), POSITION, object_place=9)
    rows = copied(to_binary_copy(probe_keys))
    assert sorted(key.decode() for *_, key in rows) == sorted(probe_keys.keys)
    for updated_at, digest, ordinal, object_place, key in rows:
        row = mapper.map(raws[int.from_bytes(ordinal) - 3], int.from_bytes(ordinal), POSITION)
        if isinstance(row, Row):
            assert (key.decode(), moment(updated_at)) == (row.key, row.updated_at)
            assert int.from_bytes(object_place) == 9
            # A record whose values decide about its file is mapped each time.
            assert row.line.endswith(digest.hex()) or row.findings.need_mapping


@given(blocks=st.lists(st.lists(raw_records(), min_size=1, max_size=3), min_size=1, max_size=4))
def test_what_few_fields_say_does_not_depend_on_what_was_read_before(blocks: list[list[bytes]]) -> None:
    aliases: dict[str, list[Path]] = {"source_id": [("customer_id",), ("id",)], "name": [("name",), ("x",), ("y",)]}
    fields = Projection(aliases)
    for block in blocks:
        try:
            expected = Projection(aliases).read(block)
            records = list(map(decode, block))
        except UNREADABLE:
            continue
        assert fields.read(block) == expected
        for place, sent in enumerate(records):
            for name, paths in aliases.items():
                filled = [sent[path[0]] for path in paths if not is_missing(sent.get(path[0]))]
                found = expected[name][place]
                assert found == filled[0] if filled else is_missing(found)


def test_a_key_that_is_there_twice_is_left_out() -> None:
    mapper = new_mapper(sources()["crm"], "entities")
    raws = [b'{"id": %d, "name": "%d"}' % (each % 3, each) for each in range(4)]
    probe_keys = without_repeated_keys(mapper.probe_keys(Chunk(3, raws), POSITION, object_place=1))
    assert (probe_keys.keys, probe_keys.ordinals.tolist()) == (["crm_1", "crm_2"], [4, 5])
    assert [ordinal for _, _, ordinal, _, _ in copied(to_binary_copy(probe_keys))] == [
        bytes([0, 0, 0, 4]),
        bytes([0, 0, 0, 5]),
    ]


@given(raws=st.lists(raw_records(), min_size=1, max_size=6))
def test_control_totals_are_what_mapping_the_records_gives(raws: list[bytes]) -> None:
    mapper = new_mapper(sources()["erp"], "entities")
    alone = {place: mapper.map(raw, 3 + place, POSITION) for place, raw in enumerate(raws)}
    good = {place: row.fields for place, row in alone.items() if isinstance(row, Row)}
    with localcontext(prec=60):
        expected = sum((fields["revenue"] or Decimal(0) for fields in good.values()), Decimal(0))
    assert mapper.sums(Chunk(3, raws), list(good), POSITION) == {"revenue": expected}


def copied(binary: bytes) -> list[list[bytes]]:
    """The rows of a COPY in binary format."""
    if not binary:
        return []
    stream = BytesIO(binary)
    assert stream.read(19) == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    rows: list[list[bytes]] = []
    while (columns := int.from_bytes(stream.read(2), signed=True)) >= 0:
        rows.append([stream.read(int.from_bytes(stream.read(4))) for _ in range(columns)])
    assert (columns, stream.read()) == (-1, b"")
    return rows


def moment(microseconds: bytes) -> datetime:
    return datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=int.from_bytes(microseconds, signed=True))


@given(
    raw=st.binary(max_size=80) | raw_records(),
    source=st.sampled_from(["crm", "erp", "legacy"]),
    dataset=st.sampled_from(list(datasets())),
)
def test_no_record_raises(raw: bytes, source: str, dataset: str) -> None:
    row = mapped(raw, source, dataset)
    if isinstance(row, Row):
        assert row.updated_at <= NOW + timedelta(days=1)
        assert "\n" not in row.line
        columns(row, source, dataset)
    else:
        assert row.errors
        assert row.raw == raw


@given(raw=raw_records())
def test_equal_states_have_equal_hashes_whenever_they_were_updated(raw: bytes) -> None:
    fields = json.loads(raw, parse_float=str, parse_int=str)
    assume(not {"updated_at", "updatedAt"} & fields.keys())
    row = mapped(raw)
    dated = mapped(raw[:-1] + (b", " if fields else b"") + b'"updated_at": "2025-01-01"}')
    assert isinstance(row, Row) == isinstance(dated, Row)
    if isinstance(row, Row):
        assert columns(row)["content_hash"] == columns(dated)["content_hash"]
