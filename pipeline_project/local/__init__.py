"""The whole platform on one machine: PostgreSQL, the AWS emulator, Dagster and REST, supervised as one program."""

__all__ = [
    "console",
    "demo",
    "deployment",
    "disk",
    "examples",
    "postgres",
    "stack",
    "state",
    "supervision",
]
