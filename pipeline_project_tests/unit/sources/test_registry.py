"""Source systems: how objects find them, and what a new one takes."""

import dataclasses
import inspect
from typing import get_args

import pytest

from pipeline_project import sources as package
from pipeline_project.ingest.mapping.mappers import mapper_for
from pipeline_project.schema.fields import aliases
from pipeline_project.sources import crm, erp, legacy
from pipeline_project.sources.registry import route, sources


@pytest.mark.parametrize(
    ("key", "source", "dataset"),
    [
        ("crm-data/a.json", "crm", "entities"),
        ("erp-data/2025/01/a.json", "erp", "entities"),
        ("legacy-data/relationships/a.json", "legacy", "relationships"),
        ("crm-data/metrics/2025/a", "crm", "metrics"),
        ("crm-data/entities/a", "crm", "entities"),
        ("crm-data/metrics", "crm", "entities"),  # a file of that name
        ("crm-data/other/metrics/a", "crm", "entities"),
        ("crm-data/../erp-data/a", "crm", "entities"),
        ("crm-data//a", "crm", "entities"),
    ],
)
def test_the_first_folder_names_the_source_and_the_next_may_name_the_dataset(
    key: str, source: str, dataset: str
) -> None:
    way = route(key)
    assert way is not None
    assert (way[0].name, way[1]) == (source, dataset)


@pytest.mark.parametrize(
    "key", ["", "a", "crm-data", "crm/a", "/crm-data/a", "nobody-data/a", "crm-data2/a", "../crm-data/a"]
)
def test_what_nobody_is_registered_for_is_unroutable(key: str) -> None:
    assert route(key) is None


def test_a_source_is_registered_by_being_there() -> None:
    built_in = {"crm": crm.SOURCE, "erp": erp.SOURCE, "legacy": legacy.SOURCE}
    assert built_in.items() <= sources().items()
    assert all(name == source.name for name, source in sources().items())
    for module in (crm, erp, legacy):
        assert len(inspect.getsource(module).splitlines()) < 40
    assert package.__path__


def test_spellings_are_paths_the_preferred_first() -> None:
    revenue = erp.SOURCE.record("entities").model_fields["revenue"]
    nested = [("financials", "annualRevenue"), ("financials.annualRevenue",)]
    assert aliases("revenue", revenue) == [*nested, ("annualRevenue",), ("revenue",)]
    without_alias = erp.SOURCE.record("relationships").model_fields["valid_from"]
    assert aliases("valid_from", without_alias) == [("valid_from",)]


@pytest.mark.parametrize("name", sources())
def test_every_source_has_a_mapper_for_every_dataset(name: str) -> None:
    for dataset in get_args(str):
        mapper = mapper_for(sources()[name], dataset)
        assert mapper.field_names().ids
        assert len(set(mapper.columns)) == len(mapper.columns)


@pytest.mark.parametrize("name", ["legacy_eu", "Crm", "", "7", "a-b"])
def test_no_id_of_a_source_can_look_like_one_of_another(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case letters and digits"):
        dataclasses.replace(crm.SOURCE, name=name)


def test_totals_are_numeric_fields_of_their_source() -> None:
    for source in sources().values():
        assert set(source.totals.values()) <= set(source.record("entities").model_fields)


@pytest.mark.parametrize(
    ("source", "field", "aliases"),
    [
        ("crm", "source_id", ["customer_id", "id"]),
        ("crm", "name", ["company_name", "business_name", "name"]),
        ("crm", "revenue", ["annual_revenue", "revenue"]),
        ("crm", "employees", ["employee_count", "employees"]),
        ("crm", "industry", ["industry", "industry_code"]),
        ("erp", "name", ["businessName"]),
        ("erp", "revenue", ["financials.annualRevenue"]),
        ("erp", "employees", ["hrData.employeeCount"]),
        ("erp", "industry", ["sector"]),
        *(("legacy", name, [name]) for name in ("name", "revenue", "employees", "industry")),
    ],
)
def test_each_spelling_of_a_source_means_its_canonical_field(source: str, field: str, aliases: list[str]) -> None:
    value = "7" if field in ("source_id", "revenue", "employees") else "seven"
    for spelling in aliases:
        outer, _, inner = spelling.partition(".")
        for sent in ({outer: {inner: value} if inner else value}, {spelling: value}):
            record = sources()[source].record("entities").model_validate({"id": "1", **sent})
            assert str(getattr(record, field)) == value, spelling
