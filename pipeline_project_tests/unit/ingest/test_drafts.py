"""Drafts: what samples show is declared with its evidence, what they do not show is a question."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline_project.errors import Permanent
from pipeline_project.ingest.drafting import Draft, draft


@pytest.fixture
def drafted(tmp_path: Path) -> Any:
    def of(*contents: bytes | str) -> Draft:
        paths = []
        for number, content in enumerate(contents):
            paths.append(tmp_path / f"{number}.txt")
            paths[-1].write_bytes(content if isinstance(content, bytes) else content.encode())
        return draft(paths, "demo")

    return of


def table(name: str, *values: str) -> str:
    """Return a CSV file with an ID, a name and one column with these values."""
    return "\n".join([f"customer_id;company_name;{name}", *(f"C{i};A;{value}" for i, value in enumerate(values)), ""])


def test_known_names_become_fields(drafted: Any) -> None:
    found = drafted('Kundennummer,Firma,Land,Foo\n7,"Alder, Inc",DE,x\n8,Birch,FR,x\n')
    assert found.toml.splitlines() == [
        "# Drafted from 0.txt: csv, encoding 'utf-8', delimiter ',', header line 1",
        'name = "demo"',
        'description = "Files of demo"',
        'entity_type = "customer"',
        "",
        "[entity]",
        'source_id = ["Kundennummer"]  # 2 of 2 filled, all different',
        'name = ["Firma"]  # 2 of 2 filled',
        'country = ["Land"]  # 2 of 2 filled',
        "",
        "# Columns that become attributes: Foo",
    ]
    assert found.questions == []


def test_the_type_of_entity_follows_from_the_name_of_the_id(drafted: Any) -> None:
    assert 'entity_type = "supplier"' in drafted("LIFNR,NAME1\n1,A\n").toml
    assert 'entity_type = "account"' in drafted("Account ID,Account Name\n1,A\n").toml


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        (["1000", "7"], []),
        (["1000.5", "1.234"], []),
        (["1.234,56", "12.500"], ['decimal = ","', 'group = "."']),
        (["1,234.56", "12,500"], ['group = ","']),
        (["1 234,5", "1"], ['decimal = ","', 'group = " "']),
        (["1'234.50", "1"], ['group = "\'"']),
        (["1.234,56-", "1,00"], ['decimal = ","', 'group = "."', "trailing_minus = true"]),
        (["(1,5)", "2,5"], ['decimal = ","', "parentheses = true"]),
        (["12,50 €", "1.000,00 €"], ['decimal = ","', 'group = "."', 'currency = ["€"]']),
        (["EUR 12.5", "7"], ['currency = ["EUR"]']),
        (["NULL", "12,5", "N/A"], ['decimal = ","']),
    ],
)
def test_a_format_that_reads_all_numbers_is_declared(values: list[str], settings: list[str], drafted: Any) -> None:
    found = drafted(table("Umsatz", *values))
    _, _, dialect = found.toml.partition("[dialect]\n")
    assert dialect.splitlines() == settings
    assert found.questions == []
    assert 'revenue = ["Umsatz"]' in found.toml


def test_the_value_that_settles_a_format_is_shown(drafted: Any) -> None:
    found = drafted(table("Umsatz", "850", "1.234,56"))
    assert 'decimal = ",", group = ".": 0.txt line 3 "1.234,56"' in found.toml


@pytest.mark.parametrize("values", [["12.500", "850"], ["1,234"]])
def test_two_formats_that_read_a_value_differently_are_a_question(values: list[str], drafted: Any) -> None:
    found = drafted(table("Umsatz", *values))
    assert "[dialect]" not in found.toml
    [question] = found.questions
    assert question.text.startswith("How are the values of Umsatz written? Ambiguous")
    assert len(question.settings) == 2


def test_columns_in_two_formats_are_declared_one_by_one(drafted: Any) -> None:
    found = drafted("id;name;Umsatz;Lifetime Value\n1;A;1.234,56;1234.5\n2;B;1,5;0.25\n")
    assert 'decimal = ","' in found.toml
    assert '[dialect.fields."Lifetime Value"]\ndecimal = "."\ngroup = ""' in found.toml


def test_a_column_of_ranges_is_no_number(drafted: Any) -> None:
    found = drafted(table("Mitarbeiter", "51-200", "11-50", "1"))
    assert "# Columns that become attributes: Mitarbeiter" in found.toml
    assert any("Mitarbeiter is kept as an attribute" in line for line in found.to_confirm)


@pytest.mark.parametrize(
    ("values", "days"),
    [
        (["31.12.2024", "01.02.2024", "00000000"], "%d.%m.%Y"),
        (["12/31/2024", "01/02/2024"], "%m/%d/%Y"),
        (["31/12/2024", "01/02/2024"], "%d/%m/%Y"),
        (["20241231", "20240101"], "%Y%m%d"),
    ],
)
def test_days_are_declared_as_attributes(values: list[str], days: str, drafted: Any) -> None:
    found = drafted(table("Anlagedatum", *values))
    assert f'days = ["{days}"]' in found.toml
    assert '[entity.types]\nanlagedatum = "day"' in found.toml
    assert found.questions == []


def test_days_that_can_be_read_in_two_ways_are_a_question(drafted: Any) -> None:
    [question] = drafted(table("Date", "01/02/2024", "03/04/2024")).questions
    assert question.settings == ['days = ["%d/%m/%Y"]', 'days = ["%m/%d/%Y"]']


def test_a_number_is_no_day_unless_its_name_says_so(drafted: Any) -> None:
    assert "[dialect]" not in drafted(table("Code", "20241231", "20240101")).toml


def test_local_times_need_a_zone(drafted: Any) -> None:
    [question] = drafted(table("Last Modified Date", "2024-01-01 10:00", "2024-01-02 11:00")).questions
    assert "Which time zone" in question.text
    assert drafted(table("Last Modified Date", "2024-01-01 10:00:00 UTC", "2024-01-02T11:00:00Z")).questions == []


def test_times_in_another_format_are_declared(drafted: Any) -> None:
    found = drafted(table("updated_at", "31.12.2024 10:00", "01.01.2025 11:30"))
    assert 'times = ["%d.%m.%Y %H:%M"]' in found.toml


def test_the_encoding_is_asked_for_and_never_declared(drafted: Any) -> None:
    found = drafted("customer_id;company_name\n1;Müller\n".encode("cp1252"))
    [question] = found.questions
    assert "'1;Müller' in cp1252" in question.text
    assert 'encoding = "cp1252"' in question.settings
    assert "[dialect]" not in found.toml


def test_a_flag_of_deletion_is_asked_for(drafted: Any) -> None:
    [question] = drafted(table("LOEVM", "", "X")).questions
    assert question.text == 'Does LOEVM mark deleted records? 1 of 2 records have "X".'
    assert question.settings == ['deleted = ["LOEVM"], with true = ["X"] and false = [""] under [dialect]']
    assert drafted(table("is_deleted", "true", "false")).questions == []


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["1.23457E+11", "1"], "lost digits"),
        (["N/A", "1"], "stands for a missing value"),
        (["0015", "15"], "leading zeros"),
        (["001A000001ABCDE", "001A000001ABCDEIA3"], "15 and of 18 characters"),
    ],
)
def test_damaged_ids_are_asked_for(ids: list[str], words: str, drafted: Any) -> None:
    found = drafted("\n".join(["customer_id,name", *(f"{each},A" for each in ids), ""]))
    assert any(words in question.text for question in found.questions)


def test_ids_with_decimals_are_stripped(drafted: Any) -> None:
    assert 'id_decimals = "strip"' in drafted("customer_id,name\n12.0,A\n13.0,B\n").toml


def test_an_id_without_a_known_name_is_found_by_its_values(drafted: Any) -> None:
    found = drafted("Mandant;Schluessel;Firma\n1;K1;Alder\n1;K2;Birch\n")
    assert 'source_id = ["Schluessel"]' in found.toml


def test_several_columns_that_can_be_the_id_are_a_question(drafted: Any) -> None:
    records = [{"a": "x", "b": "y", "name": "A"}, {"a": "z", "b": "w", "name": "B"}]
    [question] = drafted(msgspec.json.encode(records)).questions
    assert question.settings == ['source_id = ["a"]', 'source_id = ["b"]']


def test_a_composite_key_is_told_and_not_invented(drafted: Any) -> None:
    records = [{"werk": w, "lfd": n, "name": "A"} for w in (1, 2) for n in (1, 2)]
    found = drafted(msgspec.json.encode(records))
    [question] = found.questions
    assert "Perhaps these are unique together: werk and lfd" in question.text
    assert "source_id" not in found.toml


def test_a_missing_name_is_a_question(drafted: Any) -> None:
    [question] = drafted("customer_id,titel\n1,Alder\n").questions
    assert question.settings == ['name = ["titel"]']


def test_several_files_are_one_sample(drafted: Any) -> None:
    """The second file settles what the first one leaves open."""
    found = drafted(table("Umsatz", "12.500"), table("Umsatz", "1.234,56"))
    assert found.questions == []
    assert 'group = "."' in found.toml
    assert found.toml.splitlines()[1].startswith("# Drafted from 1.txt")


def test_a_text_of_the_file_cannot_end_a_comment(drafted: Any) -> None:
    found = drafted('customer_id,name,"a\nevil = 1"\n1,A,"x\ny"\n')
    assert not any(line.startswith("evil") for text in (found.toml, found.python) for line in text.splitlines())


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4", b'[{"id": 1}, {"id"'])
def test_a_file_that_cannot_be_read_is_an_error(content: bytes, drafted: Any) -> None:
    with pytest.raises(Permanent, match=r"0\.txt"):
        drafted(content)
