"""`pipeline health | serve | migrate | verify | restored`: commands for operators and for containers."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pipeline_project import logs
from pipeline_project.canonical import migrations
from pipeline_project.database import Role, login, login_conninfo, role_secrets
from pipeline_project.errors import Exit, Permanent
from pipeline_project.health import answers, checks, dagster_checks, faults, landing_checks
from pipeline_project.operate import serve as serving
from pipeline_project.operate.verify import verify as differences
from pipeline_project.schema.sql_files import query
from pipeline_project.services import Services
from pipeline_project.terminal import plain

ALL_INTERFACES = "0.0.0.0"  # noqa: S104 other machines reach a container; its security group decides which
ATTEMPTS = 2
"""Number of calls to AWS before an error counts. It is small, because a person waits."""
DAGSTER_HOME = Path("/opt/dagster")
PROGRAM, DAGSTER_TABLES = (
    "pipeline_project.operate.program",
    "pipeline_project.orchestration.compatibility.dagster_tables",
)

log = logging.getLogger("pipeline.operate")

Home = Annotated[Path, typer.Option("--dagster-home", envvar="DAGSTER_HOME", help="Folder with dagster.yaml.")]


def health() -> None:
    """Check that each part can be reached, and show why not. The exit code is 1 if a part cannot be reached."""
    with Services(attempts=ATTEMPTS) as services:
        settings = services.settings
        parts = {
            **checks(settings, services.loader, services.client),
            **landing_checks(settings, services.client),
            "reader's database": lambda: answers(services.reader),
            **dagster_checks(settings, services.client("secretsmanager")),
        }
        away = faults(parts)
    console = Console(soft_wrap=True)
    for part in parts:
        console.print(plain(f"{part}: {away.get(part, 'ok')}"), style="red" if part in away else "")
    raise typer.Exit(Exit.ERROR if away else Exit.OK)


def serve(
    part: serving.Part,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = ALL_INTERFACES,
    port: Annotated[int | None, typer.Option(help="Default: the port that the other parts expect.")] = None,
    home: Home = DAGSTER_HOME,
) -> None:
    """Run a part of the platform in this process. The containers of the image use this command."""
    logs.configure_process()
    serving.serve(part, host, port, home)


def migrate(
    home: Annotated[
        Path | None,
        typer.Option(
            "--dagster-home",
            envvar="DAGSTER_HOME",
            help="Folder with dagster.yaml. Without it, Dagster's own tables are not migrated.",
        ),
    ] = None,
) -> None:
    """Bring databases, roles and schemas to this release. Run it before you start the services; you can repeat it."""
    logs.configure_process()
    services = Services()
    settings, secrets = services.settings, services.client("secretsmanager")
    logins: dict[Role, dict[str, Any]] = {role: login(secrets, name) for role, name in role_secrets(settings).items()}
    admin = {**login(secrets, settings.admin_secret), "dbname": logins["owner"]["dbname"]}
    passwords: dict[Role, str] = {role: found["password"] for role, found in logins.items()}
    migrations.migrate(login_conninfo(admin), passwords)
    log.info("%s: up to date", admin["dbname"])
    if home is not None:
        dagster = login(secrets, settings.dagster_secret)
        migrations.create_database(
            login_conninfo(admin), dagster["dbname"], owner=dagster["username"], password=dagster["password"]
        )
        # In its own process, because importing Dagster takes seconds and no other command here needs Dagster.
        done = subprocess.run([sys.executable, "-m", PROGRAM, DAGSTER_TABLES, home], check=False)  # noqa: S603 our own program
        if done.returncode:
            raise Permanent("Dagster's own tables could not be migrated. The lines before this line say why.")
        log.info("%s: up to date", dagster["dbname"])


def restored() -> None:
    """Make cached results of the lost database invalid. Run it after you restored the database, before you start the services."""
    with Services() as services, services.loader.connect() as connection:
        connection.execute(query("ingest/ledger/skip_data_versions"))


def verify() -> None:
    """Compare bucket, ledger and tables. The exit code is 1 if something is missing or has no explanation."""
    console = Console(soft_wrap=True)
    serious = False
    with Services() as services:
        for found in differences(services.loader, services.s3, services.settings.landing_bucket):
            serious |= found.serious
            console.print(plain(f"{found.number} {found.what}"), style="red" if found.serious else "yellow")
            for example in found.examples:
                console.print(plain(f"    {example}"))
    console.print("Bucket, ledger and tables do not agree." if serious else "Bucket, ledger and tables agree.")
    raise typer.Exit(Exit.ERROR if serious else Exit.OK)
