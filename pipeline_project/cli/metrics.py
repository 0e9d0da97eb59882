"""`pipeline metrics`: shows the metrics that CloudWatch would show, from the log lines of this machine's platform."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline_project.local.state import State
from pipeline_project.notify.metrics import NAMESPACE, UNITS
from pipeline_project.services import Services
from pipeline_project.terminal import console

MARK = '{"_aws":'
LEVELS = {"ObjectsWaiting", "OldestWaitingSeconds"}
"""Metrics whose last value counts. Their sum means nothing."""


@dataclass
class Figure:
    """Values of a metric for one set of dimensions."""

    count: int = 0
    total: float = 0.0
    most: float = 0.0
    last: float = 0.0
    last_at: int = 0

    def add(self, value: float, at: int) -> None:
        self.count += 1
        self.total += value
        self.most = max(self.most, value)
        if at >= self.last_at:
            self.last, self.last_at = value, at


def metrics(
    minutes: Annotated[int, typer.Option(help="Length of the period up to now, in minutes.", min=1)] = 60,
) -> None:
    """Show the metrics of the platform: records, rejects, lag, batches, jobs, cache, backlog."""
    since = (time.time() - 60 * minutes) * 1_000
    found = figures([*_of_programs(), *_of_functions()], since)
    table = Table("metric", "of", "lines", "sum", "average", "most", "last", box=None)
    for (name, of), figure in sorted(found.items(), key=lambda item: (list(UNITS).index(item[0][0]), item[0][1])):
        total = "" if name in LEVELS or "Seconds" in name else f"{figure.total:,.0f}"
        average = f"{figure.total / figure.count:,.2f}"
        table.add_row(name, of, str(figure.count), total, average, f"{figure.most:,.2f}", f"{figure.last:,.2f}")
    console().print(table if found else f"Nothing was measured in the last {minutes} minutes.")


def figures(lines: Iterable[str], since: float) -> dict[tuple[str, str], Figure]:
    """Return values by metric and dimension (a source, an operation, or all). `since` is in milliseconds of Unix time."""
    found: dict[tuple[str, str], Figure] = {}
    # Dagster stores the output of a step and also passes it on, so a line can occur twice.
    for text in dict.fromkeys(lines):
        document = _parsed(text)
        if document is None or document["_aws"]["Timestamp"] < since:
            continue
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for dimensions in directive["Dimensions"]:
                of = " ".join(document[name] for name in dimensions[1:]) or "all"
                for metric in directive["Metrics"]:
                    figure = found.setdefault((metric["Name"], of), Figure())
                    figure.add(document[metric["Name"]], document["_aws"]["Timestamp"])
    return found


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
        return document if document["_aws"]["CloudWatchMetrics"][0]["Namespace"] == NAMESPACE else None
    except (ValueError, KeyError, TypeError):
        return None


def _of_programs() -> Iterator[str]:
    for path in sorted(State.of_working_folder().logs.glob("*.log*")):
        with path.open(encoding="utf-8", errors="replace") as log:
            yield from (line[line.index(MARK) :] for line in log if MARK in line)


def _of_functions() -> Iterator[str]:
    """Yield log lines of functions, which the emulator stores as CloudWatch Logs does."""
    with Services() as services:
        logs = services.client("logs")
        for group in logs.describe_log_groups()["logGroups"]:  # a function's is named by the template
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
                yield from (event["message"].strip() for event in page["events"] if MARK in event["message"])
