"""Rejects: listing, replaying and discarding single records that could not be loaded."""

from pipeline_project.ingest.rejects.rejected_rows import Selection, Status, discard, listed, replay, shown

__all__ = ["Selection", "Status", "discard", "listed", "rejected_rows", "replay", "shown"]
