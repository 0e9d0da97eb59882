"""`make bench [ONLY=ingest]`: each suite's figures as a table and as JSON (build/bench/<suite>.json).

Figures are ratios against a bound measured in the same run on the same machine; absolute rates of a noisy machine mean
little elsewhere.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SUITES = ("ingest", "analytics", "api", "latency")
OUTPUT = Path("build/bench")
WIDTH = 200
"""Of the tables in a file."""


def show(console: Console, suite: str, figures: Sequence[dict[str, Any]]) -> None:
    """A table with a column for each name that any figure has."""
    names = list(dict.fromkeys(name for figure in figures for name in figure))
    table = Table(*names, title=suite, title_justify="left")
    for figure in figures:
        table.add_row(*(_text(figure.get(name)) for name in names))
    console.print(table)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("suites", nargs="*", default=SUITES, help=f"of {', '.join(SUITES)}; all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="1 is the published size; 0.01 tries whether it runs")
    arguments = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    for suite in arguments.suites:
        # What the platform itself prints, its metrics, is no part of the table.
        with redirect_stdout(sys.stderr):
            figures = importlib.import_module(f"pipeline_project_tests.bench.{suite}").run(arguments.scale)
        show(console, suite, figures)
        (OUTPUT / f"{suite}.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
        console.print_json(json.dumps(figures))


if __name__ == "__main__":
    main()
