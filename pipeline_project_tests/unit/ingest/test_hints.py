"""Hints: a column that no field takes, and the one field that it is probably meant for."""

import pytest

from pipeline_project.ingest.inspection.hints import hints

ALIASES = {
    "industry": "industry",
    "industry_code": "industry",
    "annual_revenue": "revenue",
    "employees": "employees",
    "name": "name",
    "id": "source_id",
    "region": "region",
}


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("INDUSTY", "industry"),
        ("Anual Revenu", "revenue"),
        ("annual.revenue", None),  # the last part of a path is its name
        ("financials.Annual-Revenue", "revenue"),
        ("Employes", "employees"),
        ("mame", "name"),
        ("ie", None),  # too short for a slip
        ("nome_x", None),
        ("revenue_of_the_group", None),
        ("regoin", None),  # two letters in exchanged places are two edits, which is too much for six letters
        ("IsActive", "deleted"),
        ("LOEVM", "deleted"),
    ],
)
def test_a_name_that_resembles_one_field_is_a_hint(name: str, field: str | None) -> None:
    assert hints([name], ALIASES, set()) == ({name: field} if field else {})


def test_a_field_that_another_column_has_is_no_hint() -> None:
    assert hints(["INDUSTY", "archived"], ALIASES, {"industry", "deleted"}) == {}


def test_two_candidates_are_no_hint() -> None:
    assert hints(["region_a"], {"region_b": "one", "region_c": "two"}, set()) == {}
