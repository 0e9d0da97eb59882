"""Finds the SQL files, which live outside the package in sql/ and inside it (as `_sql`) once installed from a wheel."""

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
SQL = next(folder for folder in (_PACKAGE / "_sql", _PACKAGE.parent / "sql") if folder.is_dir())


@cache
def query(name: str) -> bytes:
    """The text of `sql/<name>.sql`, for instance `ingest/ledger/claim`. Bytes, as psycopg takes constant queries."""
    return (SQL / f"{name}.sql").read_bytes()
