"""Discovery: finding objects in the landing bucket, by events and by listing, and entering them in the ledger."""

from pipeline_project.ingest.discovery.completeness import Comparison, compare
from pipeline_project.ingest.discovery.ignored_keys import why_ignored
from pipeline_project.ingest.discovery.landing import Landing, ListingCursor, SensorRotation, list_all
from pipeline_project.ingest.discovery.listing import list_pages

__all__ = [
    "Comparison",
    "Landing",
    "ListingCursor",
    "SensorRotation",
    "compare",
    "list_all",
    "list_pages",
    "why_ignored",
]
