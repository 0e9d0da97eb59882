"""Everything that is Dagster: assets, sensors, schedules, jobs, the workers that run them, and our changes to Dagster itself."""

__all__ = ["assets", "automation", "compatibility"]
