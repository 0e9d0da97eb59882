"""Presentation of metadata in Dagster's web UI: column schemas, Markdown tables, pictures."""

__all__ = ["columns", "images", "markdown"]
