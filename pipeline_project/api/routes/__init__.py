"""The routes: queries, jobs, health, documents."""

__all__ = ["health", "jobs", "queries", "questions", "rows"]
