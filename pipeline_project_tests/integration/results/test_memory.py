"""The memory of the function and of a job's worker stays bounded, whatever a query gives. Each runs in a process of its own."""

import json
import os
import subprocess
import sys
from typing import Any

import psycopg
import pytest

from pipeline_project.results.options import Format
from pipeline_project.settings import Settings
from pipeline_project_tests.fix_postgres import FreshDatabase

MOST_BYTES = 200 * 1024 * 1024
"""The memory that results may add. The function has 512 MB, of which the interpreter and libraries take about 150."""
TEXT = "(SELECT string_agg('0123456789', '') FROM generate_series(1, {}))"
ENTITIES = b"""
    INSERT INTO canonical.entities (canonical_id, source, entity_type, deleted, name, attributes,
        source_updated_at, object_modified_at, object_id, ordinal, mapping_version, quality_score, content_hash,
        record_digest, version)
    SELECT 'crm_' || n, 'crm', 'customer', false, 'Company ' || n,
        jsonb_build_object('text', repeat('a', CASE WHEN n <= 50 THEN 900000 ELSE 200000 END)),
        now(), now(), 1, n, 1, 1, md5(n::text)::uuid, md5(n::text)::uuid, 1
    FROM generate_series(1, 200) AS n
    """

FITS = {
    "many wide rows": f"SELECT {TEXT.format(26_000)} AS t FROM generate_series(1, 250)",
    "small rows, then wide rows": f"SELECT CASE WHEN n > 1000 THEN {TEXT.format(26_000)} END FROM generate_series(1, 1100) AS n",
    "huge arrays of numbers": (
        "SELECT (SELECT array_agg(n % 10) FROM generate_series(1::numeric, 30000) AS n) FROM generate_series(1, 200)"
    ),
    "many columns": f"SELECT {', '.join(f'n AS a_name_of_a_column_{n}' for n in range(300))} FROM generate_series(1, 2000) AS n",
    "JSON that compresses well": "SELECT attributes FROM entities WHERE length(attributes ->> 'text') < 900000",
    "characters of four bytes": (
        "SELECT (SELECT string_agg(chr(128512), '') FROM generate_series(1, 60000)) FROM generate_series(1, 150)"
    ),
}
TOO_LARGE = {
    "one huge cell": f"SELECT {TEXT.format(3_000_000)} AS t",
    "JSON that compresses very well": f"SELECT {', '.join(['attributes'] * 8)} FROM entities",
    "numbers with very many digits": "SELECT array_agg(1e131071::numeric) FROM generate_series(1, 100)",
    "JSON of such numbers": "SELECT jsonb_agg(1e131071::numeric) FROM generate_series(1, 100)",
    "one byte too many": f"SELECT {TEXT.format(26_214)} || '12345'",
}

SCRIPT = """
import json, resource, sys
from contextlib import closing
import pipeline_project.results.parquet
from pipeline_project.api.handler import of_function
from pipeline_project.database import Database
from pipeline_project.jobs.run import run_job
from pipeline_project.jobs.outbox import Outbox
from pipeline_project.notify.delivery import Delivery
from pipeline_project.notify.events import Notifier
from pipeline_project.results.options import ResultOptions
from pipeline_project.settings import Settings
from pipeline_project_tests.fix_api import Caller

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

form, queries = sys.argv[1], json.loads(sys.stdin.read())
settings = Settings.load()
ends = {}
with closing(of_function(settings)) as services:
    api = Caller(services)
    notifier = Notifier(services.client("sns"), settings.events_topic_arn)
    delivery = Delivery(Outbox(services.dynamodb, settings.table_name), notifier)
    reader = Database.from_settings(settings, "reader", services.client("secretsmanager"))

    def end(name, query):
        parameters = {"query": query}
        if form == "inline":
            answer = api("POST", "/analytics", {"operation": "custom_complex_query", "parameters": parameters})
            return [answer.status, answer.json.get("reason") or answer.json.get("code"), None]
        job, _ = services.jobs.submit("custom_complex_query", parameters, "me", options=ResultOptions(format=form))
        done = run_job(job.id, "run", store=services.jobs, database=reader, s3=services.s3, settings=settings, notifier=delivery)
        return [str(done.state), done.error and done.error.code, done.result and done.result.rows]

    end("warm up", "SELECT name FROM entities")
    before = peak()
    for name, query in queries.items():
        ends[name] = end(name, query) + [peak() - before]
json.dump(ends, sys.stdout)
"""


@pytest.fixture(autouse=True)
def _rows(database: FreshDatabase) -> None:
    with psycopg.connect(database.admin) as connection:
        connection.execute(ENTITIES)


def ends(settings: Settings, form: str, queries: dict[str, str]) -> dict[str, list[Any]]:
    """The state, the code, the rows and the added memory after each query, as a process of its own reports them."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, form],
        env={**os.environ, **settings.environment_variables()},
        input=json.dumps(queries),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_an_inline_result_of_any_size_leaves_the_function_its_memory(settings: Settings) -> None:
    found = ends(settings, "inline", FITS | TOO_LARGE)
    for name, (status, reason, _, added) in found.items():
        expected = (422, "query_refused") if name in TOO_LARGE else (202, "large")
        assert (status, reason) == expected, name
        assert added < MOST_BYTES, name


@pytest.mark.slow
@pytest.mark.parametrize("form", Format)
def test_a_result_file_of_any_size_leaves_the_worker_its_memory(settings: Settings, form: Format) -> None:
    found = ends(settings, form, FITS | TOO_LARGE)
    for name, (state, code, rows, added) in found.items():
        assert (state, code) == (("FAILED", "query_refused") if name in TOO_LARGE else ("SUCCEEDED", None)), name
        assert bool(rows) == (name in FITS), name
        assert added < MOST_BYTES, name
    assert found["many columns"][2] == 2000
    assert found["small rows, then wide rows"][2] == 1100
