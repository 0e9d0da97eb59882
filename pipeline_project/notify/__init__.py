"""Notifications: events about loads and jobs, their delivery, and metrics."""

__all__ = ["delivery", "events", "ingest", "metrics", "subscriber"]
