"""CSV files as systems really write them: each shape reads as its plain twin, and a note tells what was done."""

import csv
import io
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.ingest.decoding import formats, limits
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.records import Envelope
from pipeline_project.sources.dialect import UNDECLARED, Dialect
from pipeline_project_tests.records import records_of

NAMES = FieldNames(
    ids=frozenset({"customer_id", "id"}),
    fields={"customer_id": "source_id", "id": "source_id", "company_name": "name", "annual_revenue": "revenue"},
    id_fields=frozenset({"source_id"}),
)
HEADER = "customer_id,company_name,annual_revenue\n"
ROWS = "R-1,Alder,1\nR-2,Birch,2\n"
PLAIN = [
    {"customer_id": "R-1", "company_name": "Alder", "annual_revenue": "1"},
    {"customer_id": "R-2", "company_name": "Birch", "annual_revenue": "2"},
]


def read(text: str | bytes, dialect: Dialect = UNDECLARED) -> tuple[list[Any], dict[int, str], Envelope]:
    """Records, the rules of invalid records by ordinal, and the envelope."""
    data = text if isinstance(text, bytes) else text.encode()
    envelope = Envelope()
    records, flaws = records_of(formats.chunks(BytesIO(data), envelope, NAMES, dialect))
    return records, flaws, envelope


def refused(text: str | bytes, dialect: Dialect = UNDECLARED) -> ObjectFault:
    with pytest.raises(ObjectFault) as caught:
        read(text, dialect)
    return caught.value


LOADED: dict[str, tuple[str | bytes, set[str]]] = {
    "plain": (HEADER + ROWS, set()),
    "semicolons": ((HEADER + ROWS).replace(",", ";"), set()),
    "tabs": ((HEADER + ROWS).replace(",", "\t"), set()),
    "pipes": ((HEADER + ROWS).replace(",", "|"), set()),
    "sep line": ("sep=;\n" + (HEADER + ROWS).replace(",", ";"), set()),
    "sep line in quotes, with another delimiter": ('"sep=^"\r\n' + (HEADER + ROWS).replace(",", "^"), set()),
    "UTF-16 without a mark": ((HEADER + ROWS).encode("utf-16-le"), set()),
    "UTF-16 of the other order": ((HEADER + ROWS).encode("utf-16-be"), set()),
    "title lines": ("Account export\nCreated 2024-05-01\n\n" + HEADER + ROWS, {"lines_above_header"}),
    "comment lines": ('# made, by "somebody\n# of us\n' + HEADER + ROWS, {"lines_above_header"}),
    "grouping line": (",Company,\n" + HEADER + ROWS, {"lines_above_header"}),
    "line of dashes": (HEADER + "-----------,------------,--------------\n" + ROWS, {"ruler"}),
    "psql": (
        "customer_id|company_name|annual_revenue\n-----------+------------+---\nR-1|Alder|1\nR-2|Birch|2\n(2 rows)\n",
        {"ruler", "footer"},
    ),
    "header again": (HEADER + "R-1,Alder,1\n" + HEADER + "R-2,Birch,2\n", {"repeated_header"}),
    "header again with a mark": (HEADER + "R-1,Alder,1\n\ufeff" + HEADER + "R-2,Birch,2\n", {"repeated_header"}),
    "rows affected": (HEADER + ROWS + "\n(2 rows affected)\n\n", {"footer"}),
    "EOF": (HEADER + ROWS + "EOF\n", {"footer"}),
    "end of COPY": (HEADER + ROWS + "\\.\n", {"footer"}),
    "Ctrl-Z": (HEADER + ROWS + "\x1a", {"footer"}),
    "zero bytes at the end": (HEADER + ROWS + "\0" * 300, {"footer"}),
    "several footers": (HEADER + ROWS + "2 rows selected.\n\\.\n\x1a", {"footer"}),
    "surplus cells": (HEADER + "R-1,Alder,1,,\nR-2,Birch,2,\n", {"empty_surplus_cells"}),
    "blanks before quotes": (HEADER + 'R-1, "Alder", "1"\nR-2,  "Birch", 2\n', set()),
    "names in other case": (HEADER.upper() + ROWS, set()),
    "a name over two lines": ('"customer_id",company_name,"annual_revenue"\n' + ROWS, set()),
}


@pytest.mark.parametrize("name", LOADED)
def test_a_shape_reads_as_its_plain_twin(name: str) -> None:
    text, noted = LOADED[name]
    records, flaws, envelope = read(text)
    assert [{key.lower(): value for key, value in record.items()} for record in records] == PLAIN
    assert flaws == {}
    assert set(envelope.notes.counts) == noted


REFUSED: dict[str, tuple[str | bytes, str, str]] = {
    "cp1252": (HEADER + "R-1,M\u00fcller \u00a9,1\n", "bad_encoding", "'R-1,Müller ©,1' in cp1252, iso8859-15"),
    "two pipes": ((HEADER + ROWS).replace(",", "||"), "ambiguous_delimiter", 'delimiter = "||"'),
    "tildes": ((HEADER + ROWS).replace(",", "~"), "ambiguous_delimiter", 'delimiter = "~"'),
    "two delimiters": ("id,x;id\n1,2;3\n", "ambiguous_delimiter", "delimiter"),
    "no header": (ROWS, "no_header", "header_lines = 0"),
    "no header, and a value that is a name": ("A-1,Alder,ID\nA-2,Birch,DE\n", "no_header", "columns"),
    "names of no field": ("Kundennummer;Name1\n1;A\n", "no_header", "Kundennummer"),
    "other columns": (
        HEADER + ROWS + "customer_id,annual_revenue,company_name\nR-3,1,Cedar\n",
        "header_changed",
        "line 4",
    ),
    "more columns": (
        HEADER + ROWS + "customer_id,company_name,annual_revenue,x\nR-3,A,1,2\n",
        "header_changed",
        "line 4",
    ),
    "a field twice": ("customer_id,company_name,company_name\n1,A,B\n", "duplicate_column", "'company_name'"),
    "a record above the header": ("R-0,Ash,7\n" + HEADER + ROWS, "ambiguous_header", "skip_lines = 1"),
    "mixed backslashes": (HEADER + '"R-1","C:\\temp \\"x\\"","1"\n', "ambiguous_escape", "escape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_shape_with_two_readings_is_refused_with_the_setting_that_decides(name: str) -> None:
    text, code, told = REFUSED[name]
    found = refused(text.encode("cp1252") if name == "cp1252" and isinstance(text, str) else text)
    assert found.code == code
    assert told in found.message
    assert len(found.message) < 600


def test_rows_that_are_no_records_are_rejected() -> None:
    text = HEADER + ",[text],[EUR]\n" + ROWS + "Total,2 rows,3\n"
    assert read(text)[1] == {1: "header_row", 4: "total_row"}
    assert read(HEADER + "Customer ID,Company Name,Annual Revenue\n" + ROWS)[1] == {1: "header_row"}
    assert read(HEADER + ROWS + "(c) Example GmbH\n")[1] == {3: "ragged_row"}
    assert read(HEADER + "R-1,Alder\n" + ROWS)[1] == {1: "ragged_row"}


@pytest.mark.parametrize("word", ["Total", "SUMME:", "Grand total", "Gesamt (2)", "итого"])
def test_a_sum_counts_among_the_last_rows_only(word: str) -> None:
    rows = [f"R-{number},Alder,1\n" for number in range(6)]
    early, late = [*rows], [*rows]
    early[0] = late[2] = f"{word},Alder,1\n"
    assert read(HEADER + "".join(early))[1] == {}
    assert read(HEADER + "".join(late))[1] == {3: "total_row"}


def test_a_column_that_occurs_twice_gets_a_number() -> None:
    records, _, envelope = read("customer_id,phone,phone,phone_2\nV-1,1,2,3\n")
    assert records == [{"customer_id": "V-1", "phone": "1", "phone_3": "2", "phone_2": "3"}]
    assert envelope.notes.counts == {"renamed_column": 1}
    assert envelope.notes.columns == {
        "customer_id": "customer_id",
        "phone": "phone",
        "phone_3": "phone",
        "phone_2": "phone_2",
    }


def test_quotes_with_backslashes_are_read_if_nothing_else_fits() -> None:
    records, _, envelope = read(HEADER + '"R-1","Alder \\"Works\\", Inc","1"\n"R-2","a \\\\ b","2"\n')
    assert [record["company_name"] for record in records] == ['Alder "Works", Inc', "a \\ b"]
    assert set(envelope.notes.counts) == {"backslash_escapes"}
    # The same bytes in a file that is valid as it is.
    assert read(HEADER + '"R-1","C:\\dir\\","1"\n')[0][0]["company_name"] == "C:\\dir\\"


@pytest.mark.parametrize(
    ("row", "code"), [('"R-x","a \\"b\\"","1"\n', "ambiguous_escape"), ('R-x, "A, B",1\n', "bad_csv")]
)
def test_what_first_occurs_after_the_sample_is_refused(row: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW", 4_000)
    if code == "bad_csv":
        row = 'R-x, "A",1\n'
    found = refused(HEADER + ROWS * 1_000 + row)
    assert (found.code, found.line) == (code, 2_002)


def test_text_that_was_encoded_twice_is_told() -> None:
    records, _, envelope = read(HEADER + "R-1,Müller,1\n".encode().decode("cp1252") + "R-2,SÃO PAULO,2\n")
    assert records[0]["company_name"] == "MÃ¼ller"
    assert envelope.notes.counts == {"double_encoded": 1}
    assert "MÃ¼ller" in envelope.notes.samples["double_encoded"][0].text


DECLARED: dict[str, tuple[str | bytes, Dialect]] = {
    "encoding": ((HEADER + ROWS + "Ü,").encode("cp1252")[:-2], Dialect(encoding="cp1252")),
    "delimiter of two characters": ((HEADER + ROWS).replace(",", "||"), Dialect(delimiter="||")),
    "delimiter of one": ((HEADER + ROWS).replace(",", "~"), Dialect(delimiter="~")),
    "quote": ((HEADER + ROWS).replace("Alder", "'Alder'"), Dialect(quote="'")),
    "escape": (HEADER + '"R-1","Alder","1"\n"R-2","Bir\\ch","2"\n', Dialect(escape="\\")),
    "comment": (HEADER + "#R-0,x,y\n" + ROWS + "# end\n", Dialect(comment="#")),
    "skip_lines": ("a,b,c\n" + HEADER + ROWS, Dialect(skip_lines=1)),
    "header_lines": ("customer,company,annual\n_id,_name,_revenue\n" + ROWS, Dialect(header_lines=2)),
    "columns without header": (ROWS, Dialect(header_lines=0, columns=tuple(PLAIN[0]))),
    "columns instead of a header": ("a,b,c\n" + ROWS, Dialect(header_lines=1, columns=tuple(PLAIN[0]))),
    "footer": (HEADER + ROWS + "Summe;2\n", Dialect(footer=("^Summe",))),
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_declared_shape_reads_as_its_plain_twin(name: str) -> None:
    text, dialect = DECLARED[name]
    records, flaws, _ = read(text, dialect)
    assert flaws == {}
    assert [{key.replace(" ", ""): value for key, value in record.items()} for record in records] == PLAIN


def test_short_rows_are_filled_where_it_is_declared() -> None:
    records, flaws, envelope = read(HEADER + "R-1,Alder\n", Dialect(short_rows="fill"))
    assert (records, flaws) == ([{"customer_id": "R-1", "company_name": "Alder"}], {})
    assert envelope.notes.counts == {"filled_short_rows": 1}


def test_cells_without_quotes_keep_them() -> None:
    assert read(HEADER + 'R-1,"Alder,1\n', Dialect(quote=""))[0][0]["company_name"] == '"Alder'


@pytest.mark.parametrize(
    ("content", "declared", "told"),
    [
        ("Zoë".encode(), "cp1252", 'encoding = "utf-8"'),
        (b"\xef\xbb\xbf", "cp1252", 'encoding = "utf-8"'),
        ("x".encode("utf-16"), "utf-8", 'encoding = "utf-16"'),
    ],
)
def test_an_encoding_that_the_content_contradicts_is_refused(content: bytes, declared: str, told: str) -> None:
    found = refused(content + HEADER.encode(), Dialect(encoding=declared))
    assert found.code == "encoding_mismatch"
    assert told in found.message


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 10**6), st.text(st.characters(codec="utf-8", exclude_characters="\0\x1a\ufeff"))),
        min_size=6,
        max_size=12,
    ),
    delimiter=st.sampled_from(",;\t|"),
    title=st.booleans(),
    repeats=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_rows_in_any_shape_read_as_their_plain_twin(
    rows: list[tuple[int, str]], delimiter: str, title: bool, repeats: bool, encoding: str
) -> None:
    def written(delimiter: str) -> list[str]:
        out = io.StringIO()
        writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
        lines = []
        for row in [("customer_id", "company_name"), *((f"R-{number}", text) for number, text in rows)]:
            out.seek(0)
            out.truncate()
            writer.writerow(row)
            lines.append(out.getvalue())
        return lines

    plain = read("".join(written(",")))[0]
    header, *lines = written(delimiter)
    if repeats:
        lines.insert(len(lines) // 2, header)
    shaped = ("Export of today\n\n" if title else "") + header + "".join(lines)
    records, flaws, _ = read(shaped.encode(encoding))
    assert flaws == {}
    assert records == plain
    assert [record["customer_id"] for record in records] == [f"R-{number}" for number, _ in rows]
