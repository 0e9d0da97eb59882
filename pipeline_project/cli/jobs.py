"""`pipeline jobs …`: commands for people and scripts that use the job API. They only call the REST facade."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline_project import exact_json
from pipeline_project.client import Client, Document
from pipeline_project.errors import ConfigurationError, Exit, Permanent
from pipeline_project.printable import printable
from pipeline_project.services import Services
from pipeline_project.terminal import console

app = typer.Typer(
    help="Submit jobs, watch them, and fetch their results. Exit codes: 0 success, 1 error, 2 wrong usage, 3 the job failed, "
    "4 it was cancelled, 5 it timed out, 6 it is still running.",
    no_args_is_help=True,
)
EXITS = {
    "SUCCEEDED": Exit.OK,
    "FAILED": Exit.JOB_FAILED,
    "CANCELLED": Exit.JOB_CANCELLED,
    "TIMED_OUT": Exit.JOB_TIMED_OUT,
}

JobId = Annotated[str, typer.Argument(metavar="JOB", help="ID of the job.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the document of the API.")]
Timeout = Annotated[float | None, typer.Option(help="Longest wait in seconds. Then the exit code is 6.", min=0)]


@app.callback()
def connect(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(envvar="PIPELINE_API_URL", help="Address of the API.")] = None,
    api_key: Annotated[str | None, typer.Option(envvar="PIPELINE_API_KEY", help="Sent as X-Api-Key.")] = None,
) -> None:
    context.obj = (url, api_key)


@app.command()
def submit(
    context: typer.Context,
    operation: Annotated[str, typer.Argument(help="One of `pipeline jobs operations`.")],
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", "--parameter", "-p", metavar="NAME=VALUE", help="A parameter. The option can be repeated."
        ),
    ] = None,
    parameters: Annotated[
        str | None, typer.Option(metavar="JSON", help="All parameters. `-` reads them from standard input.")
    ] = None,
    result_format: Annotated[str, typer.Option("--format", help="json, ndjson, csv or parquet.")] = "json",
    idempotency_key: Annotated[
        str | None, typer.Option(help="A repeated call with the same key returns the same job.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job is finished.")] = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job, and print its ID."""
    given = _parameters(param or [], parameters)
    job = _client(context).submit(operation, given, result_format=result_format, idempotency_key=idempotency_key)
    if wait:
        _finish(_watched(context, job["id"], timeout), as_json)
    elif as_json:
        _print_json(job)
    else:
        typer.echo(job["id"])


@app.command("list")
def list_jobs(
    context: typer.Context,
    state: Annotated[
        list[str] | None, typer.Option(help="Only jobs in this state. The option can be repeated.")
    ] = None,
    operation: Annotated[str | None, typer.Option(help="Only jobs of this operation.")] = None,
    limit: Annotated[int, typer.Option(help="Greatest number of jobs.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List your jobs, the newest first."""
    filters: dict[str, Any] = {"limit": min(limit, 100)}
    filters |= {"state": state} if state else {}
    filters |= {"operation": operation} if operation else {}
    found = _client(context).jobs(**filters)
    jobs = [job for _, job in zip(range(limit), found, strict=False)]
    if as_json:
        _print_json(jobs)
        return
    table = Table("job", "operation", "state", "created", "rows", "error", box=None)
    for job in jobs:
        rows = (job["result"] or job["progress"] or {}).get("rows", "")
        error = (job["error"] or {}).get("code", "")
        table.add_row(job["id"], job["operation"], job["state"], job["created_at"], str(rows), error)
    console().print(table)


@app.command()
def operations(context: typer.Context) -> None:
    """List the operations with their parameters."""
    for each in _client(context).operations():
        typer.echo(f"{each['name']}: {each['summary']}")
        for name, schema in each["parameters"].get("properties", {}).items():
            typer.echo(f"    {name}  {schema.get('description', '')}")


@app.command()
def show(context: typer.Context, job_id: JobId) -> None:
    """Show the document of a job."""
    _print_json(_client(context).job(job_id))


@app.command()
def wait(context: typer.Context, job_id: JobId, timeout: Timeout = None, as_json: AsJson = False) -> None:
    """Wait until a job is finished. The exit code shows how it ended."""
    _finish(_watched(context, job_id, timeout), as_json)


@app.command()
def cancel(context: typer.Context, job_id: JobId) -> None:
    """Cancel a job."""
    typer.echo(_client(context).cancel(job_id)["state"])


@app.command()
def download(
    context: typer.Context,
    job_id: JobId,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: <job>.<format> here.")] = None,
) -> None:
    """Download a result. An interrupted download continues where it stopped."""
    client = _client(context)
    job = client.job(job_id)
    path = output or Path(f"{job_id}.{job['format']}")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(path.name, total=None)
        client.download(job_id, path, on_bytes=lambda have, size: progress.update(task, completed=have, total=size))
    typer.echo(path)


def _client(context: typer.Context) -> Client:
    url, api_key = context.obj
    if url is None:
        with contextlib.suppress(ConfigurationError):  # without a platform here, the address is enough
            url = Services().settings.api_url
    if url is None:
        raise Permanent("The address of the API is missing. Give --url, or set PIPELINE_API_URL.")
    return Client(url, api_key=api_key)


def _watched(context: typer.Context, job_id: str, timeout: float | None) -> Document:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(job_id, total=None)

        def show_state(job: Document) -> None:
            rows = f", {job['progress']['rows']:,} rows" if job["progress"] else ""
            progress.update(task, description=f"{job['operation']} {job['state']}{rows}")

        return _client(context).wait(job_id, timeout=timeout, on_look=show_state)


def _finish(job: Document, as_json: bool) -> None:
    if as_json:
        _print_json(job)
    else:
        reason = f": {job['error']['detail']}" if job["error"] else ""
        typer.echo(printable(f"{job['id']} {job['state']}{reason}"))
    raise typer.Exit(EXITS.get(job["state"], Exit.JOB_CONTINUES))


def _parameters(pairs: list[str], text: str | None) -> dict[str, Any]:
    """Read parameters, for example `-p top_n=3`. A value that is JSON is read as JSON, every other value as text."""
    try:
        found = exact_json.decode(sys.stdin.read() if text == "-" else text or "{}")
    except ValueError:
        raise typer.BadParameter("--parameters is not JSON") from None
    if not isinstance(found, dict):
        raise typer.BadParameter("--parameters is a JSON object")
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise typer.BadParameter(f"--param is NAME=VALUE, not {pair!r}")
        try:
            found[name] = exact_json.decode(value)
        except ValueError:
            found[name] = value
    return found


def _print_json(document: Any) -> None:
    text = msgspec.json.format(exact_json.encode(document), indent=2).decode()
    if printable(text, keep="\n") != text:
        # Text that a terminal must not see is escaped as JSON does, so that programs still read the same value.
        text = "".join(character if character.isascii() else json.dumps(character)[1:-1] for character in text)
    typer.echo(text)
