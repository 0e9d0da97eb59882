"""`pipeline migrate` where nobody is a superuser, as on RDS: on a server of the test's own, since roles belong to the server."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from pipeline_project.cli.main import app
from pipeline_project.database import Database, login, login_conninfo
from pipeline_project.errors import Permanent
from pipeline_project.local.postgres import HOST, wheel_binaries
from pipeline_project_tests.deploy.test_image import dagster_yaml
from pipeline_project_tests.fix_aws import Account
from pipeline_project_tests.shared_postgres import start

USERS = {
    "admin": ("pipeline_admin", "postgres"),
    "owner": ("pipeline_owner", "pipeline"),
    "loader": ("pipeline_loader", "pipeline"),
    "reader": ("pipeline_reader", "pipeline"),
    "dagster": ("dagster", "dagster"),
}
"""As deploy/stacks/data_stack.py has them."""


class Managed(NamedTuple):
    """A server as RDS gives it, and the secrets of its roles; those of all but the administrator are not known to it yet."""

    aws: Account

    def login(self, role: str) -> dict[str, Any]:
        return login(self.aws.secretsmanager, f"pipeline/database/{role}")

    def rotate(self, role: str) -> None:
        """As Secrets Manager's function for a single user does: logged in as the role itself."""
        found = self.login(role)
        changed = {**found, "password": secrets.token_urlsafe(12)}
        with psycopg.connect(login_conninfo(found)) as connection:
            connection.execute(
                sql.SQL("ALTER USER {} WITH PASSWORD {}").format(
                    sql.Identifier(found["username"]), sql.Literal(changed["password"])
                )
            )
        self.aws.secretsmanager.put_secret_value(SecretId=f"pipeline/database/{role}", SecretString=json.dumps(changed))

    def migrate(self, home: Path) -> BaseException | None:
        """What `pipeline migrate` ended with."""
        variables = {**self.aws.settings.environment_variables(), "DAGSTER_HOME": str(home)}
        return CliRunner(env=variables).invoke(app, ["migrate"]).exception

    def say_dagster(self, revision: str) -> None:
        """What Dagster's tables say that they are."""
        with psycopg.connect(login_conninfo(self.login("dagster"))) as connection:
            connection.execute("UPDATE alembic_version SET version_num = %s", (revision,))


@pytest.fixture
def managed(aws: Account, tmp_path: Path) -> Iterator[Managed]:
    server, port, password = start(tmp_path / "data", wheel_binaries())
    try:
        for role, (user, database) in USERS.items():
            found = {"username": user, "password": secrets.token_urlsafe(12), "host": HOST, "port": port}
            aws.secretsmanager.create_secret(
                Name=f"pipeline/database/{role}", SecretString=json.dumps({**found, "dbname": database})
            )
        admin = login(aws.secretsmanager, "pipeline/database/admin")
        superuser = login_conninfo({**admin, "username": "postgres", "password": password})
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(
                    sql.Identifier(admin["username"]), sql.Literal(admin["password"])
                )
            )
        yield Managed(aws)
    finally:
        server.kill()
        server.wait()


def test_an_administrator_who_is_no_superuser_migrates_again_and_again_and_each_role_changes_its_own_password(
    managed: Managed, aws: Account, tmp_path: Path
) -> None:
    home = dagster_yaml(tmp_path)
    assert managed.migrate(home) is None
    assert managed.migrate(home) is None
    for role in USERS:
        managed.rotate(role)
    assert managed.migrate(home) is None
    for role in USERS:
        managed.rotate(role)
        psycopg.connect(login_conninfo(managed.login(role))).close()
    reader = Database.from_settings(aws.settings, "reader", aws.secretsmanager)
    with reader.connect() as connection:
        assert connection.execute("SHOW transaction_read_only").fetchone() == ("on",)


def test_after_a_rollback_the_tables_of_a_later_dagster_are_left_as_they_are(
    managed: Managed, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = dagster_yaml(tmp_path)
    assert managed.migrate(home) is None
    managed.say_dagster("of tomorrow")
    assert managed.migrate(home) is None
    [told] = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "of tomorrow" in line]
    assert told["message"].startswith("Dagster's tables are those of a later release, and are left as they are: ")


def test_a_failure_of_dagsters_part_is_a_failure_and_says_why(
    managed: Managed, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dagster.yaml").write_text("storage: nowhere", "utf-8")
    assert isinstance(managed.migrate(tmp_path), Permanent)
    told = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert told[-1]["level"] == "CRITICAL" and "storage" in told[-1]["message"]
