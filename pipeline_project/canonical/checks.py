"""The checks of loaded data. Each check is a statement in sql/checks/ that returns the offending rows, or no rows if all is well.

Plug-ins have folders of their own (plugins.py). The comment above the statement has the lines `-- table: …`,
`-- severity: error|warn` and, if results from the table would mislead, `-- blocking: yes`. A description follows.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pipeline_project.canonical.tables import Table, tables
from pipeline_project.database import Database
from pipeline_project.plugins import PluginError, by_name, sql_folders
from pipeline_project.schema.sql_files import SQL

BUILT_IN = SQL / "checks"
Severity = Literal["error", "warn"]
SHOWN = 50
COUNTED = 10_000
"""Greatest number of offending rows that are counted."""


@dataclass(frozen=True)
class Check:
    """A check, named after its file. `blocking`: results from the table would mislead while the check fails."""

    name: str
    file: Path
    table: Table
    severity: Severity
    blocking: bool
    description: str


@dataclass(frozen=True)
class Finding:
    """The first offending rows, and their number. COUNTED means this many or more."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    count: int


def checks() -> list[Check]:
    """Return all checks, sorted by name: those of the platform and those of plug-ins."""
    paths = [path for folder in (BUILT_IN, *sql_folders("checks")) for path in folder.glob("*.sql")]
    found = by_name("checks", [(_parse(path), path) for path in paths])
    return [found[name] for name in sorted(found)]


def run(database: Database, check: Check) -> Finding:
    """Run a check in a read-only transaction. `database` is the loader's."""
    with database.connect() as connection:
        connection.read_only = True
        # A server-side cursor: a check that fails for a million rows must not bring them here.
        with connection.cursor("offending") as cursor:
            cursor.execute(check.file.read_bytes())
            rows = cursor.fetchmany(SHOWN)
            count = len(rows)
            while count < COUNTED and (more := cursor.fetchmany(1_000)):
                count += len(more)
            columns = [column.name for column in cursor.description or ()]
        return Finding(columns, rows, min(count, COUNTED))


def _parse(path: Path) -> Check:
    text = path.read_text("utf-8")
    comments = [line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--")]
    stated = dict(
        re.split(r":\s*", line, maxsplit=1) for line in comments if re.match(r"(table|severity|blocking):", line)
    )
    known = {f"{table.schema}.{table.name}": table for table in tables()}
    if stated.get("table") not in known:
        raise PluginError(
            f"{path}:1: the check names no table. Begin with `-- table: …`, one of {', '.join(sorted(known))}."
        )
    if stated.get("severity") not in get_args(Severity):
        raise PluginError(f"{path}:2: the check names no severity. Write `-- severity: error` or `-- severity: warn`.")
    return Check(
        name=path.stem,
        file=path,
        table=known[stated["table"]],
        severity=cast("Severity", stated["severity"]),
        blocking=stated.get("blocking") == "yes",
        description=" ".join(line for line in comments if line.split(":")[0] not in stated),
    )
