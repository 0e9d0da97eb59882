"""Dialects: how the files of a source are written, and which settings count where several are declared."""

import pytest

from pipeline_project.sources.dialect import Dialect, FieldFormat, Variant, key_pattern
from pipeline_project.sources.source import Source

SAP = Source(
    name="sap",
    description="Customers of the ERP",
    dialect=Dialect(encoding="cp1252", decimal=",", fields={"UMSAT": FieldFormat(group=".")}),
    dialects={"metrics": Dialect(decimal=".")},
    variants=(
        Variant(keys="sap-data/2023/**", dialect=Dialect(decimal=".", fields={"UMSAT": FieldFormat(zone="UTC")})),
        Variant(keys="sap-data/**", dialect=Dialect(delimiter="|")),
    ),
)


def test_a_source_that_declares_nothing_has_an_empty_dialect() -> None:
    assert Source(name="plain", description="").dialect_of("entities", "plain-data/a.csv") == Dialect()


def test_a_variant_is_merged_over_the_dataset_and_the_dataset_over_the_source() -> None:
    old = SAP.dialect_of("entities", "sap-data/2023/a.csv")
    assert (old.encoding, old.decimal, old.delimiter) == ("cp1252", ".", None)
    assert old.fields == {"UMSAT": FieldFormat(group=".", zone="UTC")}
    new = SAP.dialect_of("metrics", "sap-data/metrics/a.csv")
    assert (new.encoding, new.decimal, new.delimiter) == ("cp1252", ".", "|")


def test_objects_of_one_variant_have_one_dialect() -> None:
    first = SAP.dialect_of("entities", "sap-data/2023/a.csv")
    assert SAP.dialect_of("entities", "sap-data/2023/x/b.csv") is first


def test_the_format_of_a_column_goes_before_that_of_the_source() -> None:
    dialect = SAP.dialect_of("entities", "sap-data/a.csv")
    assert dialect.format_of(["revenue", "UMSAT"]) == FieldFormat(decimal=",", group=".")
    assert dialect.format_of(["employees"]) == FieldFormat(decimal=",")


@pytest.mark.parametrize(
    ("glob", "fits", "does_not"),
    [
        ("**/manifest.json", ["manifest.json", "a/manifest.json", "a/b/manifest.json"], ["a/manifest.json.gz"]),
        ("a-data/2023/**", ["a-data/2023/x", "a-data/2023/x/y.csv"], ["a-data/2024/x", "a-data/2023"]),
        ("a-data/*.csv", ["a-data/x.csv", "a-data/.csv"], ["a-data/x/y.csv", "a-data/xcsv"]),
        ("a-data/part-?.csv", ["a-data/part-1.csv"], ["a-data/part-10.csv", "a-data/part-/.csv"]),
        ("a+(b)/[x]", ["a+(b)/[x]"], ["aab/x"]),
    ],
)
def test_patterns_of_keys(glob: str, fits: list[str], does_not: list[str]) -> None:
    assert all(key_pattern(glob).fullmatch(key) for key in fits)
    assert not any(key_pattern(glob).fullmatch(key) for key in does_not)
