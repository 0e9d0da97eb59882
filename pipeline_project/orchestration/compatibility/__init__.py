"""Our changes to parts of Dagster, which rely on internals of a known version. An unknown version keeps the stock behaviour."""

__all__ = ["internals", "run_launcher", "run_logger", "webserver"]
