"""Inspection: explaining to people what ingestion did or would do. Nothing here writes to the database."""

from pipeline_project.ingest.inspection.columns import ColumnReport, ColumnUse, column_reports
from pipeline_project.ingest.inspection.explanations import Explanation, Patch, State, explain
from pipeline_project.ingest.inspection.hints import DELETED
from pipeline_project.ingest.inspection.previews import Preview, preview
from pipeline_project.ingest.inspection.report import first_entities, reject_reasons, rejects_command, shares, totals

__all__ = [
    "DELETED",
    "ColumnReport",
    "ColumnUse",
    "Explanation",
    "Patch",
    "Preview",
    "State",
    "column_reports",
    "contract",
    "explain",
    "first_entities",
    "preview",
    "previews",
    "reject_reasons",
    "rejects_command",
    "report",
    "shares",
    "totals",
]
