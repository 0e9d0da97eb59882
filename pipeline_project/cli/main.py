"""`pipeline …`: all commands under one name. An expected error is printed as one line, with Exit.ERROR."""

import logging
import sys
from importlib.util import find_spec
from typing import NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from pipeline_project import logs
from pipeline_project.cli import ingest, operate
from pipeline_project.cli.datasets import app as datasets
from pipeline_project.cli.events import events
from pipeline_project.cli.jobs import app as jobs
from pipeline_project.cli.migrations import app as migrations
from pipeline_project.cli.new import new
from pipeline_project.cli.results import operations, query
from pipeline_project.cli.snapshots import app as snapshots
from pipeline_project.errors import Exit, PipelineError
from pipeline_project.terminal import plain

app = typer.Typer(
    help="Company records from several systems, in one database.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.command("status")(ingest.status)
app.command("explain")(ingest.explain_entity)
app.command("replay")(ingest.replay_objects)
app.command("discover")(ingest.discover_objects)
app.command("query")(query)
app.command("operations")(operations)
app.command("new")(new)
app.command("events")(events)
app.command("health")(operate.health)
app.command("verify")(operate.verify)
app.command("migrate")(operate.migrate)
app.command("restored")(operate.restored)
app.command("serve")(operate.serve)
app.add_typer(ingest.rejects, name="rejects")
app.add_typer(snapshots, name="snapshots")
app.add_typer(ingest.systems, name="sources")
app.add_typer(datasets, name="datasets")
app.add_typer(migrations, name="migrations")
app.add_typer(jobs, name="jobs")
if find_spec("supervisor") is not None:  # an image for AWS lacks the `local` extra
    from pipeline_project.cli.local import app as local
    from pipeline_project.cli.metrics import metrics

    app.add_typer(local, name="local")
    app.command("metrics")(metrics)


def main() -> None:
    """The entry point of the `pipeline` script."""
    try:
        app()
    except PipelineError as error:
        if logs.is_configured():  # a service logs its last line like all others
            logging.getLogger(logs.LOGGER).critical("%s", error)
            sys.exit(Exit.ERROR)
        _complain(str(error))
    except BotoCoreError as error:
        _complain(f"AWS cannot be reached ({type(error).__name__}). On a laptop, `make run` starts an emulator.")
    except ClientError as error:
        _complain(f"AWS: {error} (`pipeline health` says what can be reached)")


def _complain(text: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(plain(text), style="red")
    sys.exit(Exit.ERROR)
