"""Datasets that only tests declare load like those of the platform: no code knows their names."""

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO, StringIO
from typing import Any, ClassVar

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_project.ingest import ledger
from pipeline_project.ingest.discovery import landing
from pipeline_project.ingest.ledger import Outcome
from pipeline_project.ingest.ledger.batches import LiveRuns
from pipeline_project.ingest.loading.worker import Worker
from pipeline_project.services import Services
from pipeline_project_tests.convergence import FILES, READ, RELAXED, Bench, File, check
from pipeline_project_tests.declared import PRODUCTS, RECEIPTS, create_tables, kiosk, registered
from pipeline_project_tests.fix_ingest import Rows, register
from pipeline_project_tests.fix_postgres import FreshDatabase


@pytest.fixture
def tables(database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Receipts, products, and a source that sends them."""
    with psycopg.connect(database.admin, autocommit=True) as admin:
        for dataset in (RECEIPTS, PRODUCTS):
            create_tables(admin, dataset)
    with registered(RECEIPTS, PRODUCTS):
        register(monkeypatch, kiosk())
        yield


class Kiosk:
    """Uploads to S3, and loads what waits."""

    def __init__(self, platform: Services) -> None:
        self._platform = platform
        self._worker = Worker(platform.loader, platform.s3, platform.settings)

    def send(self, files: dict[str, bytes]) -> dict[str, Outcome]:
        bucket = self._platform.settings.landing_bucket
        for key, content in files.items():
            self._platform.s3.put_object(Bucket=bucket, Key=f"kiosk-data/{key}", Body=content)
        outcomes: dict[str, Outcome] = {}
        while len(outcomes) < len(files):
            for batch in self._platform.landing.watch(
                LiveRuns, landing.SensorRotation(0), seconds=60, linger=0.1, runs_per_source=2
            ):
                for outcome in self._worker.ingest(batch.object_ids):
                    outcomes[outcome.key.removeprefix("kiosk-data/")] = outcome
        return outcomes

    def send_one(self, key: str, content: bytes) -> Outcome:
        return self.send({key: content})[key]

    def replay(self, outcome: Outcome) -> Outcome:
        with self._platform.loader.connect() as connection:
            ledger.replay(connection, [outcome.object_id])
        (again,) = self._worker.ingest([outcome.object_id])
        return again


def in_json(records: list[dict[str, Any]]) -> bytes:
    return json.dumps(records).encode()


def in_csv(records: list[dict[str, Any]]) -> bytes:
    out = StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for record in records for name in record)))
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue().encode()


def in_parquet(records: list[dict[str, Any]]) -> bytes:
    out = BytesIO()
    # pyarrow takes the columns of the first record alone.
    names = dict.fromkeys(name for record in records for name in record)
    pq.write_table(pa.Table.from_pylist([{name: record.get(name) for name in names} for record in records]), out)
    return out.getvalue()


FORMS = {"json": in_json, "csv": in_csv, "parquet": in_parquet}
NOW = datetime(2025, 3, 1, 10, tzinfo=UTC)


def receipt(number: str, **fields: Any) -> dict[str, Any]:
    return {"receipt_id": number, "customer_id": "C1", "issued": "2025-01-31", "amount": 12.5, **fields}


def product(number: str, **fields: Any) -> dict[str, Any]:
    return {"article": number, "title": 'Ünïcode; "quoted"', "prices.net": 9.5, "stock": 3, **fields}


def at(hours: int) -> str:
    return (NOW + timedelta(hours=hours)).isoformat()


@pytest.mark.usefixtures("tables")
def test_every_format_loads_into_a_dataset_that_is_only_declared(platform: Services, rows: Rows) -> None:
    kiosk = Kiosk(platform)
    receipts = {
        f"receipts/{form}": write([receipt(f"{form}-1"), receipt(f"{form}-2", memo="x"), receipt(f"{form}-3")])
        for form, write in FORMS.items()
    }
    products = {
        f"products/{form}": write([product(f"{form}-1"), product(f"{form}-2", memo="x")])
        for form, write in FORMS.items()
    }
    outcomes = kiosk.send({**receipts, **products})
    assert {(key, each.state, each.inserted, each.rejected) for key, each in outcomes.items()} == {
        *((key, "loaded", 3, 0) for key in receipts),
        *((key, "loaded", 2, 0) for key in products),
    }
    assert rows("""
        SELECT canonical_id, customer_canonical_id, issued::text, amount, currency, attributes ->> 'memo'
        FROM canonical.receipts ORDER BY 1""") == [
        (f"kiosk_{form}-{number}", "kiosk_C1", "2025-01-31", Decimal("12.5"), "EUR", "x" if number == 2 else None)
        for form in sorted(FORMS)
        for number in (1, 2, 3)
    ]
    assert rows("""
        SELECT canonical_id, category, title, price, stock, deleted, version, attributes ->> 'memo'
        FROM canonical.products ORDER BY 1""") == [
        (
            f"kiosk_{form}-{number}",
            "goods",
            'Ünïcode; "quoted"',
            Decimal("9.5"),
            3,
            False,
            1,
            "x" if number == 2 else None,
        )
        for form in sorted(FORMS)
        for number in (1, 2)
    ]
    # Bytes of another object: the receipts change nothing, the products are known without mapping.
    again = kiosk.send(
        {
            "receipts/again.json": receipts["receipts/json"] + b" ",
            "products/again.json": products["products/json"] + b" ",
        }
    )
    # Receipts of the same second count as older ones or as unchanged ones: the hash of the object decides.
    told = {(each.unchanged + each.stale, each.inserted, each.updated) for each in again.values()}
    assert told == {(3, 0, 0), (2, 0, 0)}
    assert rows("SELECT count(*) FROM canonical.product_versions") == [(0,)]
    assert rows("SELECT count(*) FROM canonical.product_confirmations") == [(2,)]


@pytest.mark.usefixtures("tables")
def test_every_type_of_column_is_written_as_the_models_read_it(platform: Services, rows: Rows) -> None:
    records = [
        receipt(
            "1",
            lines=[{"text": "a\tb\\", "n": 1.10}],
            paid_share=0.25,
            sent_at="2025-01-31T10:00:00+02:00",
            due="2025-02-28",
        ),
        # The fast path leaves this record out: its time is written in another way.
        receipt(
            "2",
            lines=[{"text": "a\tb\\", "n": 1.10}],
            paid_share="0.250",
            sent_at="2025-01-31 10:00+02:00",
            due="2025-02-28T00:00:00Z",
        ),
    ]
    assert Kiosk(platform).send_one("receipts/a.json", in_json(records)).state == "loaded"
    content = "lines, paid_share, sent_at, due, content_hash"
    assert rows(f"SELECT count(DISTINCT ({content})) FROM canonical.receipts") == [(1,)]
    assert rows("SELECT lines -> 0 ->> 'text', paid_share, sent_at, due::text FROM canonical.receipts LIMIT 1") == [
        ("a\tb\\", 0.25, datetime(2025, 1, 31, 8, tzinfo=UTC), "2025-02-28")
    ]


@pytest.mark.usefixtures("tables")
def test_rejects_name_the_field_and_a_good_record_settles_those_of_a_history(platform: Services, rows: Rows) -> None:
    kiosk = Kiosk(platform)
    outcomes = kiosk.send(
        {
            "receipts/a.json": in_json(
                [receipt(f"{n}") for n in range(5)]
                + [receipt("x", amount=None), receipt("y", due="2025-01-01"), receipt("z", paid_share=2)]
            ),
            "products/a.csv": in_csv(
                [product(f"{n}", updated_at=at(0)) for n in range(3)]
                + [product("x", updated_at=at(0), **{"prices.net": ""}), {"title": "no id"}]
            ),
        }
    )
    assert {key: (each.state, each.inserted, each.rejected) for key, each in outcomes.items()} == {
        # A bad optional value costs the value only. It has a reject, too.
        "receipts/a.json": ("loaded_with_rejects", 6, 2),
        "products/a.csv": ("loaded_with_rejects", 3, 2),
    }
    found = "SELECT record_key, errors -> 0 ->> 'field', errors -> 0 ->> 'rule', status FROM ingest.rejects"
    assert rows(f"{found} WHERE dataset = 'receipts' ORDER BY ordinal") == [
        ("kiosk_x", "amount", "missing", "open"),
        ("kiosk_y", "due", "before_start", "open"),
        ("kiosk_z", "paid_share", "less_than_equal", "open"),
    ]
    assert [row[:3] for row in rows(f"{found} WHERE dataset = 'products' ORDER BY ordinal")] == [
        ("kiosk_x", "net", "missing"),
        (None, "article", "missing"),
    ]
    assert kiosk.send_one("products/b.json", in_json([product("x", updated_at=at(1))])).inserted == 1
    assert rows("SELECT status FROM ingest.rejects WHERE record_key = 'kiosk_x' AND dataset = 'products'") == [
        ("superseded",)
    ]


@pytest.mark.usefixtures("tables")
def test_tombstones_late_rows_and_replays_leave_one_history(platform: Services, rows: Rows) -> None:
    kiosk = Kiosk(platform)

    first = kiosk.send_one("products/1.json", in_json([product("1", updated_at=at(0))]))
    kiosk.send_one("products/2.json", in_json([product("1", updated_at=at(4), state="Withdrawn")]))
    late = kiosk.send_one("products/3.json", in_json([product("1", updated_at=at(2), stock=7)]))
    assert (first.inserted, late.stale) == (1, 1)
    history = "SELECT version, stock, deleted, valid_to FROM canonical.product_versions ORDER BY version"
    expected = [(1, 3, False, NOW + timedelta(hours=2)), (2, 7, False, NOW + timedelta(hours=4))]
    assert rows(history) == expected
    current = "SELECT version, deleted, state FROM canonical.products"
    assert rows(current) == [(3, True, "Withdrawn")]
    assert kiosk.replay(first).state == "loaded"
    assert (rows(history), rows(current)) == (expected, [(3, True, "Withdrawn")])

    sent = kiosk.send_one("receipts/1.json", in_json([receipt("1", updated_at=at(2)), receipt("2", updated_at=at(2))]))
    kiosk.send_one("receipts/2.json", in_json([{"receipt_id": "1", "_deleted": True, "updated_at": at(3)}]))
    outdated = kiosk.send_one("receipts/3.json", in_json([receipt("1", amount=1, updated_at=at(1))]))
    assert outdated.stale == 1
    assert kiosk.replay(sent).stale == 1
    assert rows("SELECT canonical_id, deleted, amount FROM canonical.receipts ORDER BY 1") == [
        ("kiosk_1", True, None),
        ("kiosk_2", False, Decimal("12.5")),
    ]


@pytest.mark.usefixtures("tables")
def test_control_totals_sum_a_field_of_any_dataset_with_history(platform: Services) -> None:
    records = [{"article": f"{n}", "prices": {"net": 1.5}} for n in range(4)]
    right = kiosk_file(records, net=6)
    wrong = kiosk_file(records, net=7)
    outcomes = Kiosk(platform).send({"products/right.json": right, "products/wrong.json": wrong})
    assert outcomes["products/right.json"].state == "loaded"
    fault = outcomes["products/wrong.json"].fault
    assert fault is not None
    assert fault.code == "total_mismatch"


def kiosk_file(records: list[dict[str, Any]], **summary: Any) -> bytes:
    return json.dumps({"records": records, "summary": summary}).encode()


class DeclaredBench(Bench):
    """The same tables of declared datasets."""

    read: ClassVar[dict[str, str]] = {
        "products": """
            SELECT canonical_id, source_updated_at, object_modified_at, object_id, ordinal, version, deleted, price
            FROM canonical.products ORDER BY canonical_id""",
        "versions": """
            SELECT canonical_id, v.source_updated_at, v.object_modified_at, v.object_id, v.ordinal, v.version,
                   v.deleted, v.price, v.valid_to
            FROM canonical.product_versions v JOIN canonical.products USING (product_id)
            ORDER BY canonical_id, v.version""",
        "confirmations": """
            SELECT canonical_id, c.source_updated_at, c.object_modified_at, c.object_id, c.ordinal
            FROM canonical.product_confirmations c JOIN canonical.products USING (product_id) ORDER BY 1, 2, 3, 4""",
        "receipts": """
            SELECT canonical_id, source_updated_at, object_modified_at, object_id, ordinal, deleted, amount
            FROM canonical.receipts ORDER BY 1""",
        "rejects": READ["rejects"],
        "objects": READ["objects"],
    }
    everything: ClassVar[dict[str, str]] = {
        "products": """
            SELECT to_jsonb(p) - '{product_id, record_digest, created_at, updated_at}'::text[]
            FROM canonical.products p ORDER BY canonical_id""",
        "versions": """
            SELECT canonical_id, to_jsonb(v) - '{product_id, record_digest, recorded_at}'::text[]
            FROM canonical.product_versions v JOIN canonical.products USING (product_id)
            ORDER BY canonical_id, v.version""",
        "receipts": """
            SELECT to_jsonb(i) - '{created_at, updated_at}'::text[] FROM canonical.receipts i ORDER BY canonical_id""",
    }
    emptied: ClassVar[tuple[str, ...]] = (
        *("canonical.products", "canonical.product_versions", "canonical.product_confirmation_blocks"),
        "canonical.receipts",
    )


@pytest.fixture
def bench(database: FreshDatabase, tables: None) -> Iterator[DeclaredBench]:
    made = DeclaredBench(database)
    yield made
    made.close()


DECLARED = st.builds(
    lambda file, dataset: File(**{**vars(file), "source": "kiosk", "dataset": dataset}),
    FILES,
    st.sampled_from(["products", "products", "receipts"]),
)


@settings(RELAXED, max_examples=25)
@given(files=st.lists(DECLARED, min_size=1, max_size=6), data=st.data())
def test_declared_datasets_converge_in_any_order(bench: DeclaredBench, files: list[File], data: st.DataObject) -> None:
    check(bench, files, data)
