"""`pipeline local …`: commands that run the whole platform on this machine."""

import os
import shlex
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape
from rich.table import Table

from pipeline_project.database import Database, Role
from pipeline_project.errors import NOTHING_RUNS, Exit, PipelineError, Transient
from pipeline_project.local import deployment, disk, examples
from pipeline_project.local.console import StepConsole
from pipeline_project.local.demo import Demo
from pipeline_project.local.postgres import wheel_binaries
from pipeline_project.local.stack import Stack
from pipeline_project.local.state import AlreadyRunning, State
from pipeline_project.local.supervision import call, end_leftovers
from pipeline_project.printable import printable
from pipeline_project.services import Services
from pipeline_project.settings import LocalSettings, Settings

app = typer.Typer(help="The whole platform on this machine, without Docker or AWS.", no_args_is_help=True)
LOAD_SECONDS = 180
STOP_SECONDS = 60
"""Longest wait of `stop` for the other process."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FAULTS = (PipelineError, OSError, BotoCoreError, ClientError, psycopg.Error)
"""Errors of what the platform runs on. They are reported as a sentence."""

Binaries = Annotated[
    Path | None,
    typer.Option(
        "--postgres-bin",
        envvar="PIPELINE_PG_BIN",
        help="Folder with the binaries of PostgreSQL 18 or newer, instead of those that come with the package.",
        exists=True,
        file_okay=False,
    ),
]


@app.command()
def run(binaries: Binaries = None) -> None:
    """Start everything, load examples/ and show the result. Run until Ctrl-C."""
    with _session(binaries) as (console, stack):
        settings = stack.start()
        try:
            _load_examples(console, stack, settings)
        except FAULTS:
            if not (trouble := disk.full(State.of_working_folder().folder)):
                raise
            console.note(f"The examples are not all loaded. {trouble}")
        _stay(console, stack, settings)


@app.command()
def up(
    binaries: Binaries = None,
    stock: Annotated[
        bool,
        typer.Option(
            "--stock",
            help="Use Dagster's own launcher, queue and storage, and no long polling. It is slow, for comparison only.",
        ),
    ] = False,
) -> None:
    """Start everything without loading examples/. Run until Ctrl-C."""
    with _session(binaries, stock=stock) as (console, stack):
        _stay(console, stack, stack.start())


@app.command()
def demo(binaries: Binaries = None) -> None:
    """Start everything, load examples/, verify each step, and stop. The exit code is 0 only if every step was verified."""
    with _session(binaries) as (console, stack):
        settings = stack.start()
        failures = _load_examples(console, stack, settings).verify(console)
    for failure in failures:
        console.print(f"[red]{escape(printable(failure))}[/]")
    console.print("[red]The demo failed.[/]" if failures else "[green]Every step holds.[/]")
    raise typer.Exit(Exit.ERROR if failures else Exit.OK)


@app.command()
def status() -> None:
    """Show the running parts and their addresses."""
    console, state = StepConsole(), State.of_working_folder()
    holder = state.holder()
    if holder is None:
        console.print("Nothing runs here. Start it with `make run`.")
        raise typer.Exit(NOTHING_RUNS)
    table = Table("part", "state", "process", "since")
    try:
        for info in call(state, "getAllProcessInfo"):
            if info["statename"] not in ("STOPPED", "EXITED"):
                since = time.strftime("%H:%M:%S", time.localtime(info["start"]))
                table.add_row(info["name"], info["statename"], str(info["pid"]), since)
        console.print(table)
    except Transient:
        console.print("It is just starting or stopping.")
    _show_addresses(console, holder.addresses)


@app.command()
def stop() -> None:
    """Stop the platform that `run` or `up` started in another terminal."""
    console, state = StepConsole(), State.of_working_folder()
    holder = state.holder()
    if holder is None:
        console.print("Nothing runs here.")
        return
    if not holder.pid:
        raise typer.BadParameter("The platform is just starting. Try again.")
    with console.step(f"Stopping process {holder.pid}"):
        with suppress(ProcessLookupError):
            os.kill(holder.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while state.holder() is not None:
            if time.monotonic() > deadline:
                raise PipelineError(f"process {holder.pid} does not end")
            time.sleep(0.1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context, role: Role = "reader", binaries: Binaries = None) -> None:
    """Open psql on the running database. Further arguments go to psql, for example -c 'SELECT …'."""
    conninfo = State.of_working_folder().psql_conninfo(role)
    program = (binaries or wheel_binaries()) / "psql"
    os.execv(program, ["psql", conninfo, *context.args])  # noqa: S606 a shell is what this avoids


@app.command()
def env() -> None:
    """Print variables for aws, boto3 and rclone. Use: eval "$(pipeline local env)".

    With these variables, the tools reach the emulator. In rclone, it is the remote `pipeline:`.
    """
    settings = Services().settings
    variables = {
        "AWS_ENDPOINT_URL": settings.aws_endpoint_url,
        "AWS_ACCESS_KEY_ID": settings.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": settings.aws_secret_access_key,
        "AWS_DEFAULT_REGION": settings.aws_region,
        "RCLONE_CONFIG_PIPELINE_TYPE": "s3",
        "RCLONE_CONFIG_PIPELINE_PROVIDER": "Other",
        "RCLONE_CONFIG_PIPELINE_ENV_AUTH": "true",
        "RCLONE_CONFIG_PIPELINE_ENDPOINT": settings.aws_endpoint_url,
        "RCLONE_CONFIG_PIPELINE_REGION": settings.aws_region,
    }
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(str(value))}")
    # Clients would send the token of an earlier session along with this key.
    typer.echo("unset AWS_SESSION_TOKEN AWS_PROFILE")


class Interrupted(BaseException):
    """Raised by the first signal that asks the process to stop."""


@contextmanager
def _session(binaries: Path | None, *, stock: bool = False) -> Iterator[tuple[StepConsole, Stack]]:
    """Lock the state folder, and yield a stack that is stopped at the end. An error becomes one line and exit code 1."""
    console, state = StepConsole(), State.of_working_folder()
    try:
        with state.locked():
            if ended := end_leftovers(state):
                console.note(f"ended {ended} processes that an earlier run had left behind")
            local = LocalSettings.load()
            stack = Stack(
                state,
                console,
                binaries or wheel_binaries(),
                stock=stock,
                ready_seconds=local.local_start_timeout_seconds,
                allowed_origins=local.api_allowed_origins,
            )
            _raise_on_signal()
            try:
                yield console, stack
            finally:
                _ignore_signals()
                stack.stop()
    except AlreadyRunning as error:
        console.print(f"It runs already, as process {error.holder.pid}. `pipeline local stop` stops it.")
        _show_addresses(console, error.holder.addresses)
        raise typer.Exit(Exit.ERROR) from None
    except FAULTS as error:
        is_file = isinstance(error, OSError)
        reasons = [disk.explained(error, state.folder)] if is_file else [str(error).strip(), disk.full(state.folder)]
        for reason in filter(None, reasons):
            told = printable(reason, keep="\n")
            console.print(f"[red]{escape(told)}[/]")
        raise typer.Exit(Exit.ERROR) from None
    except Interrupted:
        raise typer.Exit(Exit.INTERRUPTED) from None


def _raise_on_signal() -> None:
    """Let the first signal interrupt the main thread. Later signals have no effect, because the end has begun."""

    def interrupt(_number: int, _frame: object) -> None:
        _ignore_signals()
        raise Interrupted

    for number in SIGNALS:
        signal.signal(number, interrupt)


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _load_examples(console: StepConsole, stack: Stack, settings: Settings) -> Demo:
    secret = str(settings.aws_secret_access_key)
    s3 = deployment.client(stack.endpoint, secret, "s3")
    secrets = deployment.client(stack.endpoint, secret, "secretsmanager")
    loader = Database.from_settings(settings, "loader", secrets)
    files = examples.example_files()
    with console.step(f"Uploaded examples/ ({len(files)} files)"):
        uploaded = examples.upload(s3, settings.landing_bucket, files)
    with console.step("Loaded"):
        rows = examples.await_ledger(loader, uploaded, seconds=LOAD_SECONDS)
    rejected = examples.rejects(loader, uploaded)
    examples.show(console, uploaded, rows, rejected)
    reader = Database.from_settings(settings, "reader", secrets)
    return Demo(examples.expected(), rows, rejected, reader, str(settings.api_url))


def _stay(console: StepConsole, stack: Stack, settings: Settings) -> None:
    # A signal that arrives while the last lines are printed is a normal end, too: everything has started.
    with suppress(Interrupted):
        _show_addresses(console, stack.addresses(settings))
        console.print("Ctrl-C stops everything; what was loaded stays.")
        stack.watch()


def _show_addresses(console: StepConsole, addresses: Mapping[str, str]) -> None:
    for label, address in addresses.items():
        console.print(f"[bold]{label:<13}[/]{escape(address)}")
