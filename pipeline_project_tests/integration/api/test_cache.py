"""The query cache: one question to the database in a stampede, nothing stale after a load, and what is kept where."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import msgspec
import psycopg
import pytest

from pipeline_project.analytics.catalogue import operation
from pipeline_project.analytics.execution import versions
from pipeline_project.api.routes import answers
from pipeline_project.api.routes.questions import Question
from pipeline_project.database import Database, KeptDatabase
from pipeline_project.jobs.cache import PREFIX, Kept, QueryCache, Refusal
from pipeline_project.results.options import ResultOptions
from pipeline_project.services import Services
from pipeline_project_tests.analytics_rows import entity, insert
from pipeline_project_tests.fix_api import Caller, Cloud
from pipeline_project_tests.fix_postgres import FreshDatabase

QUESTION = {"operation": "simple_demo"}
DISCOVERED = """INSERT INTO ingest.objects (object_id, bucket, key, version, versioned, size, discovered_by)
    SELECT 1 + count(*), 'b', 'k' || count(*), 'v', true, 1, 'event' FROM ingest.objects"""
LOAD = """INSERT INTO ingest.data_versions VALUES ('crm', 'entities', 1)
    ON CONFLICT (source, dataset) DO UPDATE SET version = data_versions.version + 1 RETURNING version"""


def load(database: FreshDatabase) -> int:
    with psycopg.connect(database.admin) as connection:
        [version] = connection.execute(LOAD).fetchone() or [0]
    return version


class Beside(Services):
    """Of a Lambda beside another; they share the clients, which are slow to make."""

    def __init__(self, other: Services, reader: Database) -> None:
        super().__init__(other.settings)
        self._other = other
        self._reader = reader

    @property
    def reader(self) -> Database:
        return self._reader

    def client(self, service: str) -> Any:
        return self._other.client(service)


def another(api: Caller, database: FreshDatabase) -> Services:
    """A Lambda beside the first, with a connection of its own."""
    return Beside(api.services, KeptDatabase(database.reader.conninfo))


def key(api: Caller) -> str:
    """Under which the answer to QUESTION is kept."""
    asked = operation(QUESTION["operation"])
    found = versions(api.services.reader)
    return answers._key(Question(asked, asked.validate({}), ResultOptions(), {}), found)  # pyright: ignore[reportPrivateUsage]


def cache(cloud: Cloud, **options: Any) -> QueryCache:
    return QueryCache(
        cloud.dynamodb, cloud.settings.table_name, lambda: cloud.s3, cloud.settings.results_bucket, **options
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations that the database was asked for."""
    found: list[str] = []
    ask = answers._ask  # pyright: ignore[reportPrivateUsage]

    def counted(services: Services, question: Question, seconds: float) -> Any:
        found.append(question.operation.name)
        return ask(services, question, seconds)

    monkeypatch.setattr(answers, "_ask", counted)
    return found


def test_a_stampede_asks_the_database_once(api: Caller, database: FreshDatabase, asked: list[str]) -> None:
    """Fifty callers, each as a Lambda of its own, while the database is slow."""
    began = threading.Barrier(51)

    def call(_: int) -> tuple[int, str]:
        services = another(api, database)
        with closing(services.reader):
            began.wait()
            answer = Caller(services)("POST", "/analytics", QUESTION)
        return answer.status, answer.text

    with psycopg.connect(database.admin) as lock, ThreadPoolExecutor(50) as pool:
        lock.execute("LOCK TABLE canonical.entities")
        calls = pool.map(call, range(50))
        began.wait()
        lock.rollback()
        found = set(calls)
    assert len(found) == 1
    assert next(iter(found))[0] == 200
    assert asked == ["simple_demo"]


@pytest.mark.parametrize(("changed", "reason"), [({"inline_rows": 0}, "large"), ({"query_timeout_seconds": 1}, "slow")])
def test_a_stampede_for_too_much_asks_the_database_once(
    api: Caller, database: FreshDatabase, asked: list[str], changed: dict[str, int], reason: str
) -> None:
    """Each would ask in turn, as the one before gave up."""
    api.services.settings = msgspec.structs.replace(api.services.settings, **changed)
    insert(database.loader, "entities", [entity("crm_1")])

    def call(n: int) -> tuple[int, str]:
        services = another(api, database)
        with closing(services.reader):
            time.sleep(0.1 * n)
            answer = Caller(services)("POST", "/analytics", QUESTION)
        return answer.status, answer.json["reason"]

    with psycopg.connect(database.admin) as lock, ThreadPoolExecutor(5) as pool:
        if reason == "slow":
            lock.execute("LOCK TABLE canonical.entities")
        assert set(pool.map(call, range(5))) == {(202, reason)}
    assert asked == ["simple_demo"]


def test_who_has_more_time_asks_again(api: Caller, asked: list[str]) -> None:
    kept = api.services.cache
    kept.refuse(key(api), Refusal("slow", "slow", 1))
    assert api("POST", "/analytics", QUESTION, {"Prefer": "wait=1"}).status == 202
    assert asked == []
    assert api("POST", "/analytics", QUESTION).status == 200
    assert api("POST", "/analytics", QUESTION, {"Prefer": "wait=1"}).status == 200
    assert asked == ["simple_demo"]


def test_who_waits_asks_when_the_first_gave_up(api: Caller, asked: list[str]) -> None:
    """A claim of one who died ends by itself, and the next takes its place."""
    api.services.cache.claim(key(api), -2)
    assert api("POST", "/analytics", QUESTION).status == 200
    assert asked == ["simple_demo"]


def test_no_cache_asks_again_and_keeps_the_answer(api: Caller, asked: list[str]) -> None:
    api("POST", "/analytics", QUESTION)
    for method, path, body in (("POST", "/analytics", QUESTION), ("GET", "/analytics?operation=simple_demo", None)):
        fresh = api(method, path, body, {"Cache-Control": "max-age=0, No-Cache"})
        assert fresh.headers["Cache-Status"].startswith("pipeline; fwd=miss")
    assert len(asked) == 3
    assert api("POST", "/analytics", QUESTION).headers["Cache-Status"] == "pipeline; hit"


def test_what_changes_without_a_load_is_not_kept(api: Caller, database: FreshDatabase) -> None:
    """And is not said to be unmodified when it is not."""
    count = {"operation": "custom_complex_query", "parameters": {"query": "SELECT count(*) FROM objects"}}
    moment = {"operation": "custom_complex_query", "parameters": {"query": "SELECT $1::date", "params": ["today"]}}
    for question in ({"operation": "database_info"}, count, moment):
        target = f"/analytics?operation={question['operation']}&parameters={json.dumps(question.get('parameters', {}))}"
        before = api("GET", target)
        assert (before.status, before.headers["Cache-Status"]) == (200, "pipeline; fwd=bypass")
        assert api("GET", target, headers={"If-None-Match": before.headers["ETag"]}).status == 304
        if question is not moment:
            with psycopg.connect(database.admin) as connection:
                connection.execute(DISCOVERED)
            after = api("GET", target, headers={"If-None-Match": before.headers["ETag"]})
            assert (after.status, after.headers["Cache-Status"]) == (200, "pipeline; fwd=bypass")
            assert after.json["rows"] != before.json["rows"]


def test_ones_own_query_is_kept(api: Caller) -> None:
    question = {"operation": "custom_complex_query", "parameters": {"query": "SELECT count(*) FROM entities"}}
    assert api("POST", "/analytics", question).headers["Cache-Status"] == "pipeline; fwd=miss; stored"
    assert api("POST", "/analytics", question).headers["Cache-Status"] == "pipeline; hit"


def test_an_answer_does_not_outlive_a_migration(api: Caller, database: FreshDatabase) -> None:
    before = api("POST", "/analytics", QUESTION)
    with psycopg.connect(database.admin) as connection:
        connection.execute("INSERT INTO public.schema_migrations VALUES ('29991231235959')")
    after = api("POST", "/analytics", QUESTION)
    assert after.headers["Cache-Status"] == "pipeline; fwd=miss; stored"
    assert after.headers["ETag"] == before.headers["ETag"], "and still is the same answer"


def test_never_older_than_the_last_load(api: Caller, database: FreshDatabase) -> None:
    """Loads while others ask: whoever asks after a load was acknowledged is told of it."""
    loaded = threading.Event()

    def ask(_: int) -> None:
        services = another(api, database)
        caller = Caller(services)
        with closing(services.reader):
            while not loaded.is_set():
                least = versions[-1]
                assert caller("POST", "/analytics", QUESTION).json["data_version"] >= least

    versions = [0]
    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(ask, n) for n in range(3)]
        for _ in range(15):
            version = load(database)
            versions.append(version)
            assert api("POST", "/analytics", QUESTION).json["data_version"] == version
        loaded.set()
        for reader in readers:
            reader.result()


def test_what_an_item_cannot_hold_is_kept_in_s3(cloud: Cloud) -> None:
    kept = cache(cloud, largest=100)
    large, small = Kept.of(bytes(range(256)) * 3), Kept.of(b"x" * 10_000)  # which shrinks
    kept.put("large", large)
    kept.put("small", small)
    assert (kept.get("large"), kept.get("small")) == (large, small)
    assert small.body == b"x" * 10_000
    listed = cloud.s3.list_objects_v2(Bucket=cloud.settings.results_bucket, Prefix=PREFIX)
    assert [each["Key"] for each in listed["Contents"]] == [f"{PREFIX}large"]
    cloud.s3.delete_object(Bucket=cloud.settings.results_bucket, Key=f"{PREFIX}large")
    assert kept.get("large") is None


def test_one_claim_at_a_time(cloud: Cloud) -> None:
    kept = cache(cloud)
    first = kept.claim("question", 60)
    assert first
    assert not kept.claim("question", 60)
    kept.release("question", first)
    late = kept.claim("question", -2)
    assert late
    assert kept.claim("question", 60)
    kept.release("question", late)
    assert not kept.claim("question", 60), "who is late does not end the claim of another"


def test_a_claim_outlives_the_query_by_five_seconds(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has it must write the answer before another asks, and one that died must not block others for long."""
    claimed: list[float] = []
    claim = QueryCache.claim

    def noted(self: QueryCache, key: str, seconds: float) -> str | None:
        claimed.append(seconds)
        return claim(self, key, seconds)

    monkeypatch.setattr(QueryCache, "claim", noted)
    monkeypatch.setattr(answers, "time", SimpleNamespace(monotonic=lambda: 100.0, sleep=time.sleep))  # no time passes
    assert api("POST", "/analytics", QUESTION, {"Prefer": "wait=20"}).status == 200
    assert claimed == [25]


def test_a_tenth_more_time_is_no_reason_to_ask_again(api: Caller, asked: list[str]) -> None:
    """Callers with equal limits differ by moments."""
    api.services.cache.refuse(key(api), Refusal("slow", "slow", 10))
    assert api("POST", "/analytics", QUESTION, {"Prefer": "wait=11"}).status == 202
    assert asked == []
    assert api("POST", "/analytics", QUESTION, {"Prefer": "wait=12"}).status == 200
    assert asked == ["simple_demo"]
