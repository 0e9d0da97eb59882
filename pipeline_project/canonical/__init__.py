"""The canonical database as a whole: its migrations, its tables, and the checks of what was loaded."""

__all__ = ["catalogue", "checks", "difference", "migration_maker", "migrations", "relations", "tables"]
