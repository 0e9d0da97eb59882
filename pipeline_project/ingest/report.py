"""What a person wants to know about a batch that was loaded: totals, reasons, and a line for each object."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice
from typing import NamedTuple

from pipeline_project.canonical.sql_files import query
from pipeline_project.database import Connection
from pipeline_project.ingest.faults import placed
from pipeline_project.ingest.ledger import COUNTS, Outcome

COLOURS = {
    "inserted": "#2e7d32",
    "updated": "#1565c0",
    "unchanged": "#90a4ae",
    "stale": "#bdb76b",
    "rejected": "#c62828",
    "deleted": "#6a1b9a",
}
BAR, LABEL, LINE = 480, 110, 30
"""Of the plot, in pixels: the longest bar, the space for its name, the height of a line."""
PREVIEWED = 10
LINES = 100
"""Most objects that are listed; those that need somebody come first."""
URGENCY = {"failed": 0, "loaded_with_rejects": 1, "superseded": 2}


class DatasetShare(NamedTuple):
    """What the objects of one dataset amount to; `longest_lag` is in seconds, from discovery to the end."""

    dataset: str
    objects: int
    bytes: int
    longest_lag: float | None


class EntityLine(NamedTuple):
    """An entity as it stands after the load."""

    canonical_id: str
    name: str | None
    entity_type: str
    industry: str | None
    country: str | None
    revenue: Decimal | None
    employees: int | None
    version: int
    source_updated_at: datetime


class RejectReason(NamedTuple):
    """Why rows were rejected; `example` names one of them."""

    field: str | None
    message: str
    rows: int
    example: str


def totals(outcomes: Iterable[Outcome]) -> Counter[str]:
    """The sum of each count, and the number of objects in each state (`objects_loaded`, …)."""
    sums: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    for outcome in outcomes:
        sums.update({name: getattr(outcome, name) for name in COUNTS})
        sums[f"objects_{outcome.state}"] += 1
    return sums


def shares(connection: Connection, object_ids: Sequence[int]) -> list[DatasetShare]:
    rows = connection.execute(query("ingest/batch_datasets"), {"object_ids": list(object_ids)})
    return [DatasetShare(*row) for row in rows]


def reject_reasons(connection: Connection, object_ids: Sequence[int]) -> list[RejectReason]:
    """The most frequent reasons, of rows that are still open."""
    rows = connection.execute(query("ingest/batch_reject_reasons"), {"object_ids": list(object_ids)})
    return [RejectReason(*row) for row in rows]


def first_entities(connection: Connection, outcomes: Iterable[Outcome]) -> list[EntityLine]:
    """A few of the entities that were loaded; none where only relationships or metrics were."""
    keys = list(islice(chain.from_iterable(outcome.first_keys for outcome in outcomes), PREVIEWED))
    rows = connection.execute(query("ingest/batch_first_entities"), {"canonical_ids": keys})
    return [EntityLine(*row) for row in rows]


def rejects_command(source: str, outcomes: Sequence[Outcome]) -> str:
    """What a person types to see the rejected rows: of the object, if there is just one."""
    with_rejects = [outcome.key for outcome in outcomes if outcome.rejected]
    narrowed = ["--prefix", with_rejects[0]] if len(with_rejects) == 1 else ["--source", source]
    return shlex.join(["pipeline", "rejects", "list", *narrowed])


def outcomes_table(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table with a line for each object, the urgent ones first, and with the counts that any of them has."""
    ordered = sorted(outcomes, key=lambda outcome: (URGENCY.get(outcome.state, 3), outcome.key))
    counts = [name for name in COUNTS if any(getattr(outcome, name) for outcome in outcomes)]
    rows = [[outcome.key, outcome.state, *(getattr(outcome, name) for name in counts)] for outcome in ordered]
    return _first_lines(["object", "state", *counts], rows)


def faults_table(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table of what objects were refused for; empty if none was. By itself, as a sentence needs the width."""
    faults = [(outcome.key, outcome.fault) for outcome in outcomes if outcome.fault]
    rows = [(key, placed(fault.message, fault.line, fault.column)) for key, fault in faults]
    return _first_lines(["object", "reason"], sorted(rows)) if rows else ""


def counts_plot(sums: Mapping[str, int]) -> str:
    """An SVG: a bar for what became of the records. By hand, as matplotlib would cost a small batch more than its load."""
    most = max(1, *(sums[name] for name in COLOURS))
    parts = []
    for number, (name, colour) in enumerate(COLOURS.items()):
        top, width = number * LINE + 5, sums[name] / most * BAR
        parts += [
            f'<text x="{LABEL - 10}" y="{top + 15}" text-anchor="end">{name}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{width:.1f}" height="{LINE - 9}" rx="2" fill="{colour}"/>',
            f'<text x="{LABEL + width + 8:.1f}" y="{top + 15}">{sums[name]:,}</text>',
        ]
    width, height = LABEL + BAR + 100, len(COLOURS) * LINE + 5
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="13" fill="#37474f"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )


def reasons_table(reasons: Sequence[RejectReason]) -> str:
    return markdown_table(RejectReason._fields, reasons)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Whatever the cells hold, the table keeps its shape."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _first_lines(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    table = markdown_table(columns, rows[:LINES])
    left = len(rows) - LINES
    return f"{table}\n\n… and {left:,} more" if left > 0 else table


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = " ".join(str(value).split())
    for character in "\\|`<[*_":
        text = text.replace(character, f"\\{character}")
    return text
