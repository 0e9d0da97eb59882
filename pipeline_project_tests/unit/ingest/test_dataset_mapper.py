"""Mappers that are derived from a declaration: many records at once give what each alone gives, for any dataset."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_project.datasets.entities import ENTITIES
from pipeline_project.ingest.decoding import Chunk
from pipeline_project.ingest.mapping.dataset_mapper import DatasetMapper
from pipeline_project.ingest.mapping.mappers import mapper_class
from pipeline_project.ingest.mapping.rows import Bad, Row
from pipeline_project.ingest.mapping.versioned_mapper import VersionedMapper
from pipeline_project.schema.dataset import Dataset, Versioned
from pipeline_project_tests.declared import PRODUCTS, RECEIPTS, kiosk, registered
from pipeline_project_tests.mapped import POSITION, told

DECLARED = {each.name: each for each in (RECEIPTS, PRODUCTS)}
GOOD: dict[str, dict[str, Any]] = {
    "receipts": {"receipt_id": "1", "amount": 2},
    "products": {"article": "1", "prices": {"net": 2}},
}
VALUES = st.one_of(
    st.text(max_size=6),
    st.text(alphabet="\t\n\\ a", max_size=4),
    st.integers(-2, 3),
    st.sampled_from([0.5, 1e-7, 12.50, True, None, "", " ", [], {}, {"a": "b\\"}, [1.5, {"b": None}]]),
    st.sampled_from(["withdrawn", "Withdrawn", "2025-01-31", "2024-12-31", "2025-01-31T10:00:00Z"]),
    st.sampled_from(["2025-01-31T10:00:00+02:00", "0001-01-01T00:00:00+01:00", "2025-01-31 10:00", "1735725600"]),
    st.builds(lambda net: {"net": net, "gross": 1}, st.sampled_from([1, "2.50", None, "x"])),
)
NAMES = {
    "receipts": ["receipt_id", "customer_id", "issued", "due", "amount", "currency", "lines", "paid_share", "sent_at"],
    "products": [
        "article",
        "sku",
        "title",
        "category",
        "price",
        "prices",
        "stock",
        "state",
        "supplier_id",
        "listed_at",
    ],
}
SHARED = ["dimensions", "colour", "color", "_deleted", "updated_at", "other"]


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    with registered(RECEIPTS, PRODUCTS):
        yield


def mapper(dataset: Dataset, **changes: Any) -> DatasetMapper:
    return mapper_class(dataset)(dataclasses.replace(kiosk(), **changes), dataset)


@st.composite
def records(draw: st.DrawFn, dataset: str) -> bytes:
    fields = draw(st.dictionaries(st.sampled_from(NAMES[dataset] + SHARED), VALUES, max_size=6))
    return json.dumps({**GOOD[dataset], **fields} if draw(st.booleans()) else fields).encode()


@pytest.mark.parametrize("name", DECLARED)
@settings(suppress_health_check=[HealthCheck.differing_executors])
@given(data=st.data())
def test_many_records_at_once_give_what_each_alone_gives(name: str, data: st.DataObject) -> None:
    raws = data.draw(st.lists(records(name), min_size=1, max_size=6))
    derived = mapper(DECLARED[name])
    many = derived.map_all(Chunk(1, raws), range(len(raws)), POSITION)
    alone = [derived.map(raw, place, POSITION) for place, raw in enumerate(raws, 1)]
    rows = [row for each in alone if isinstance(each, Row) for row in told(each)]
    assert sorted(told(many.rows), key=lambda row: row.ordinal) == rows
    assert many.bad == [each for each in alone if isinstance(each, Bad)]
    assert all(row.line.count("\t") == len(derived.columns) - 1 for row in rows)


@pytest.mark.parametrize("name", DECLARED)
def test_declared_datasets_take_the_fast_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    derived = mapper(DECLARED[name])
    monkeypatch.setattr(derived, "map", None)
    raw = json.dumps({**GOOD[name], "lines": [1], "paid_share": 0.5, "listed_at": "2025-01-31", "x": 1}).encode()
    assert len(derived.map_all(Chunk(1, [raw, raw]), [0, 1], POSITION).rows.keys) == 2


def test_the_declaration_gives_the_columns_in_their_order() -> None:
    line = mapper(RECEIPTS).map(
        b'{"receipt_id": "7", "customer_id": "C\\t1", "issued": "2025-01-31", "amount": 1.50, "x": 1, "paid_share": 0.5}',
        1,
        POSITION,
    )
    assert isinstance(line, Row)
    cells = dict(zip(mapper(RECEIPTS).columns, line.line.split("\t"), strict=True))
    assert {
        name: cells[name] for name in ("canonical_id", "deleted", "customer_canonical_id", "amount", "currency")
    } == {
        **{"canonical_id": "kiosk_7", "deleted": "f", "customer_canonical_id": "kiosk_C\\t1", "amount": "1.5"},
        "currency": "EUR",
    }
    assert (cells["attributes"], cells["paid_share"], cells["sent_at"]) == ('{"x":1}', "0.5", "")


def test_a_column_that_is_never_null_needs_a_value_or_a_fallback() -> None:
    raw = json.dumps(GOOD["products"]).encode()
    assert isinstance(mapper(PRODUCTS).map(raw, 1, POSITION), Row)
    strict = mapper(PRODUCTS, fallbacks={})
    found = strict.map_all(Chunk(1, [raw]), [0], POSITION)
    assert [(error.field, error.rule) for bad in found.bad for error in bad.errors] == [("category", "missing")]


def test_the_kind_decides_which_mapper_is_derived() -> None:
    assert mapper_class(RECEIPTS) is DatasetMapper
    assert mapper_class(PRODUCTS) is VersionedMapper
    odd = dataclasses.replace(PRODUCTS, mapper="pipeline_project.ingest.mapping.dataset_mapper:DatasetMapper")
    with pytest.raises(TypeError, match=r"products.*no subclass of VersionedMapper"):
        mapper_class(odd)


def test_declarations_that_no_mapper_can_follow_are_refused() -> None:
    with pytest.raises(ValueError, match=r"keeps its history.*canonical_id"):
        dataclasses.replace(RECEIPTS, kind=Versioned(id="receipt_id"), key=("canonical_id", "currency"))
    with pytest.raises(ValueError, match=r"'stock'.*not a text"):
        dataclasses.replace(PRODUCTS, deleted_if=("stock", "0"))


def test_the_names_of_ids_come_from_the_declaration() -> None:
    assert set(mapper(PRODUCTS).field_names().ids) == {"article", "sku"}
    assert set(mapper(RECEIPTS).field_names().ids) == {"receipt_id"}
    assert set(mapper(ENTITIES).field_names().ids) == {"id"}
