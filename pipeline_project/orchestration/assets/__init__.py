"""The assets and asset checks: landing, ingestion, canonical tables, analytics results."""

__all__ = ["analytics", "checks", "ingest", "landing", "tables"]
