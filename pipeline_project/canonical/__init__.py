"""The canonical database as a whole: its migrations, its tables, and the checks of what was loaded."""

__all__ = ["checks", "migrations", "tables"]
