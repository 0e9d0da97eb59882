"""`pipeline query` and `pipeline operations`: commands for the catalogue of operations. Queries run as the reader."""

import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline_project.analytics import catalogue, plots
from pipeline_project.analytics.catalogue import InvalidParameters, operation
from pipeline_project.analytics.execution import Column, Row, Rows, execute
from pipeline_project.results.encoders import encoder
from pipeline_project.results.options import Format, ResultOptions
from pipeline_project.results.texts import as_text
from pipeline_project.services import Services
from pipeline_project.terminal import console, plain

SHOWN_ROWS = 50
ATTEMPTS = 2
"""Number of calls to AWS before an error counts. It is small, because a person waits."""


def query(
    name: Annotated[str, typer.Argument(metavar="OPERATION", help="One of `pipeline operations`.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter. The option can be repeated."),
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="Write the whole result to standard output, instead of a table.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the result as a PNG.", dir_okay=False)] = None,
    rows: Annotated[int, typer.Option(min=1, help="Greatest number of rows to show.")] = SHOWN_ROWS,
) -> None:
    """Run an operation and show its result."""
    asked = operation(name)
    parameters = asked.validate(dict(_pair(asked.name, each) for each in param or []))
    with (
        Services(attempts=ATTEMPTS) as services,
        execute(services.reader, asked, parameters, timeout_seconds=services.settings.job_timeout_seconds) as result,
    ):
        if plot is None and form is not None:
            _write(result, form)
            return
        got = list(chain.from_iterable(result))
    if plot is not None:
        plot.write_bytes(plots.plot(asked.name, result.columns, got))
    console().print(table(result.columns, got, rows))


def operations() -> None:
    """List the operations with their parameters."""
    listing = Table("operation", "parameters", "")
    for each in catalogue.operations().values():
        listing.add_row(each.name, ", ".join(each.parameters.model_fields), each.summary)
    console().print(listing)


def table(columns: Sequence[Column], rows: Sequence[Row], most: int) -> Table:
    """Return the first `most` rows as a table. Data is never interpreted as markup."""
    left_out = len(rows) - most
    caption = f"{len(rows):,} rows" + (f", of which {left_out:,} are not shown" if left_out > 0 else "")
    shown = Table(caption=caption, caption_justify="left")
    for column in columns:
        shown.add_column(plain(column.name), justify="right" if column.is_number else "left", overflow="fold")
    for row in rows[:most]:
        shown.add_row(*(plain(_cell(value)) for value in row))
    return shown


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else as_text(value)


def _pair(name: str, given: str) -> tuple[str, str]:
    parameter, separator, value = given.partition("=")
    if not separator:
        message = f"--param takes NAME=VALUE, not {given!r}"
        raise InvalidParameters(name, [{"field": given, "rule": "pair", "message": message}])
    return parameter, value


def _write(result: Rows, form: Format) -> None:
    target = encoder(ResultOptions(format=form), result.columns)
    sys.stdout.buffer.write(target.start())
    for batch in result:
        sys.stdout.buffer.write(target.batch(batch))
    sys.stdout.buffer.write(target.end(result.truncated))
