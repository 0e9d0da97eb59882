"""Operations at full size: their time through `execute` against psql with the same SQL and settings in the same run, the
integrity analysis and what awkward data makes slow at growing sizes, the guard, and a million rows streamed into a file store.
"""

import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from psycopg import ClientCursor

from pipeline_project.analytics.catalogue import operation
from pipeline_project.analytics.execution import SEARCH_PATH, execute
from pipeline_project.analytics.failures import QueryRefused, QueryTimedOut
from pipeline_project.analytics.guard import check
from pipeline_project.database import Database
from pipeline_project.results import store
from pipeline_project.results.options import Format, ResultOptions
from pipeline_project.schema.sql_files import query
from pipeline_project_tests.bench.memory import peak_megabytes
from pipeline_project_tests.bench.server import BenchServer, server
from pipeline_project_tests.custom_sql_corpus import LEGITIMATE

DATABASE = "analytics"
DATA = Path(__file__).with_name("analytics_data.sql")
SHAPES = Path(__file__).with_name("analytics_shapes.sql")
ROUNDS = 3
# Operation, parameters, and the goal in seconds at full size.
CASES: list[tuple[str, dict[str, Any], float | None]] = [
    ("database_info", {}, None),
    ("simple_demo", {}, 1),
    ("customer_analysis", {}, 1),
    ("revenue_analysis", {}, 1),
    ("count_analysis", {}, 1),
    ("count_analysis", {"metric": "relationships"}, None),
    ("multi_dimensional_analytics", {}, 4),
    ("relationship_network", {"root": "crm_5", "depth": 5}, 0.3),
    ("time_series_patterns", {}, 5),
]
INTEGRITY = [(["small_a", "small_b"], 30.0), (["crm", "erp"], None), (None, None)]
SHAPED: list[tuple[str, str, dict[str, Any], float]] = [
    ("as many groups", "multi_dimensional_analytics", {"dimensions": ["industry", "region"]}, 4),
    ("all in cycles", "relationship_network", {"root": "crm_1", "depth": 10}, 1),
]
SHAPE_SIZES = (5_000, 20_000)
MOST_SECONDS = 240
"""Of one operation, so that the suite stays below twelve minutes."""
STREAM_ROWS = 1_000_000
MOST_TO_PSQL = 1.15
MOST_GROWTH = 2.0
"""Of the time for an entity, from the smallest to larger sizes. Integrity: from two systems of 100,000 to a million entities of
five, ten pairs of systems."""
LEAST_ROWS_PER_SECOND = 100_000
MOST_MEGABYTES = 150


def run(scale: float = 1.0) -> list[dict[str, Any]]:
    with server() as postgres:
        postgres.create(DATABASE)
        _fill(postgres, DATABASE, DATA, scale=scale)
        figures = [
            *_operations(postgres),
            *_integrity(postgres),
            *_shapes(postgres, scale),
            _guard(),
            *_streams(postgres, int(STREAM_ROWS * scale)),
        ]
    return [figure | {"verdict": "ok" if _holds(figure) else "missed"} for figure in figures]


def _holds(figure: dict[str, Any]) -> bool:
    """Whether the goals of the case are reached, as far as it has any."""
    return (
        "failed" not in figure
        and figure.get("seconds", 0) <= (figure.get("goal_seconds") or math.inf)
        and figure.get("ratio", 0) <= MOST_TO_PSQL
        and figure.get("growth", 0) <= MOST_GROWTH
        and figure.get("rows_per_second", math.inf) >= LEAST_ROWS_PER_SECOND
        and figure.get("memory_mb", 0) <= MOST_MEGABYTES
    )


def _fill(postgres: BenchServer, database: str, data: Path, **variables: float) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.writelines(f"\\set {name} {value}\n" for name, value in variables.items())
        script.write(data.read_text("utf-8"))
        script.flush()
        postgres.psql(database, "owner", Path(script.name))


def _operations(postgres: BenchServer) -> list[dict[str, Any]]:
    figures = []
    for name, given, goal in CASES:
        seconds, by_psql = _against_psql(postgres, name, given, ROUNDS)
        case = " ".join([name, *(str(value) for value in given.values())])
        ratio = seconds / by_psql
        figures.append(
            {"case": case, "seconds": seconds, "psql_seconds": by_psql, "ratio": ratio, "goal_seconds": goal}
        )
    return figures


def _integrity(postgres: BenchServer) -> list[dict[str, Any]]:
    """Two systems against psql; then how the time grows, by our side alone and within bounds."""
    reader = postgres.database(DATABASE, "reader")
    counted = postgres.admin(DATABASE, "SELECT source, count(*)::int FROM canonical.entities GROUP BY source")
    figures = []
    for systems, goal in INTEGRITY:
        given = {"systems": systems}
        entities = sum(int(str(count)) for source, count in counted if systems is None or source in systems)
        figure: dict[str, Any] = {
            "case": f"data_integrity_analysis {'/'.join(systems or ['all'])}",
            "entities": entities,
            "goal_seconds": goal,
        }
        try:
            if goal:
                figure["seconds"], by_psql = _against_psql(postgres, "data_integrity_analysis", given, 1)
                figure |= {"psql_seconds": by_psql, "ratio": figure["seconds"] / by_psql}
            else:
                figure["seconds"] = _seconds(lambda given=given: _drain(reader, "data_integrity_analysis", given))
            figure["us_per_entity"] = figure["seconds"] / entities * 1e6
            figure["growth"] = figure["us_per_entity"] / (figures or [figure])[0].get("us_per_entity", math.nan)
        except (QueryTimedOut, QueryRefused) as error:
            figure["failed"] = str(error)
        figures.append(figure)
    return figures


def _shapes(postgres: BenchServer, scale: float) -> list[dict[str, Any]]:
    """What is quadratic shows here: many values of a dimension, and a network full of cycles."""
    figures: dict[str, list[dict[str, Any]]] = {name: [] for _, name, _, _ in SHAPED}
    for size in SHAPE_SIZES:
        entities = max(100, int(size * scale))
        database = f"{DATABASE}_{size}"
        postgres.create(database)
        _fill(postgres, database, SHAPES, entities=entities)
        drain = partial(_drain, postgres.database(database, "reader"))
        for shape, name, given, goal in SHAPED:
            seconds = statistics.median(_seconds(partial(drain, name, given)) for _ in range(ROUNDS))
            figure = {
                "case": f"{name}, {shape}",
                "entities": entities,
                "goal_seconds": goal,
                "seconds": seconds,
                "us_per_entity": seconds / entities * 1e6,
            }
            smallest = (figures[name] or [figure])[0]
            figures[name].append(figure | {"growth": figure["us_per_entity"] / smallest["us_per_entity"]})
        postgres.drop(database)
    return [figure for each in figures.values() for figure in each]


def _against_psql(postgres: BenchServer, name: str, given: dict[str, Any], rounds: int) -> tuple[float, float]:
    """The median seconds of the operation and of psql, taken in turns so that the machine's moods hit both."""
    reader = postgres.database(DATABASE, "reader")
    asked = operation(name)
    parameters = asked.validate(given)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script, reader.connect() as connection:
        limits = {
            "statement_ms": 0,
            "transaction_ms": 0,
            "lock_ms": 0,
            "search_path": SEARCH_PATH,
            "nested_loops": "on" if asked.nested_loops else "off",
        }
        statements = [
            ClientCursor(connection).mogrify(query("analytics/limits"), limits),
            ClientCursor(connection).mogrify(query(f"analytics/{asked.sql}"), parameters.as_json()),
        ]
        script.write("BEGIN;\n" + ";\n".join(statements) + ";\n")
        script.flush()
        ours, theirs = [], []
        for _ in range(rounds):
            theirs.append(postgres.psql(DATABASE, "reader", Path(script.name)))
            ours.append(_seconds(lambda: _drain(reader, asked.name, given)))
    return statistics.median(ours), statistics.median(theirs)


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _drain(reader: Database, name: str, given: dict[str, Any]) -> int:
    asked = operation(name)
    with execute(reader, asked, asked.validate(given), timeout_seconds=MOST_SECONDS) as rows:
        return sum(len(batch) for batch in rows)


def _guard() -> dict[str, Any]:
    best = [min(_seconds(lambda each=each: check(each, ["crm_1"])) for _ in range(5)) for each in LEGITIMATE]
    return {"case": "guard, slowest legitimate query", "seconds": max(best), "goal_seconds": 0.001}


class _Sink:
    """Takes an upload as S3 would and keeps nothing: what is measured is reading and encoding."""

    def put_object(self, **_: Any) -> None: ...
    def create_multipart_upload(self, **_: Any) -> dict[str, str]:
        return {"UploadId": "upload"}

    def upload_part(self, **_: Any) -> dict[str, str]:
        return {"ETag": "etag"}

    def complete_multipart_upload(self, **_: Any) -> None: ...


def _streams(postgres: BenchServer, rows: int) -> list[dict[str, Any]]:
    """Each format in a process of its own, whose memory is measured at its end."""
    figures = []
    for form in Format:
        command = [sys.executable, "-m", __name__, postgres.conninfo(DATABASE, "reader"), form, str(rows)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds, megabytes = map(float, done.stdout.split())
        figures.append(
            {
                "case": f"stream {rows} rows, {form}",
                "seconds": seconds,
                "rows_per_second": rows / seconds,
                "memory_mb": megabytes,
            }
        )
    return figures


def _stream(conninfo: str, form: Format, rows: int) -> None:
    asked = operation("custom_complex_query")
    text = "SELECT canonical_id, name, industry, country, revenue, employees, source_updated_at FROM entities LIMIT $1"
    begin = time.perf_counter()
    with execute(
        Database(lambda: conninfo), asked, asked.validate({"query": text, "params": [rows]}), timeout_seconds=600
    ) as read:
        store.write(_Sink(), "bucket", "jobs/bench", read, ResultOptions(format=form))
    print(time.perf_counter() - begin, peak_megabytes())  # noqa: T201 for the parent


if __name__ == "__main__":
    _stream(sys.argv[1], Format(sys.argv[2]), int(sys.argv[3]))
