"""What the REST facade adds to the query below it. Yardstick: the same SQL on an open psycopg connection, rows fetched.

    handler   the Lambda's handler, called in this process, on the emulator's DynamoDB
    gateway   the same in the emulator's Lambda, behind its API Gateway, over HTTP

The gateway's figures are mostly the emulator's (one Python process for all of AWS). Jobs run in a thread where Dagster would
start a run: what Dagster adds is measured by the suite `latency`.
"""

import http.client
import json
import queue
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy import bundle
from pipeline_project.analytics.catalogue import operation
from pipeline_project.analytics.execution import execute
from pipeline_project.api.handler import of_function
from pipeline_project.client import Client
from pipeline_project.database import Database, Role
from pipeline_project.errors import PipelineError
from pipeline_project_tests.bench.server import BenchServer, server
from pipeline_project_tests.fix_api import Caller
from pipeline_project_tests.fix_aws import emulator
from pipeline_project_tests.fix_live_api import LiveApi, serve_api

DATABASE = "api"
ENTITIES = 100_000
CALLS = 300
JOBS = 20
CLIENTS = 200
INSTANCES = 8
TRIES = 10
"""Of a client in a crowd: the last two of them 20 seconds apart, at most."""
FILL = """
INSERT INTO canonical.entities (canonical_id, source, entity_type, deleted, name, industry, region, revenue, attributes,
    source_updated_at, object_modified_at, object_id, ordinal, mapping_version, quality_score, content_hash, record_digest,
    version)
SELECT 'crm_' || n, 'crm', 'customer', false, 'Company ' || n, 'industry ' || n % 20, 'region ' || n % 4, n * 1.01, '{{}}',
    now(), now(), 1, n, 1, 1, md5(n::text)::uuid, md5(n::text)::uuid, 1
FROM generate_series(1, {count}) AS n
"""


@dataclass(frozen=True)
class BenchDatabase:
    """As much of a test's database as the live API asks for."""

    server: BenchServer

    @property
    def reader(self) -> Database:
        return self.server.database(DATABASE, "reader")

    def secret(self, role: Role) -> str:
        parts = dict(part.split("=", 1) for part in self.server.conninfo(DATABASE, role).split())
        names = {"host": "host", "port": "port", "dbname": "dbname", "username": "user", "password": "password"}
        return json.dumps({name: parts[key] for name, key in names.items()})


def run(scale: float = 1.0) -> list[dict[str, Any]]:
    calls = max(20, int(CALLS * scale))
    with _stack(max(1_000, int(ENTITIES * scale))) as live:
        figures = [*_imports(), *_handler(live, calls), *_gateway(live, calls), *_jobs(live, max(3, int(JOBS * scale)))]
        clients = max(20, int(CLIENTS * scale))
        return [*figures, *_crowd(live, clients), *_crowd_at_the_gateway(live, clients)]


@contextmanager
def _stack(entities: int) -> Iterator[LiveApi]:
    with server() as postgres, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        postgres.create(DATABASE)
        postgres.admin(DATABASE, FILL.format(count=entities))
        postgres.admin(DATABASE, "VACUUM ANALYZE canonical.entities")
        (Path(folder) / "aws").mkdir()
        database: Any = BenchDatabase(postgres)
        with emulator(Path(folder) / "aws") as endpoint, serve_api(endpoint, database, Path(folder)) as live:
            yield live


def _question(n: int, group_by: str = "industry") -> dict[str, Any]:
    return {"operation": "revenue_analysis", "parameters": {"metric": "revenue", "group_by": group_by, "top_n": n}}


def _timed(call: Callable[[int], Any], count: int) -> list[float]:
    """Milliseconds of each call; the first one warms up and does not count."""
    call(0)
    taken = []
    for n in range(1, count + 1):
        begin = time.perf_counter()
        call(n)
        taken.append((time.perf_counter() - begin) * 1000)
    return taken


def _figure(what: str, taken: list[float], floor: float | None = None, bound: float | None = None) -> dict[str, Any]:
    middle = statistics.median(taken)
    figure: dict[str, Any] = {
        "what": what,
        "p50_ms": round(middle, 2),
        "p95_ms": round(statistics.quantiles(taken, n=20)[-1], 2) if len(taken) > 1 else round(middle, 2),
        "n": len(taken),
    }
    if floor is not None:
        figure["over_floor_ms"] = round(middle - floor, 2)
    if bound is not None:
        figure["bound_ms"] = bound
    return figure


def _imports() -> list[dict[str, Any]]:
    """Of the bundle as Lambda has it, byte-compiled; in CPU time, the best of several: what else runs here is no matter."""
    script = "import sys, time; sys.path.append(sys.argv[1]); t = time.process_time(); "
    script += "import pipeline_project.api.handler; print(time.process_time() - t)"
    with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
        code = Path(folder) / "api.zip"
        bundle.build(code, bundle.HOST)
        with zipfile.ZipFile(code) as archive:
            archive.extractall(folder)
        command = [sys.executable, "-I", "-S", "-c", script, folder]
        taken = [float(subprocess.run(command, capture_output=True, check=True).stdout) * 1000 for _ in range(7)]
    return [
        {"what": "import of the handler, CPU time", "best_ms": round(min(taken), 1), "n": len(taken), "bound_ms": 200}
    ]


def _bare(database: Database, count: int) -> list[float]:
    """The floor: the operation's own SQL, on one open connection."""
    chosen = operation("revenue_analysis")
    with database.connect() as connection:

        class Open(Database):
            @contextmanager
            def connect(self, *, autocommit: bool = False) -> Iterator[Any]:
                connection.rollback()
                connection.autocommit = autocommit
                yield connection

        kept = Open(lambda: "")

        def ask(n: int) -> None:
            with execute(
                kept, chosen, chosen.validate(_question(1 + n % 50)["parameters"]), timeout_seconds=60
            ) as rows:
                list(rows)

        return _timed(ask, count)


def _handler(live: LiveApi, count: int) -> list[dict[str, Any]]:
    with closing(of_function(live.cloud.settings)) as services:
        caller = Caller(services)

        def ask(n: int) -> None:
            assert caller("POST", "/analytics", _question(1 + n)).status == 200

        def again(_: int) -> None:
            assert caller("POST", "/analytics", _question(3)).headers["Cache-Status"] == "pipeline; hit"

        def submit(n: int) -> None:
            answer = caller("POST", "/analytics/jobs", _question(3), {"Idempotency-Key": f"handler-{n}"})
            assert answer.status == 202, answer.text
            live.cloud.jobs().request_cancel(answer.json["id"])

        bare = _bare(live.database.reader, min(count, 45))
        floor = statistics.median(bare)
        caller("POST", "/analytics", _question(3))
        figures = [
            _figure("floor: bare psycopg", bare),
            _figure("handler, not kept", _timed(ask, min(count, 45)), floor),
            _figure("handler, kept", _timed(again, count)),
        ]
        start, live.dagster.on_launch = live.dagster.on_launch, lambda tags, run_id: None
        figures.append(_figure("handler, submit", _timed(submit, count), bound=150))
        live.dagster.on_launch = start
        return figures


def _gateway(live: LiveApi, count: int) -> list[dict[str, Any]]:
    parts = urlsplit(live.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    with closing(connection):

        def ask(body: dict[str, Any]) -> None:
            connection.request(
                "POST", f"{parts.path}/analytics", json.dumps(body), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            response.read()
            assert response.status == 200, response.status

        # The stage admits a hundred at once; more would be told to come again.
        kept = _timed(lambda n: ask(_question(3)), min(count, 100))
        fresh = _timed(lambda n: ask(_question(1 + n, "region")), min(count, 45))
    return [_figure("gateway, kept", kept), _figure("gateway, not kept", fresh)]


def _jobs(live: LiveApi, count: int) -> list[dict[str, Any]]:
    """From the submission to the end as a client sees it, through the gateway."""
    client = Client(live.url)

    def job(n: int) -> None:
        ended = client.wait(client.submit("revenue_analysis", _question(1 + n % 50)["parameters"])["id"])
        assert ended["state"] == "SUCCEEDED", ended

    floor = statistics.median(_bare(live.database.reader, 20))
    return [_figure("job, from submission to end, without Dagster", _timed(job, count), floor, bound=1500)]


def _crowd(live: LiveApi, clients: int) -> list[dict[str, Any]]:
    """So many callers at once on a few warm instances; waiting for one of them counts."""
    instances: queue.SimpleQueue[Caller] = queue.SimpleQueue()
    errors = 0

    def one(n: int) -> float:
        nonlocal errors
        begin = time.perf_counter()
        caller = instances.get()
        try:
            errors += caller("POST", "/analytics", _question(1 + n % 10)).status != 200
        finally:
            instances.put(caller)
        return (time.perf_counter() - begin) * 1000

    with ExitStack() as stack, ThreadPoolExecutor(clients) as pool:
        for _ in range(INSTANCES):
            instances.put(Caller(stack.enter_context(closing(of_function(live.cloud.settings)))))
        taken = list(pool.map(one, range(clients)))
    return [{**_figure(f"{clients} callers at once, {INSTANCES} instances", taken), "errors": errors}]


def _crowd_at_the_gateway(live: LiveApi, clients: int) -> list[dict[str, Any]]:
    """So many clients at once over HTTP. The emulator runs a few functions at a time and answers 429 to the others, which
    clients take for what it is: they come again. What is counted as an error is a client that got no answer in the end.
    """
    errors: list[str] = []

    def one(n: int) -> float:
        begin = time.perf_counter()
        try:
            rows = Client(live.url, tries=TRIES).ask("revenue_analysis", _question(1 + n % 10)["parameters"])["rows"]
            assert rows
        except (PipelineError, AssertionError) as error:
            errors.append(str(error))
        return (time.perf_counter() - begin) * 1000

    with ThreadPoolExecutor(clients) as pool:
        taken = list(pool.map(one, range(clients)))
    return [{**_figure(f"{clients} clients at once, through the gateway", taken), "errors": len(errors)}]
