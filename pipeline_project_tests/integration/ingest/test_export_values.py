"""Values of real exports: what loads, what costs a value or a record, and what refuses a file, without a declaration."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline_project.datasets.entities import Entity
from pipeline_project.ingest import rejects as quarantine
from pipeline_project.ingest.rejects import Selection
from pipeline_project.schema.fields import Amount, Day, Id, Text, Time, aliased
from pipeline_project.schema.record import tombstone
from pipeline_project.sources.dialect import Dialect, Variant
from pipeline_project.sources.registry import sources
from pipeline_project.sources.source import Source
from pipeline_project_tests.fix_ingest import Rows, register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing, ingest

Values = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A file, and what becomes of it."""

    content: bytes
    code: str | None = None
    says: str = ""
    """A part of the message of the file or of a reject: the setting that mends it."""
    stored: dict[str, Values] = field(default_factory=dict)
    """Columns and attributes of entities, by ID."""
    rejects: set[tuple[str, str, str]] = field(default_factory=set)
    """Kind, field and rule of each error."""


def csv(*lines: str) -> bytes:
    return "\n".join(lines).encode() + b"\n"


def records(*some: Values) -> bytes:
    return json.dumps(some).encode()


CASES = {
    # Numbers
    "doubtful numbers": Case(
        csv("customer_id;company_name;annual_revenue", "N1;A;12.500", "N2;B;1.234", "N3;C;850"),
        code="ambiguous_number",
        says='annual_revenue: "12.500" (record 1), "1.234" (record 2) can be read in two ways: 12.500 is 12.5 or 12500. '
        'Declare decimal = ".", or decimal = "," and group = ".", under [dialect].',
    ),
    "doubtful numbers in JSON": Case(
        records({"id": "N4", "name": "A", "revenue": "12.500"}, {"id": "N5", "name": "B", "revenue": "7"}),
        code="ambiguous_number",
    ),
    "one number settles the others": Case(
        csv("customer_id,company_name,annual_revenue", "N6,A,12.500", "N7,B,1234.567"),
        stored={"N6": {"revenue": "12.5"}, "N7": {"revenue": "1234.567"}},
    ),
    "numbers in other formats": Case(
        csv(
            "customer_id;company_name;annual_revenue",
            *(f"N1{place};A;{place}" for place in range(9)),
            *(
                f"N2{place};A;{text}"
                for place, text in enumerate(["1,234", "1.234,56", "5 EUR", "12%", "100-", "(100)"])
            ),
        ),
        says='"1.234,56" is not a plain number. Declare decimal = "," and group = "." under [dialect], or send',
        stored={
            "N18": {"revenue": "8"},
            "N21": {"revenue": None, "_unread": {"revenue": "1.234,56"}},
            "N25": {"revenue": None, "_unread": {"revenue": "(100)"}},
        },
        rejects={("field", "annual_revenue", "not_a_plain_number")},
    ),
    "null texts": Case(
        csv(
            "customer_id,company_name,industry,country,annual_revenue,updated_at",
            "T1,A,NULL,N/A,N/A,NULL",
            r"T2,B,\N,None,-,2024-01-01T00:00:00Z",
            "T3,C,(null),nan,12.5,",
        ),
        stored={
            "T1": {"industry": None, "country": "N/A", "revenue": None},
            "T2": {"industry": None, "country": "None", "revenue": None},
            "T3": {"industry": None, "country": "nan", "revenue": "12.5"},
        },
    ),
    "null texts in JSON are texts": Case(
        records({"id": "T4", "name": "NULL", "revenue": "NULL"}), stored={"T4": {"name": "NULL", "revenue": None}}
    ),
    # Times
    "zones of databases": Case(
        csv(
            "customer_id,company_name,updated_at",
            "Z1,A,2024-01-01 10:00:00.123456+00",
            "Z2,B,2024-01-01 10:00:00 UTC",
            "Z3,C,2024-01-01 10:00:00.000 -0800",
            "Z4,D,2024-01-01 10:00:00+01",
            "Z5,E,0000-00-00 00:00:00",
        ),
        stored={
            "Z1": {"updated_at": "2024-01-01T10:00:00.123456"},
            "Z2": {"updated_at": "2024-01-01T10:00:00"},
            "Z3": {"updated_at": "2024-01-01T18:00:00"},
            "Z4": {"updated_at": "2024-01-01T09:00:00"},
        },
    ),
    "an abbreviation of a zone": Case(
        records(
            {"id": "Z6", "name": "A", "updated_at": "2024-01-01 10:00:00 CET"},
            {"id": "Z7", "name": "B"},
        ),
        rejects={("record", "updated_at", "datetime_from_date_parsing")},
    ),
    "days in other formats": Case(
        csv(
            "customer_id,company_name,first_order_date",
            *(f"D{place},A,2024-12-31" for place in range(4)),
            "D5,A,31.12.2024",
            "D6,A,01/02/2024",
            "D7,A,00000000",
        ),
        says='"01/02/2024" is not a day of ISO 8601. Declare days = ["%d/%m/%Y"] or days = ["%m/%d/%Y"] under [dialect], or ',
        stored={
            "D0": {"first_order_date": "2024-12-31"},
            "D5": {"_unread": {"first_order_date": "31.12.2024"}},
            "D7": {},
        },
        rejects={("field", "first_order_date", "date_from_datetime_parsing")},
    ),
    # IDs
    "damaged IDs": Case(
        csv(
            "customer_id,company_name",
            *("1.23457E+11,A", "12345.0,B", "N/A,C", '"=""00124""",D', "I\u200b1,E", "Mu\u0308ller,F", "'7,G", "I3,H"),
            *("I4,I", "I5,J"),
        ),
        says="has lost digits",
        stored={"00124": {"name": "D"}, "I1": {"name": "E"}, "M\u00fcller": {"name": "F"}, "'7": {"name": "G"}},
        rejects={
            ("record", "customer_id", "id_lost_digits"),
            ("record", "customer_id", "id_decimals"),
            ("record", "customer_id", "null_text_as_id"),
        },
    ),
    "integral numbers as IDs": Case(
        b'[{"id": 4711.0, "name": "A"}, {"id": 1.5, "name": "B"}, {"id": 47, "name": "C"}]',
        stored={"4711": {"name": "A"}, "47": {"name": "C"}},
        rejects={("record", "id", "id_decimals")},
    ),
    # Names
    "headers in other case": Case(
        csv("Customer ID,COMPANY_NAME,Annual Revenue,In.du-stry", "H1,A,1000,steel"),
        stored={"H1": {"name": "A", "revenue": "1000", "industry": "steel"}},
    ),
    "the exact name goes before its variant": Case(
        records({"id": "H2", "name": "A", "revenue": 1, "Revenue": 2}, {"id": "H3", "NAME": "B", "Revenue": 3}),
        stored={"H2": {"revenue": "1", "Revenue": 2}, "H3": {"name": "B", "revenue": "3"}},
    ),
    "two variants of one name": Case(
        records({"id": "H4", "name": "A", "REVENUE": 1, "Revenue": 2}),
        stored={"H4": {"revenue": None, "REVENUE": 1, "Revenue": 2}},
    ),
    "flags of deleted records": Case(
        records(
            {"id": "F1", "name": "A", "IsDeleted": True},
            {"id": "F2", "is_deleted": "true"},
            {"id": "F3", "name": "C", "deleted": False},
            {"id": "F4", "deleted_at": "2024-01-01T00:00:00Z"},
            {"id": "F5", "name": "E", "deleted_at": None},
            {"id": "F6", "name": "F", "deletedAt": "0000-00-00"},
            {"id": "F7", "name": "G", "deleted": "archived in May"},
            {"id": "F8", "name": "H", "is_deleted": False, "deleted_at": "2024-01-01"},
        ),
        stored={
            "F1": {"deleted": True},
            "F2": {"deleted": True},
            "F3": {"deleted": False},
            "F4": {"deleted": True, "deleted_at": "2024-01-01T00:00:00Z"},
            "F5": {"deleted": False},
            "F6": {"deleted": False},
            "F7": {"deleted": "archived in May"},  # as an attribute
        },
        rejects={("record", "deleted_at", "deletion_contradicts")},
    ),
    "times of other programs": Case(
        records(
            {"id": "U1", "name": "A", "SystemModstamp": "2024-01-01T00:00:00.000+0000"},
            {
                "id": "U2",
                "name": "B",
                "LastModifiedDate": "2024-01-02T00:00:00Z",
                "Last Modified": "2024-01-03T00:00:00Z",
            },
            {"id": "U3", "name": "C", "Last Modified Date": "2024-01-02T00:00:00Z"},
            {"id": "U4", "name": "D", "modifiedon": "yesterday"},
        ),
        stored={
            "U1": {"updated_at": "2024-01-01T00:00:00"},
            "U2": {"updated_at": "2024-01-02T00:00:00", "Last Modified": "2024-01-03T00:00:00Z"},
            "U3": {"updated_at": "2024-01-02T00:00:00"},
        },
        rejects={("record", "modifiedon", "datetime_from_date_parsing")},
    ),
    # Columns
    "a changed format does not erase a column": Case(
        csv("customer_id;company_name;annual_revenue", "C1;A;1.234,56", "C2;B;7,5", "C3;C;8,25", "C4;D;9"),
        code="column_unreadable",
        says='annual_revenue: 3 of 4 values cannot be read (at most 50% may be), so nothing was loaded. record 1: "1.234,56"',
    ),
    "one bad optional value": Case(
        csv("customer_id,company_name,annual_revenue,employee_count", "Y1,A,1000,51-200", "Y2,B,12%,5", "Y3,C,1,1"),
        stored={"Y1": {"employees": None, "revenue": "1000"}, "Y2": {"employees": 5, "revenue": None}},
        rejects={
            ("field", "annual_revenue", "not_a_plain_number"),
            ("field", "employee_count", "not_a_plain_number"),
        },
    ),
}


def of_file(rows: Rows, key: str) -> tuple[str | None, str, set[tuple[Any, ...]]]:
    """The code of a file, all its messages, and its rejects."""
    ((code, message),) = rows(f"SELECT error_code, error_message FROM ingest.objects WHERE key = '{key}'")
    errors = rows(
        "SELECT kind, e ->> 'field', e ->> 'rule', e ->> 'message' FROM ingest.rejects JOIN ingest.objects USING (object_id), "
        f"jsonb_array_elements(errors) e WHERE key = '{key}'"
    )
    return code, "\n".join([message or "", *(error[-1] for error in errors)]), {error[:3] for error in errors}


def entity(rows: Rows, source: str, source_id: str) -> Values:
    found = rows(
        "SELECT to_jsonb(e) || attributes || jsonb_build_object('updated_at', "
        "to_char(source_updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS') || "
        "rtrim(rtrim(to_char(source_updated_at, '.US'), '0'), '.'), 'revenue', revenue::text) "
        f"FROM canonical.entities e WHERE canonical_id = $${source}_{source_id}$$"
    )
    assert found, source_id
    return found[0][0]


def test_values_without_a_declaration(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    seen = {name: landing.put(f"crm-data/{name}", case.content) for name, case in CASES.items()}
    outcomes = ingest(database.loader, landing, *seen.values())
    for name, case in CASES.items():
        key = f"crm-data/{name}"
        code, says, found = of_file(rows, key)
        assert (code, found) == (case.code, case.rejects), (name, says)
        assert case.says in says, name
        assert (outcomes[key].fields_unread > 0) == any(kind == "field" for kind, *_ in case.rejects), name
        for source_id, values in case.stored.items():
            stored = entity(rows, "crm", source_id)
            assert {each: stored.get(each) for each in values} == values, (name, source_id)


class SapCustomer(Entity):
    """A customer of an ERP in German."""

    source_id: Id = aliased("KUNNR", required=True)
    name: Text | None = aliased("NAME1")
    revenue: Amount | None = aliased("UMSAT")
    updated_at: Time | None = aliased("AEDAT")
    deleted: bool = tombstone("LOEVM")
    first_order_date: Day | None = aliased("ERDAT")


SAP = Source(
    name="sap",
    description="Customers of the ERP",
    records=(SapCustomer,),
    fallbacks={"entity_type": "customer"},
    dialect=Dialect(
        delimiter=";",
        decimal=",",
        group=".",
        trailing_minus=True,
        currency=("EUR",),
        days=("%d.%m.%Y",),
        times=("%d.%m.%Y %H:%M:%S",),
        zone="Europe/Berlin",
        true=("X",),
        null_texts=("k.A.",),
        id_cleanup=("leading_zeros",),
    ),
    variants=(Variant(keys="sap-data/2023/**", dialect=Dialect(decimal=".", group=",")),),
)
HEADER = "KUNNR;NAME1;UMSAT;AEDAT;LOEVM;ERDAT"


def test_values_in_declared_formats(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, SAP)
    lines = [
        "0001;A;1.234,56;31.12.2024 10:00:00;;31.12.2023",
        "0002;B;1.234,5 EUR;31.12.2024;;00000000",
        "0003;k.A.;;;X;",
        "0004;D;k.A.;;;",
        "0005;E;1234.5;;;2023-12-31",
        "0006;F;7;27.10.2024 02:30:00;;",
        "0007;G;8;;J;",
        *(f"1{place:03};H;{place};;;01.01.2020" for place in range(8)),
    ]
    ingest(database.loader, landing, landing.put("sap-data/a.csv", csv(HEADER, *lines)))
    expected = {
        "1": {"name": "A", "revenue": "1234.56", "updated_at": "2024-12-31T09:00:00", "first_order_date": "2023-12-31"},
        "2": {"revenue": "1234.5", "updated_at": "2024-12-30T23:00:00", "first_order_date": None},
        "3": {"name": None, "deleted": True},
        "4": {"name": "D", "revenue": None},
        "5": {"revenue": None, "_unread": {"revenue": "1234.5", "first_order_date": "2023-12-31"}},
    }
    for source_id, values in expected.items():
        stored = entity(rows, "sap", source_id)
        assert {each: stored.get(each) for each in values} == values
    code, says, found = of_file(rows, "sap-data/a.csv")
    assert code is None
    assert found == {
        ("field", "UMSAT", "not_as_declared"),
        ("field", "ERDAT", "not_as_declared"),
        ("record", "AEDAT", "not_as_declared"),
        ("record", "LOEVM", "not_as_declared"),
    }
    assert '"1234.5" is not written as declared: decimal = ",", group = "."' in says


def test_a_variant_reads_the_same_text_in_another_way(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, SAP)
    content = csv(HEADER, "1;A;1.234;;;")
    ingest(database.loader, landing, landing.put("sap-data/2024/a.csv", content))
    assert entity(rows, "sap", "1")["revenue"] == "1234"
    ingest(database.loader, landing, landing.put("sap-data/2023/a.csv", content))
    assert entity(rows, "sap", "1")["revenue"] == "1.234"


def test_a_declared_format_that_does_not_fit_refuses_the_file(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, SAP)
    lines = [f"{place};A;{place}.5;;;" for place in range(5)]
    ingest(database.loader, landing, landing.put("sap-data/a.csv", csv(HEADER, *lines)))
    code, says, found = of_file(rows, "sap-data/a.csv")
    assert (code, found) == ("column_unreadable", set())
    assert [f'record {ordinal}: "{ordinal - 1}.5"' in says for ordinal in (1, 2, 3, 4)] == [True, True, True, False]
    assert rows("SELECT FROM canonical.entities") == []


def test_a_mended_declaration_mends_values_by_replay(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm = sources()["crm"]
    seen = landing.put(
        "crm-data/a", records({"id": 1, "name": "A", "revenue": "1,234.50", "employees": "x"}, {"id": 2})
    )
    outcome = ingest(database.loader, landing, seen)["crm-data/a"]
    assert (outcome.state, outcome.fields_unread, outcome.rejected) == ("loaded_with_rejects", 2, 1)
    register(monkeypatch, Source(**{**vars(crm), "dialect": Dialect(group=",")}))
    with database.loader.connect(autocommit=True) as connection:
        result = quarantine.replay(connection, Selection(source="crm"))
    assert (result.resolved, result.still_bad) == (0, 2)
    assert entity(rows, "crm", "1")["revenue"] == "1234.5"
    assert entity(rows, "crm", "1")["_unread"] == {"employees": "x"}
    counts = "SELECT state, records, inserted, updated, unchanged, stale, rejected, fields_unread FROM ingest.objects"
    assert rows(counts) == [("loaded_with_rejects", 2, 1, 0, 0, 0, 1, 1)]


def test_the_verdict_on_a_column_does_not_depend_on_what_is_stored(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    """Records that are already stored are not mapped. The file is still judged by all of its values."""
    doubtful = [{"id": place, "name": "A", "revenue": "12.500"} for place in range(20)]
    settling = {"id": 99, "name": "B", "revenue": "12.5"}
    ingest(database.loader, landing, landing.put("crm-data/settled", [*doubtful, settling]))
    outcomes = ingest(
        database.loader,
        landing,
        landing.put("crm-data/settled again", [*doubtful, settling]),
        landing.put("crm-data/doubtful", doubtful),
    )
    assert {key: outcome.state for key, outcome in outcomes.items()} == {
        "crm-data/settled again": "loaded",
        "crm-data/doubtful": "failed",
    }
    assert outcomes["crm-data/settled again"].unchanged == 21
    alone = ingest(database.loader, landing, landing.put("crm-data/alone", [*doubtful, settling]))["crm-data/alone"]
    assert (alone.state, alone.unchanged) == ("loaded", 21)


def test_notes_tell_what_was_repaired(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    content = csv("Customer ID,company_name,Annual Revenue,deleted,archived", "1,A,N/A,in May,x", r"2,\N,12%,,")
    ingest(database.loader, landing, landing.put("crm-data/a.csv", content))
    (notes,) = (each for (each,) in rows("SELECT reading -> 'notes' FROM ingest.objects"))
    assert {code: [text for _, text in note["samples"]] for code, note in notes.items()} == {
        "null_text": [],
        "renamed_field": ["Annual Revenue is read as revenue", "Customer ID is read as source_id"],
        "no_flag": ["deleted"],
        "deletion_hint": ["archived"],
    }
