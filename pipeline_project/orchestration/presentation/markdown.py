"""Markdown tables for metadata, as Dagster's UI shows them: general tables, and the outcomes of a batch."""

from collections.abc import Iterable, Sequence

from pipeline_project.ingest.decoding import placed
from pipeline_project.ingest.inspection.report import BatchColumn, BatchDrift
from pipeline_project.ingest.ledger import COUNTS, Outcome

LINES = 100
"""Maximum number of listed objects. Objects that need attention come first."""
URGENCY = {"failed": 0, "loaded_with_rejects": 1, "superseded": 2}


def outcomes_table(outcomes: Sequence[Outcome]) -> str:
    """Return a table with a line for each object, urgent ones first. Counts that are zero everywhere have no column."""
    ordered = sorted(outcomes, key=lambda outcome: (URGENCY.get(outcome.state, 3), outcome.key))
    counts = [name for name in COUNTS if any(getattr(outcome, name) for outcome in outcomes)]
    rows = [[outcome.key, outcome.state, *(getattr(outcome, name) for name in counts)] for outcome in ordered]
    return _first_lines(["object", "state", *counts], rows)


def faults_table(outcomes: Sequence[Outcome]) -> str:
    """Return a table with the reasons of failed objects, or "" if none failed. The reasons need the whole width."""
    faults = [(outcome.key, outcome.fault) for outcome in outcomes if outcome.fault]
    rows = [(key, placed(fault.message, fault.line, fault.column)) for key, fault in faults]
    return _first_lines(["object", "reason"], sorted(rows)) if rows else ""


def columns_table(columns: Sequence[BatchColumn]) -> str:
    """Return a table of the columns of a batch: what each was read as, and how often it was filled."""
    rows = [
        (
            each.dataset,
            each.name,
            each.field or "attribute",
            each.objects,
            f"{each.filled / max(each.looked_at, 1):.0%}",
        )
        for each in columns
    ]
    return _first_lines(["dataset", "column", "read as", "objects", "filled"], rows)


def drift_table(drift: Sequence[BatchDrift]) -> str:
    """Return a table of what the objects of a batch and the files before them differ in."""
    rows = [(each.key, each.before, *map(", ".join, (each.lost, each.vanished, each.appeared))) for each in drift]
    return _first_lines(["object", "file before", "fields lost", "columns vanished", "columns appeared"], rows)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table. Special characters in cells are escaped, so that the table keeps its shape."""
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
