"""What docs/operations-runbook.md has an operator do, done: rotate a password, lose the database and restore it, upgrade."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from pipeline_project.analytics.execution import versions
from pipeline_project.canonical.migrations import migrate
from pipeline_project.cli.main import app
from pipeline_project.errors import Transient
from pipeline_project.ingest import ledger
from pipeline_project.ingest.discovery import landing
from pipeline_project.ingest.ledger.batches import LiveRuns
from pipeline_project.ingest.loading.worker import Worker
from pipeline_project.local.postgres import wheel_binaries
from pipeline_project.operate.verify import verify
from pipeline_project.services import Services
from pipeline_project_tests.fix_aws import Account
from pipeline_project_tests.fix_postgres import FreshDatabase, SharedServer

ROOT = Path(__file__).parents[2]
PREVIOUS_RELEASE = "aeb20a2"
"""Its services must work on this release's schema: they still run while the migration is done, and after a rollback. To be
raised with each release, once no service of the one before it is left."""
DIGEST = """SELECT md5(string_agg(concat_ws('|', canonical_id, version, deleted, attributes), '/' ORDER BY canonical_id)),
    count(*) FROM canonical.entities"""
DEADLINE = 60


def upload(platform: Services, key: str, ids: range, revenue: int = 1) -> None:
    records = [{"customer_id": str(each), "company_name": f"No. {each}", "annual_revenue": revenue} for each in ids]
    platform.s3.put_object(Bucket=platform.settings.landing_bucket, Key=key, Body=json.dumps(records).encode())


def list_and_load(platform: Services) -> list[str]:
    """What the listing finds, loaded; the states. Transient ends the work, as it would a run."""
    with platform.loader.connect() as connection:
        landing.list_all(connection, platform.s3, platform.settings.landing_bucket)
        waiting = [each.object_id for each in ledger.waiting(connection, 1_000)]
    return [outcome.state for outcome in Worker(platform.loader, platform.s3, platform.settings).ingest(waiting)]


def differences(platform: Services) -> dict[str, int]:
    found = verify(platform.loader, platform.s3, platform.settings.landing_bucket)
    return {each.what: each.number for each in found if each.serious}


# --- rotate


@pytest.fixture
def lone_role(database: FreshDatabase) -> Iterator[str]:
    """A loader of this test's own: the password of the role itself is every test's."""
    name = f"{database.name}_loader"
    with psycopg.connect(database.server.admin(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE pipeline_loader").format(sql.Identifier(name)))
        yield name
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def rotate(database: FreshDatabase, aws: Account, role: str, between: Callable[[], object] = lambda: None) -> None:
    """As Secrets Manager's function does: first the password, then the secret. All sessions are lost on top of it."""
    password = secrets.token_urlsafe(12)
    with psycopg.connect(database.server.admin(), autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), password))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,))
    between()
    login = {**json.loads(database.secret("loader")), "username": role, "password": password}
    aws.secretsmanager.put_secret_value(SecretId=aws.settings.loader_secret, SecretString=json.dumps(login))


def test_a_rotation_loses_nothing_and_needs_no_restart(
    platform: Services, database: FreshDatabase, aws: Account, lone_role: str
) -> None:
    rotate(database, aws, lone_role)
    stop, loaded, interrupted = threading.Event(), threading.Semaphore(0), 0
    failures: list[BaseException] = []

    def load() -> None:
        nonlocal interrupted
        number = 0
        try:
            while not stop.is_set():
                upload(platform, f"crm-data/{number}.json", range(number, number + 3))
                while True:
                    try:
                        list_and_load(platform)
                        break
                    except (Transient, psycopg.OperationalError):
                        interrupted += 1  # Dagster's retries (retries.py) do this, with pauses
                number += 1
                loaded.release()
        except BaseException as error:
            failures.append(error)
            loaded.release()

    loader = threading.Thread(target=load)
    loader.start()
    try:
        for _ in range(3):
            assert loaded.acquire(timeout=DEADLINE)
            refused = threading.Event()
            # For a moment the secret is the old one, and whoever connects is refused.
            rotate(database, aws, lone_role, between=lambda event=refused: event.wait(0.5))
            for _ in range(2):
                assert loaded.acquire(timeout=DEADLINE)
    finally:
        stop.set()
        loader.join(DEADLINE)
    assert failures == []
    assert interrupted < 20
    with database.owner.connect() as connection:
        states = connection.execute("SELECT state, count(*) FROM ingest.objects GROUP BY state").fetchall()
        ((entities,),) = connection.execute("SELECT count(*) FROM canonical.entities")
    assert [state for state, _ in states] == ["loaded"]
    assert entities == states[0][1] + 2
    assert differences(platform) == {}


# --- restore


def test_a_lost_database_is_restored_and_what_came_after_the_backup_is_loaded_again(
    platform: Services, database: FreshDatabase, tmp_path: Path
) -> None:
    upload(platform, "crm-data/first.json", range(50))
    upload(platform, "crm-data/second.json", range(40, 60), revenue=2)
    assert list_and_load(platform) == ["loaded", "loaded"]
    backup = tmp_path / "backup"
    in_database(database, "pg_dump", "--format=custom", "--file", str(backup))
    upload(platform, "crm-data/third.json", range(55, 70), revenue=3)
    assert list_and_load(platform) == ["loaded"]
    before, version = digest(database), versions(platform.reader).data
    assert before[1] == 70

    with psycopg.connect(database.server.admin(), autocommit=True) as admin:
        name = sql.Identifier(database.name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        with pytest.raises(Transient):
            differences(platform)
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER pipeline_owner").format(name))
    in_database(database, "pg_restore", "--dbname", database.admin, str(backup))
    migrate(database.admin, database.server.passwords)  # after a restore there is nothing to be done; it does no harm

    assert digest(database)[1] == 60
    assert versions(platform.reader).data < version
    assert CliRunner(env=platform.settings.environment_variables()).invoke(app, ["restored"]).exit_code == 0
    assert versions(platform.reader).data > version, "a cached answer of the lost state would be given for another"
    assert differences(platform) == {"objects of the bucket that the ledger does not know": 1}
    assert list_and_load(platform) == ["loaded"]
    assert differences(platform) == {}
    assert digest(database) == before


def test_a_loss_is_found(platform: Services, database: FreshDatabase) -> None:
    upload(platform, "crm-data/first.json", range(5))
    list_and_load(platform)
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute("DELETE FROM canonical.entities WHERE source_id IN ('1', '2')")
        assert differences(platform) == {"entities of crm are missing": 2}
        admin.execute("UPDATE ingest.objects SET records = records + 1")
        assert differences(platform) == {"entities of crm are missing": 2, "check objects_add_up": 1}


def in_database(database: FreshDatabase, program: str, *options: str) -> None:
    source = [] if program == "pg_restore" else ["--dbname", database.admin]
    subprocess.run([wheel_binaries() / program, *source, *options], check=True)


def digest(database: FreshDatabase) -> Any:
    with psycopg.connect(database.admin) as connection:
        return connection.execute(DIGEST).fetchone()


# --- drain and replay


def take_events(platform: Services, seconds: float) -> list[str]:
    """Do what the landing sensors do while they are on, for so long or until something comes. Return the states."""
    batches = platform.landing.watch(
        LiveRuns, landing.SensorRotation(0), seconds=seconds, linger=0.1, runs_per_source=2
    )
    worker = Worker(platform.loader, platform.s3, platform.settings)
    return [outcome.state for batch in batches for outcome in worker.ingest(batch.object_ids)]


def test_what_arrives_while_the_sensors_are_off_waits_in_the_queue(platform: Services) -> None:
    upload(platform, "crm-data/meanwhile.json", range(5))
    assert differences(platform) == {"objects of the bucket that the ledger does not know": 1}
    assert take_events(platform, 60) == ["loaded"]
    assert differences(platform) == {}


def test_what_a_dead_letter_told_of_is_found_by_the_listing_and_a_redrive_does_no_harm(platform: Services) -> None:
    sqs, queue = platform.client("sqs"), platform.settings.landing_queue_url
    upload(platform, "crm-data/late.json", range(5))
    # Taken out of the queue, as after five tries. Its first message is S3's test of it.
    while "late.json" not in (event := sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"][0])["Body"]:
        pass
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=event["ReceiptHandle"])
    assert take_events(platform, 1) == []
    assert list_and_load(platform) == ["loaded"]
    sqs.send_message(QueueUrl=queue, MessageBody=event["Body"])  # the emulator knows no message move tasks
    assert take_events(platform, 1) == []
    assert differences(platform) == {}


# --- upgrade

RELEASE = """
import json, sys
import pipeline_project
from pipeline_project.analytics import catalogue
from pipeline_project.analytics.execution import execute
from pipeline_project.canonical.checks import checks, run
from pipeline_project.database import Database

from pipeline_project_tests.landing import Landing, ingest
folder, loader, reader, name = sys.argv[1:]
assert pipeline_project.__file__.startswith(folder), pipeline_project.__file__
landing, database = Landing(), Database(lambda: loader)
customer = lambda id, revenue: {"customer_id": id, "company_name": f"No. {id}", "annual_revenue": revenue}
files = {
    f"crm-data/{name}-1.json": [customer("1", len(name)), customer(name, 2), {"customer_id": "bad", "annual_revenue": "?"}],
    f"crm-data/{name}-2.json": [customer("2", len(name)), customer(name, 3)],
}
outcomes = ingest(database, landing, *(landing.put(key, content) for key, content in files.items()))
states = {key: outcome.state for key, outcome in outcomes.items()}
# The release before has a constant.
for operation in (getattr(catalogue, "OPERATIONS", None) or catalogue.operations()).values():
    if not any(field.is_required() for field in operation.parameters.model_fields.values()):
        with execute(Database(lambda: reader), operation, operation.validate({}), timeout_seconds=60) as rows:
            list(rows)
wrong = {check.name: run(database, check).count for check in checks() if check.severity == "error"}
print(json.dumps([states, sum(wrong.values())]))
"""


@pytest.fixture
def previous_release(tmp_path: Path) -> Path:
    """The sources of the previous release, from the repository's own history."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a clone of the repository: there is no previous release to be found")
    known = subprocess.run(
        [git, "-C", ROOT, "cat-file", "-e", f"{PREVIOUS_RELEASE}^{{commit}}"], check=False, stderr=subprocess.DEVNULL
    )
    if known.returncode:
        pytest.skip(f"a shallow clone: the previous release, {PREVIOUS_RELEASE}, is not in it")
    folder = tmp_path / "previous"
    folder.mkdir()
    archive = tmp_path / "previous.tar"
    subprocess.run([git, "-C", ROOT, "archive", "--output", archive, PREVIOUS_RELEASE], check=True)
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    return folder


def test_notes_of_rows_become_blocks(postgres: SharedServer, tmp_path: Path) -> None:
    """Before the first release each confirmation had a row of its own."""
    name = f"upgrade_{secrets.token_hex(4)}"
    before = tmp_path / "migrations"
    before.mkdir()
    for file in sorted((ROOT / "sql" / "migrations").iterdir()):
        if "confirmations_in_blocks" in file.name:
            break
        shutil.copy(file, before)
    notes = """SELECT entity_id, object_id, source_updated_at, object_modified_at, ordinal, mapping_version
        FROM canonical.entity_confirmations ORDER BY entity_id, object_id"""
    try:
        migrate(postgres.admin(name), postgres.passwords, [before])
        with psycopg.connect(postgres.admin(name), autocommit=True) as connection:
            connection.execute("""
                INSERT INTO canonical.entities (canonical_id, source, entity_type, deleted, name, attributes,
                    source_updated_at, object_modified_at, object_id, ordinal, mapping_version, quality_score,
                    content_hash, record_digest, version)
                SELECT 'crm_' || n, 'crm', 'customer', false, 'A', '{}', now(), now(), 1, n, 1, 1,
                    gen_random_uuid(), gen_random_uuid(), 1 FROM generate_series(1, 200) AS n;
                INSERT INTO canonical.entity_confirmations
                SELECT entity_id, other, now() + make_interval(days => entity_id::integer), now(), entity_id, 1
                FROM canonical.entities, generate_series(2, 3) AS other""")
            expected = connection.execute(notes).fetchall()
            assert len(expected) == 400
            migrate(postgres.admin(name), postgres.passwords)
            assert connection.execute(notes).fetchall() == expected
            blocks = connection.execute("SELECT count(*) FROM canonical.entity_confirmation_blocks").fetchone()
            assert blocks == (8,)
    finally:
        with psycopg.connect(postgres.admin(), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.slow
def test_upgrade_with_data_while_the_previous_release_goes_on(previous_release: Path, postgres: SharedServer) -> None:
    """Old services load and ask on the old schema, then on the new one, which a rollback's migration leaves as it is; then new
    services do; nothing is lost."""
    name = f"upgrade_{secrets.token_hex(4)}"
    loader, reader = postgres.conninfo("loader", name), postgres.conninfo("reader", name)

    def release(folder: Path, files: str) -> dict[str, str]:
        environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
        done = subprocess.run(
            [sys.executable, "-c", RELEASE, str(folder), loader, reader, files],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        states, wrong = json.loads(done.stdout.splitlines()[-1])
        assert not wrong
        return states

    try:
        migrate(postgres.admin(name), postgres.passwords, [previous_release / "sql" / "migrations"])
        outcomes = [release(previous_release, "before")]
        migrate(postgres.admin(name), postgres.passwords)
        migrate(postgres.admin(name), postgres.passwords, [previous_release / "sql" / "migrations"])
        outcomes.append(release(previous_release, "meanwhile"))
        outcomes.append(release(ROOT, "after"))
        with psycopg.connect(postgres.admin(name)) as connection:
            rows = connection.execute(
                "SELECT canonical_id, version FROM canonical.entities ORDER BY canonical_id"
            ).fetchall()
        # No. 1 and 2 changed with each release; the others were sent twice within one.
        assert rows == [("crm_1", 3), ("crm_2", 3), ("crm_after", 2), ("crm_before", 2), ("crm_meanwhile", 2)]
        for states in outcomes:
            assert sorted(states.values()) == ["loaded", "loaded_with_rejects"]
    finally:
        with psycopg.connect(postgres.admin(), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
