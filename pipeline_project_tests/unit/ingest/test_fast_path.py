"""The fast path gives what the models give, or nothing."""

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field, field_validator

from pipeline_project.datasets.entities import Entity
from pipeline_project.ingest.decoding.records import Chunk
from pipeline_project.ingest.mapping import fast_path
from pipeline_project.ingest.mapping.mapper import Mapper
from pipeline_project.ingest.mapping.rows import ObjectPosition, Row
from pipeline_project.schema.fields import Count, Label, Time, aliased
from pipeline_project.sources.registry import sources
from pipeline_project_tests.mapped import Told, new_mapper, told

POSITION = ObjectPosition(7, datetime(2025, 6, 1, tzinfo=UTC))
NAMES = [
    *(
        "customer_id",
        "id",
        "company_name",
        "business_name",
        "name",
        "industry",
        "industry_code",
        "annual_revenue",
        "revenue",
    ),
    *("employee_count", "employees", "status", "type", "tier", "customer_tier", "region", "country", "total_spent"),
    *(
        "lifetime_value",
        "total_orders",
        "first_order_date",
        "first_purchase_date",
        "updated_at",
        "updatedAt",
        "_deleted",
        "x",
    ),
]
TEXTS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet=" \t\n\\\u00a0\u0000\u0085\u2003aé", max_size=5),
    st.sampled_from(
        [
            *(
                "2024-01-31",
                "2024-02-30",
                "20240131",
                "2024-W05-1",
                "2024-01-31Tx",
                " 2024-01-31 ",
                "1706695200",
                "31/12/2024",
                "99999-01-01",
                "2024-01-31T10:00:00Z",
            ),
            *(
                "2024-01-31T10:00:00",
                "2024-01-31T10:00:00.123456789Z",
                "2024-01-31T10:00:00+01:00",
                "2024-01-31 10:00:00",
            ),
            *(
                "2024-01-31T10",
                "2024-01-31T10:00",
                "2024-01-31T10:00:00,5Z",
                "2024-01-31T10:00:00+0100",
                "2024-01-31T24:00:00Z",
            ),
            *("2024-01-31T10:00:00.5-01:30", "2024-01-31T23:59:60Z", "2024-01-31T10:00:00z", "2031-01-01T00:00:00Z"),
            *("12", "1.50", "1,200", "1e3", "-1", "deleted", "DELETED", "true", "7", "NaN", "a" * 201),
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(-5, 10),
    st.sampled_from([2**53, 2**53 + 1, 2**63, 10**18, 10**18 + 1, 10**400]),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1000, max_value=1000).map(
        lambda number: msgspec.Raw(str(number).encode())
    ),
    st.sampled_from(
        [msgspec.Raw(text) for text in (b"1.10", b"0.0", b"-0.0", b"-0", b"1e2", b"1E-30", b"1e400", b"12.0")]
    ),
    st.sampled_from([msgspec.Raw(b"0.30000000000000004"), msgspec.Raw(b"123456789012345678.5")]),
)
VALUES = st.one_of(TEXTS, NUMBERS, st.booleans(), st.none(), st.just({"a": [1, None]}), st.just([]))
RECORDS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=12).map(
    lambda record: {"customer_id": "C1", "company_name": "Alder", **record}
)


@pytest.fixture(scope="module", params=["crm", "legacy"])
def mapper(request: pytest.FixtureRequest) -> Mapper:
    return new_mapper(sources()[request.param], "entities")


def fast_rows(mapper: Mapper, raws: list[bytes]) -> list[Told]:
    assert mapper._fast_path is not None
    return told(mapper._rows(mapper._fast_path.read(raws, range(len(raws))), Chunk(3, raws), POSITION))


@given(records=st.lists(RECORDS, min_size=1, max_size=8))
@example(records=[{"id": "1", "name": "A", "company_name": "B", "annual_revenue": msgspec.Raw(b"1.10"), "revenue": 2}])
@example(records=[{"id": 1, "name": "tab\there", "updated_at": "2024-01-31T10:00:00+01:00", "_deleted": True}])
@example(
    records=[
        {"id": 1, "name": "A"},
        {"customer_id": 2, "business_name": "B"},
        {"id": "", "customer_id": 3, "name": "C"},
    ]
)
def test_the_short_way_gives_what_the_models_give(mapper: Mapper, records: list[dict[str, Any]]) -> None:
    raws = [msgspec.json.encode(record) for record in records]
    for short in fast_rows(mapper, raws):
        long = mapper.map(raws[short.ordinal - 3], short.ordinal, POSITION)
        assert isinstance(long, Row), long
        assert [short] == told(long)


def test_common_records_take_the_fast_path(mapper: Mapper) -> None:
    identity, revenue = {"crm": ("customer_id", "annual_revenue"), "legacy": ("id", "revenue")}[mapper.source.name]
    record = {identity: "C1", "name": "Alder Works", revenue: 1.5, "status": "active", "notes": None}
    record["updated_at"] = "2025-01-31T10:00:00Z"
    # As CSV has it: numbers are texts, what is not there is left out.
    from_csv = {identity: "7", "name": "Alder Works", revenue: "1.50", "total_orders": "3"}
    assert len(fast_rows(mapper, [msgspec.json.encode(record), msgspec.json.encode(from_csv)])) == 2


def test_nested_objects_go_the_short_way_and_what_they_say_besides_is_kept() -> None:
    mapper = new_mapper(sources()["erp"], "entities")
    raws = [
        b'{"businessId": 1, "businessName": "A", "financials": {"annualRevenue": 1.50, "currency": "EUR"}, "hrData": {}}',
        b'{"businessId": 2, "businessName": "B", "financials": {"annualRevenue": 2}, "hrData": {"employeeCount": 3}}',
    ]
    rows = fast_rows(mapper, raws)
    assert mapper.sums(Chunk(3, raws), range(2), POSITION) == {"revenue": Decimal("3.5")}
    places = {name: place for place, name in enumerate(mapper.columns)}
    found = [row.line.split("\t") for row in rows]
    assert [line[places["attributes"]] for line in found] == ['{"financials":{"currency":"EUR"}}', "{}"]
    assert [line[places["employees"]] for line in found] == ["", "3"]
    # One that is no object is for the models to judge.
    odd = [b'{"businessId": 3, "businessName": "C", "financials": 7}']
    assert fast_rows(mapper, [*raws, *odd]) == rows


def test_a_path_as_the_name_of_a_column_goes_the_short_way() -> None:
    """As a CSV has it, which has no nested objects."""
    mapper = new_mapper(sources()["erp"], "entities")
    raws = [
        b'{"businessId": "1", "businessName": "A", "financials.annualRevenue": "1.50", "hrData.employeeCount": "3"}',
        b'{"businessId": 2, "businessName": "B", "financials": {"annualRevenue": 2}, "financials.annualRevenue": 9}',
    ]
    rows = fast_rows(mapper, raws)
    places = {name: place for place, name in enumerate(mapper.columns)}
    found = [row.line.split("\t") for row in rows]
    assert [line[places["revenue"]] for line in found] == ["1.5", "2"]
    assert [line[places["attributes"]] for line in found] == ["{}", '{"financials.annualRevenue":9}']


def test_records_that_spell_their_fields_in_different_ways_go_the_short_way() -> None:
    mapper = new_mapper(sources()["crm"], "entities")
    raws = [
        b'{"customer_id": 1, "company_name": "A"}',
        b'{"id": 2, "name": "B"}',
        b'{"customer_id": 3, "company_name": "C"}',
    ]
    assert sorted(row.key for row in fast_rows(mapper, raws)) == ["crm_1", "crm_2", "crm_3"]


def test_other_records_keep_no_record_from_the_fast_path() -> None:
    mapper = new_mapper(sources()["crm"], "entities")
    good = b'{"id": 1, "name": "A", "revenue": 1.5}'
    odd = [
        *(b"{", b"[]", b'{"id": 2, "name": "B", "revenue": "1e3"}', b'{"id": " 3 ", "name": "C"}', b'{"id": 5}'),
        *(b'{"id": 4, "name": "a\\tb"}', b'{"id": 6, "name": "D", "updated_at": "2031-01-01"}'),
        b'{"id": 7, "name": "E", "x": 1e400}',
    ]
    assert [row.ordinal - 3 for row in fast_rows(mapper, [good, *odd, good])] == [0, len(odd) + 1]


def test_structs_are_made_for_a_bounded_number_of_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table may have thousands of columns. All of them are kept."""
    monkeypatch.setattr(fast_path, "MOST_FIELDS", 5)
    mapper = new_mapper(sources()["crm"], "entities")
    raw = msgspec.json.encode({"id": 1, "name": "A", **{f"x{number}": number for number in range(20)}})
    (row,) = fast_rows(mapper, [raw])
    assert '"x19":19' in row.line
    assert mapper._fast_path is not None
    assert len(mapper._fast_path._expected) == 5


class Validated(Entity):
    @field_validator("country")
    @classmethod
    def _in_capitals(cls, value: str | None) -> str | None:
        return value and value.upper()


class Bounded(Entity):
    employees: Count | None = Field(default=None, le=10)


class Flagged(Entity):
    active: bool = False


class Defaulted(Entity):
    industry: Label = Field(default="unknown")  # pyright: ignore[reportIncompatibleVariableOverride]


class Timed(Entity):
    signed_up: Time | None = aliased("signed_up")


@pytest.mark.parametrize("model", [Validated, Bounded, Flagged, Defaulted, Timed])
def test_a_model_that_says_more_than_types_is_asked_itself(model: type[Entity]) -> None:
    mapper = new_mapper(dataclasses.replace(sources()["legacy"], records=(model,)), "entities")
    raw = b'{"id": 1, "name": "A", "country": "de", "employees": 11, "signed_up": "2025-01-01"}'
    many, alone = mapper.map_all(Chunk(1, [raw]), [0], POSITION), mapper.map(raw, 1, POSITION)
    assert [*told(many.rows), *many.bad] == (told(alone) if isinstance(alone, Row) else [alone])
