"""The mapper of partial records: what a record sent, on the fast path and one by one."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.datasets.registry import datasets
from pipeline_project.ingest.decoding.records import Chunk
from pipeline_project.ingest.mapping.patch_mapper import PatchMapper
from pipeline_project.ingest.mapping.rows import Bad, Row
from pipeline_project.sources.crm import SOURCE as CRM
from pipeline_project.sources.erp import SOURCE as ERP
from pipeline_project_tests.mapped import POSITION

CRM_MAPPER = PatchMapper(dataclasses.replace(CRM, partial=("entities",)), datasets()["entities"], 1)
ERP_MAPPER = PatchMapper(dataclasses.replace(ERP, partial=("entities",)), datasets()["entities"], 1)


def sent(mapper: PatchMapper, record: dict[str, Any]) -> tuple[set[str], dict[str, None]]:
    """Return the columns that a record sent, and the attributes that it removes."""
    row = mapper.map(json.dumps(record).encode(), 1, POSITION)
    assert isinstance(row, Row), row
    *_, unsent, _, cleared = row.line.split("\t")
    columns = {column.name for column in datasets()["entities"].content} - {"deleted", "attributes"}
    return columns - set(unsent.strip("{}").split(",")), json.loads(cleared)


@pytest.mark.parametrize(
    ("record", "columns", "cleared"),
    [
        ({}, set(), {}),
        ({"company_name": "A"}, {"name"}, {}),
        ({"name": "A", "annual_revenue": None}, {"name", "revenue"}, {}),
        ({"industry_code": "", "status": " "}, {"industry", "status"}, {}),
        ({"phone": None, "fax": "", "site": {"a": None}}, set(), {"phone": None, "fax": None}),
        ({"first_purchase_date": None}, set(), {"first_order_date": None}),
        ({"first_order_date": None, "first_purchase_date": "2024-01-01"}, set(), {}),
        ({"updated_at": None, "_deleted": None}, set(), {}),
        ({"Annual Revenue": None, "First Order Date": ""}, {"revenue"}, {"first_order_date": None}),
    ],
)
def test_a_null_is_told_from_a_field_that_was_not_sent(
    record: dict[str, Any], columns: set[str], cleared: dict[str, None]
) -> None:
    assert sent(CRM_MAPPER, {"id": 1, **record}) == (columns, cleared)


def test_a_null_in_the_place_of_an_object_empties_what_is_in_it() -> None:
    assert sent(ERP_MAPPER, {"businessId": 1, "financials": {"annualRevenue": 5}}) == ({"revenue"}, {})
    columns, cleared = sent(ERP_MAPPER, {"businessId": 1, "financials": None})
    assert "revenue" in columns
    assert cleared == {"financials": None}


VALUES = st.sampled_from([None, "", " ", "A", "deleted", 5, "5", "1,200", {"annualRevenue": 1, "x": None}, True])
NAMES = st.sampled_from(
    [
        "name",
        "company_name",
        "status",
        "annual_revenue",
        "revenue",
        "phone",
        "first_order_date",
        "_deleted",
        "entity_type",
    ]
)


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=5), min_size=1, max_size=8))
def test_many_records_at_once_are_mapped_as_each_by_itself(records: list[dict[str, Any]]) -> None:
    raw = [json.dumps({"id": number, **record}).encode() for number, record in enumerate(records)]
    together = CRM_MAPPER.map_all(Chunk(1, list(raw)), range(len(raw)), POSITION)
    single = [CRM_MAPPER.map(each, ordinal, POSITION) for ordinal, each in enumerate(raw, 1)]
    assert sorted(together.rows.lines) == sorted(each.line for each in single if isinstance(each, Row))
    assert together.bad == [each for each in single if isinstance(each, Bad)]


def test_records_without_a_name_take_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_single_record(*_: Any) -> None:
        raise AssertionError("the record was mapped by itself")

    monkeypatch.setattr(CRM_MAPPER, "map", no_single_record)
    chunk = Chunk(1, [b'{"id": 1, "status": "new"}', b'{"id": 2, "annual_revenue": null}'])
    assert len(CRM_MAPPER.map_all(chunk, range(2), POSITION).rows.keys) == 2
