"""The example of a company, in examples/company/: its own tests, and its files on their way through S3."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pipeline_project.canonical.migrations import MIGRATIONS, migrate
from pipeline_project.settings import Settings
from pipeline_project_tests.company import COMPANY, needs_company
from pipeline_project_tests.fix_aws import Account
from pipeline_project_tests.fix_ingest import Rows
from pipeline_project_tests.fix_postgres import FreshDatabase

ROOT = Path(__file__).parents[2]
SAMPLES = COMPANY / "samples"
LOAD = """
import json, sys
from pipeline_project import aws
from pipeline_project.analytics.catalogue import operation
from pipeline_project.analytics.execution import execute
from pipeline_project.database import Database
from pipeline_project.ingest import ledger
from pipeline_project.ingest.discovery.landing import list_all
from pipeline_project.ingest.loading.worker import Worker
from pipeline_project.operate.verify import verify
from pipeline_project.settings import Settings
from pipeline_project_tests.company import COMPANY, needs_company

settings = Settings.load()
secrets, s3 = aws.client(settings, "secretsmanager"), aws.client(settings, "s3")
loader, reader = (Database.from_settings(settings, role, secrets) for role in ("loader", "reader"))
with loader.connect() as connection:
    list_all(connection, s3, settings.landing_bucket)
    waiting = [each.object_id for each in ledger.waiting(connection, 100)]
outcomes = {each.key: [each.state, each.inserted, each.rejected] for each in Worker(loader, s3, settings).ingest(waiting)}
asked = operation("invoice_totals")
with execute(reader, asked, asked.validate({"top_n": "10"}), timeout_seconds=60) as rows:
    totals = [[str(value) for value in row] for batch in rows for row in batch]
found = [[each.what, each.serious, each.number] for each in verify(loader, s3, settings.landing_bucket)]
print(json.dumps({"outcomes": outcomes, "totals": totals, "verify": found}))
"""


def run(*command: str, **variables: str) -> str:
    """Run Python with the example as the plug-ins."""
    environment = {**os.environ, "PIPELINE_PLUGINS": str(COMPANY), **variables}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_company
@pytest.mark.slow
def test_its_own_tests_pass() -> None:
    run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "-W", "error", str(COMPANY))


@needs_company
@pytest.mark.slow
def test_its_files_go_through_s3_into_its_tables(
    aws: Account, settings: Settings, database: FreshDatabase, rows: Rows
) -> None:
    migrate(database.admin, database.server.passwords, [MIGRATIONS, COMPANY / "migrations"])
    with psycopg.connect(database.admin) as admin:
        # A clone does not have the grants of the database that it was cloned from.
        name = sql.Identifier(database.name)
        admin.execute(
            sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO pipeline_loader, pipeline_reader").format(name)
        )
    for path in (each for each in SAMPLES.rglob("*") if each.is_file()):
        key = path.relative_to(SAMPLES).as_posix()
        aws.s3.put_object(Bucket=settings.landing_bucket, Key=key, Body=path.read_bytes())
    bad = json.dumps(
        [{"invoiceNumber": "R-9", "issuedOn": "2026-01-01", "dueOn": "2025-01-01", "sums": {"gross": "1"}}]
    )
    good = '{"invoiceNumber": "R-10", "issuedOn": "2026-03-01", "sums": {"gross": "5", "currency": "USD"}}'
    body = f"[{good},{bad[1:-1]}]".encode()
    aws.s3.put_object(Bucket=settings.landing_bucket, Key="shop-data/invoices/march.json", Body=body)

    found = json.loads(run("-c", LOAD, **settings.environment_variables()))

    assert found["outcomes"] == {
        "hubspot-data/companies.csv": ["loaded", 3, 0],
        "sap-data/customers.csv": ["loaded", 4, 0],
        "shop-data/customers.json": ["loaded", 2, 0],
        "shop-data/contacts/contacts.jsonl": ["loaded", 2, 0],
        "shop-data/invoices/february.csv": ["loaded", 1, 0],
        "shop-data/invoices/january.json": ["loaded", 4, 0],
        "shop-data/invoices/march.json": ["loaded_with_rejects", 1, 1],
    }
    assert rows("SELECT canonical_id, customer_canonical_id, name, attributes FROM analytics.contacts ORDER BY 1") == [
        ("shop_7", "shop_100", "Aoife Byrne", {}),
        ("shop_8", "shop_101", "Jonas Brandt", {"newsletter": True}),
    ]
    assert found["totals"] == [
        ["shop_101", "Nordlicht GmbH", "2026-01-01", "EUR", "1", "2000"],
        ["shop_100", "Harbour Logistics Ltd", "2026-01-01", "EUR", "2", "1249.5"],
        ["shop_100", "Harbour Logistics Ltd", "2026-02-01", "EUR", "1", "75.25"],
        ["shop_999", "None", "2026-01-01", "EUR", "1", "10"],
        ["None", "None", "2026-03-01", "USD", "1", "5"],
    ]
    assert [each for each in found["verify"] if each[1]] == []
    assert ["check invoices_have_customers", False, 1] in found["verify"]
