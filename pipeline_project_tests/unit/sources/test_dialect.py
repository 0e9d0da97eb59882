"""Dialects: how the files of a source are written, and which settings count where several are declared."""

from typing import Any

import pytest

from pipeline_project.sources.dialect import Dialect, DialectError, FieldFormat, Variant, key_pattern
from pipeline_project.sources.source import Source

SAP = Source(
    name="sap",
    description="Customers of the ERP",
    dialect=Dialect(encoding="cp1252", decimal=",", fields={"revenue": FieldFormat(group=" ")}),
    dialects={"metrics": Dialect(decimal=".")},
    variants=(
        Variant(keys="sap-data/2023/**", dialect=Dialect(decimal=".", fields={"revenue": FieldFormat(zone="UTC")})),
        Variant(keys="sap-data/**", dialect=Dialect(delimiter="|")),
    ),
)


def test_a_source_that_declares_nothing_has_an_empty_dialect() -> None:
    assert Source(name="plain", description="").dialect_of("entities", "plain-data/a.csv") == Dialect()


def test_a_variant_is_merged_over_the_dataset_and_the_dataset_over_the_source() -> None:
    old = SAP.dialect_of("entities", "sap-data/2023/a.csv")
    assert (old.encoding, old.decimal, old.delimiter) == ("cp1252", ".", None)
    assert old.fields == {"revenue": FieldFormat(group=" ", zone="UTC")}
    new = SAP.dialect_of("metrics", "sap-data/metrics/a.csv")
    assert (new.encoding, new.decimal, new.delimiter) == ("cp1252", ".", "|")


def test_objects_of_one_variant_have_one_dialect() -> None:
    first = SAP.dialect_of("entities", "sap-data/2023/a.csv")
    assert SAP.dialect_of("entities", "sap-data/2023/x/b.csv") is first


def test_the_format_of_a_column_goes_before_that_of_the_source() -> None:
    dialect = SAP.dialect_of("entities", "sap-data/a.csv")
    assert dialect.format_of(["revenue"]) == FieldFormat(decimal=",", group=" ")
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


def test_an_empty_setting_is_not_declared() -> None:
    assert Dialect(records="", record="", comment="", columns=()) == Dialect()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"decimal": ",,"}, 'decimal: ",," is not a decimal mark. Use one character'),
        ({"decimal": "5"}, "is not a decimal mark"),
        ({"decimal": ",", "group": ","}, "group: the decimal mark also separates groups. Declare two marks"),
        ({"group": "--"}, "cannot separate groups of digits"),
        ({"currency": ("5",)}, "is not the name of a currency"),
        ({"days": ("%d/%m/%Y", "%m/%d/%Y")}, '"%d/%m/%Y" and "%m/%d/%Y" read "01/02/2003" as different days'),
        ({"days": ("iso", "%Y-%d-%m")}, "as different days. Keep one of them."),
        ({"days": ("%d.%m",)}, "has no year, month and day"),
        ({"days": ("%d.%m.%Q",)}, "has the code %Q, which is not supported"),
        ({"days": ("unix",)}, "or one of: iso, excel"),
        ({"times": ("%d.%m.%Y %I:%M",)}, "needs %I and %p together"),
        ({"zone": "Europe/Berln"}, "is not a time zone"),
        ({"true": ("X",), "false": ("X",)}, "means true and false"),
        ({"encoding": "cp12523"}, "is not an encoding"),
        ({"encoding": "base64"}, "is not an encoding"),
        ({"delimiter": "||||"}, "A delimiter has 1 to 3 characters"),
        ({"delimiter": ";", "quote": ";"}, "The delimiter and the quote are the same"),
        ({"quote": "''"}, "Use one character"),
        ({"skip_lines": -1}, "not negative"),
        ({"footer": ("[",)}, "is not a regular expression"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(DialectError) as raised:
        Dialect(**settings)
    assert says in str(raised.value)
    assert raised.value.setting in settings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"dialect": Dialect(group=".")}, "the decimal mark also separates groups"),
        ({"dialect": Dialect(header_lines=0)}, "needs the names of its columns. Declare `columns`."),
        (
            {"dialect": Dialect(fields={"UMSATZ": FieldFormat(decimal=",")})},
            "no field of this source has the name UMSATZ",
        ),
        ({"dialects": {"customers": Dialect()}}, "there is no such dataset"),
        (
            {
                "dialect": Dialect(decimal=",", fields={"revenue": FieldFormat(group=".")}),
                "variants": (Variant(keys="sap-data/old/**", dialect=Dialect(decimal=".")),),
            },
            "the decimal mark also separates groups",
        ),
    ],
)
def test_a_source_refuses_dialects_that_contradict_it(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(DialectError) as raised:
        Source(name="sap", description="", **settings)
    assert says in str(raised.value)


def test_another_decimal_mark_leaves_out_the_groups_of_the_source() -> None:
    source = Source(
        name="sap",
        description="",
        dialect=Dialect(decimal=",", group=".", fields={"revenue": FieldFormat(decimal=".")}),
        variants=(Variant(keys="sap-data/old/**", dialect=Dialect(decimal=".")),),
    )
    dialect = source.dialect_of("entities", "sap-data/a")
    assert dialect.format_of(["revenue"]) == FieldFormat(decimal=".")
    assert dialect.format_of(["employees"]) == FieldFormat(decimal=",", group=".")
    assert source.dialect_of("entities", "sap-data/old/a").group is None


def test_a_text_for_no_value_can_be_declared_of_any_column() -> None:
    Source(name="sap", description="", dialect=Dialect(fields={"TELF1": FieldFormat(null_texts=("n/v",))}))
