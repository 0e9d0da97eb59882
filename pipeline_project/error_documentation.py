"""docs/reference/errors.md from the table: `python -m pipeline_project.error_documentation > docs/reference/errors.md`."""

import sys
from collections.abc import Callable, Iterable, Iterator

from pipeline_project.errors import CODES, NOTHING_RUNS, Code, Exit

HEAD = """# Error codes and exit codes

This page is generated from `pipeline_project/errors.py`. Do not edit it. To renew it, run
`python -m pipeline_project.error_documentation > docs/reference/errors.md`.

A code is stable: programs may depend on it. The text beside a code (`detail`, `message`) is for people and may change.
"""
REQUESTS = """
## Requests

The REST API answers with `application/problem+json`. Its `code` is one of these ([api.md](../api.md)). API Gateway itself
sends some of them, before or instead of the API.
"""
JOBS = """
## Jobs

The `error` of a job has one of these codes. `pipeline jobs wait` and `pipeline jobs submit --wait` exit with the exit code.
"""
FILES = """
## Files

A file that failed has one of these codes in `ingest.objects`, and `pipeline status` shows it. The details, and the reasons
for single invalid records, are in [ingestion.md](../ingestion.md).
"""
EXITS = """
## Exit codes

`pipeline` exits with these codes.
"""
MEANINGS = {
    Exit.OK: "Success",
    Exit.ERROR: "The command failed, or its check found something. The last line says what",
    Exit.USAGE: "The command line is wrong",
    Exit.JOB_FAILED: "The job failed",
    Exit.JOB_CANCELLED: "The job was cancelled",
    Exit.JOB_TIMED_OUT: "The job timed out",
    Exit.JOB_CONTINUES: "The wait ended, and the job continues",
    Exit.INTERRUPTED: "The command was stopped by a signal",
}


def markdown() -> str:
    """Write the page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield HEAD.rstrip()
    yield from _table(
        REQUESTS,
        ("Code", "HTTP status", "Sent by", "Meaning", "What to do"),
        (
            (f"`{name}`", code.status, "API Gateway" if code.request is None else "API", code.title, code.action)
            for name, code in _listed(lambda code: code.status is not None)
        ),
    )
    yield from _table(
        JOBS,
        ("Code", "Exit code", "Meaning", "What to do"),
        ((f"`{name}`", code.job, code.title, code.action) for name, code in _listed(lambda code: code.job is not None)),
    )
    yield from _table(
        FILES,
        ("Code", "Meaning", "What to do"),
        ((f"`{name}`", code.title, code.action) for name, code in _listed(lambda code: code.is_of_file)),
    )
    rows = [(code.value, MEANINGS[code]) for code in Exit]
    rows.append((NOTHING_RUNS, "`pipeline local status` only: no platform runs here"))
    yield from _table(EXITS, ("Exit code", "Meaning"), sorted(rows))


def _listed(belongs: Callable[[Code], bool]) -> Iterator[tuple[str, Code]]:
    return ((name, code) for name, code in CODES.items() if belongs(code))


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    yield title
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
