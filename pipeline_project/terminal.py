"""What commands print for people: tables that lose nothing, and texts of others that cannot steer the terminal."""

import sys
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline_project.printable import printable

WIDTH_OF_FILES = 1000
"""Of a pipe or a log, which have no width of their own: Rich would take 80 columns and fold what is longer."""


def print_table(
    *columns: str, rows: Sequence[Sequence[object]], title: str | None = None, caption: str | None = None
) -> None:
    """Cells that are too long for the terminal go on in the next line: half a key is none."""
    shown = Table(title=plain(title) if title else None, title_justify="left", caption=caption, caption_justify="left")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*map(plain, row))
    console().print(shown)


def print_line(text: str, style: str = "") -> None:
    """A line for a person."""
    console().print(plain(text), style=style, soft_wrap=True)


def console() -> Console:
    """Standard output."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES)


def plain(value: object) -> Text:
    """A cell or line as it is: no markup means anything, and control characters are written as escapes.

    A Text was made before, perhaps of several lines, and stays.
    """
    if value is None:
        return Text()
    if isinstance(value, Text):
        return value
    text = moment(value) if isinstance(value, datetime) else str(value)
    return Text(printable(text, keep="\t"))


def moment(at: datetime) -> str:
    """To the second."""
    return f"{at:%Y-%m-%d %H:%M:%S}"
