"""From the upload to the rows, through the sensor and the run that it asks for; real PostgreSQL and AWS emulator."""

import itertools
import logging
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import msgspec
import psycopg
import pytest

from pipeline_project.canonical.tables import tables
from pipeline_project.cli.metrics import figures
from pipeline_project.database import Connection, Database
from pipeline_project.definitions import definitions
from pipeline_project.errors import Transient
from pipeline_project.ingest.discovery import landing
from pipeline_project.ingest.ledger.batches import Batch, LiveRuns
from pipeline_project.orchestration import retries
from pipeline_project.orchestration.automation.landing_sensors import living, run_request
from pipeline_project.orchestration.names import (
    BATCH_TAG,
    HEAVY,
    INGEST_JOB,
    SOURCE_TAG,
    SUSPECT,
    WEIGHT_TAG,
    ingest_key,
    landing_key,
    table_key,
)
from pipeline_project.services import Services
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.live_stack import until

HEAVY_BYTES = 2**20


@pytest.fixture
def repository(platform: Services) -> dg.RepositoryDefinition:
    return definitions(platform).get_repository_def()


def put(platform: Services, key: str, content: Any) -> None:
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    platform.s3.put_object(Bucket=platform.settings.landing_bucket, Key=key, Body=body)


def tick(
    repository: dg.RepositoryDefinition, platform: Services, instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.SensorResult:
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, repository_def=repository, resources={"platform": platform}
    )
    result = repository.get_sensor_def("landing_sensor_1")(context)
    assert isinstance(result, dg.SensorResult)
    return result


def execute(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, request: dg.RunRequest
) -> dg.ExecuteInProcessResult:
    assert request.asset_selection
    return (
        repository.get_job(INGEST_JOB)
        .get_subset(asset_selection=set(request.asset_selection))
        .execute_in_process(
            run_config=request.run_config,
            instance=instance,
            partition_key=request.partition_key,
            tags=dict(request.tags),
            raise_on_error=False,
        )
    )


def states(database: FreshDatabase) -> dict[str, str]:
    with database.owner.connect() as connection:
        return dict(connection.execute("SELECT key, state FROM ingest.objects ORDER BY key").fetchall())


def materialization(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, Any]:
    [found] = [event.materialization for event in result.get_asset_materialization_events() if event.asset_key == key]
    return {name: value.value for name, value in found.metadata.items()}


def test_uploads_become_rows(
    repository: dg.RepositoryDefinition, platform: Services, instance: dg.DagsterInstance, database: FreshDatabase
) -> None:
    put(platform, "crm-data/a b+c.json", {"records": [{"customer_id": 1, "name": "A"}], "metadata": {"recordCount": 1}})
    put(platform, "crm-data/bad.json", b'{"records": [')
    put(platform, "crm-data/some.jsonl", b'{"id": 2, "name": "B"}\n{"id": 3}\n')
    put(platform, "nobody-data/x.json", [])
    result = tick(repository, platform, instance)
    [request] = result.run_requests or []
    assert request.partition_key == datetime.now(UTC).date().isoformat()
    run = execute(repository, instance, request)
    assert run.success
    assert states(database) == {
        "crm-data/a b+c.json": "loaded",
        "crm-data/bad.json": "failed",
        "crm-data/some.jsonl": "loaded_with_rejects",
        "nobody-data/x.json": "unroutable",
    }
    metadata = materialization(run, ingest_key("crm"))
    assert (metadata["objects"], metadata["inserted"], metadata["rejected"]) == (3, 2, 1)
    assert "| crm-data/bad.json | failed |" in metadata["outcomes"]
    assert "| crm-data/bad.json | the file ends" in metadata["failure reasons"]
    assert "name" in metadata["reject reasons"]
    assert (metadata["columns_read"], metadata["columns_unmatched"], metadata["columns_vanished"]) == (3, 0, 0)
    assert "| entities | customer\\_id | source\\_id | 1 | 100% |" in metadata["columns"]
    assert metadata["reject list"] == "pipeline rejects list --prefix crm-data/some.jsonl"
    assert "| crm\\_1 | A | customer |" in metadata["preview"] and "crm\\_2" in metadata["preview"]
    assert metadata["dagster/row_count"] == 2
    assert metadata["dagster/uri"] == f"s3://{platform.settings.landing_bucket}/crm-data/"
    told = {"bytes", "seconds", "records per second", "longest lag in seconds", "objects failed"}
    assert all(metadata[name] > 0 for name in told)
    assert table_key(tables()[0]) in {event.asset_key for event in run.get_asset_materialization_events()}
    [observation] = run.get_asset_observation_events()
    observed = observation.asset_observation_data.asset_observation
    assert observed.asset_key == landing_key("crm")
    assert {name: value.value for name, value in observed.metadata.items()} == {
        "objects": 3,
        "bytes": metadata["bytes"],
    }
    checks = {each.check_name: each.passed for each in run.get_asset_check_evaluations()}
    assert checks == {"whole_objects": False, "reject_rate": False}


def test_a_second_tick_does_not_ask_for_what_a_run_has(
    repository: dg.RepositoryDefinition, platform: Services, instance: dg.DagsterInstance, database: FreshDatabase
) -> None:
    put(platform, "erp-data/1.json", [{"id": 1, "businessName": "A"}])
    [batch] = watch(platform)
    put(platform, "erp-data/2.json", [{"id": 2, "businessName": "B"}])
    [second] = watch(platform)
    assert len(batch.object_ids) == len(second.object_ids) == 1
    assert set(batch.object_ids).isdisjoint(second.object_ids)
    backdate(database)
    assert watch(platform, LiveRuns(batches=[batch.id, second.id]), seconds=1) == []
    # The run of the first is gone without having done anything; that of the second lives.
    [again] = watch(platform, LiveRuns(batches=[second.id]))
    assert (again.object_ids, again.id != batch.id) == (batch.object_ids, True)
    assert execute(repository, instance, run_request(again, HEAVY_BYTES)).success
    assert execute(repository, instance, run_request(second, HEAVY_BYTES)).success
    assert set(states(database).values()) == {"loaded"}
    assert watch(platform, seconds=1) == []


def test_while_a_source_has_its_runs_objects_gather(platform: Services, database: FreshDatabase) -> None:
    for number in range(3):
        put(platform, f"legacy-data/{number}.json", [{"id": number, "name": "A"}])
    put(platform, "crm-data/1.json", [{"id": 1, "name": "A"}])
    busy = LiveRuns(runs={"legacy": 2})
    batches = watch(platform, busy)
    assert [batch.source for batch in batches] == ["crm"]
    [batch] = watch(platform, LiveRuns(runs={"legacy": 1}))
    assert (batch.source, len(batch.object_ids)) == ("legacy", 3)


def test_the_listing_finds_what_no_event_told_of(
    repository: dg.RepositoryDefinition, platform: Services, instance: dg.DagsterInstance, database: FreshDatabase
) -> None:
    put(platform, "crm-data/1.json", [{"id": 1, "name": "A"}])
    platform.client("sqs").purge_queue(QueueUrl=platform.settings.landing_queue_url)
    result = tick(repository, platform, instance)
    [request] = result.run_requests or []
    assert execute(repository, instance, request).success
    assert states(database) == {"crm-data/1.json": "loaded"}
    place = landing.ListingCursor.parse(result.cursor)
    assert place.began and place.resume is None and not place.is_due(datetime.now(UTC), timedelta(minutes=10))


def test_what_is_ignored_is_counted_and_named(
    repository: dg.RepositoryDefinition,
    platform: Services,
    instance: dg.DagsterInstance,
    database: FreshDatabase,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    ignored = ("crm-data/", "crm-data/empty.csv")
    for key in ignored:
        put(platform, key, b"")
    put(platform, "crm-data/1.json", [{"id": 1, "name": "A"}])
    until(lambda: messages(platform) > len(ignored))
    with caplog.at_level(logging.INFO, "pipeline.ingest"):
        tick(repository, platform, instance, cursor=str(landing.ListingCursor(datetime.now(UTC))))
    assert {each.getMessage() for each in caplog.records if each.name == "pipeline.ingest"} == {
        f"{key!r} is ignored: it is empty" for key in ignored
    }
    found = figures(capsys.readouterr().out.splitlines(), since=0)
    assert found["ObjectsIgnored", "all"].total == len(ignored)
    assert states(database) == {"crm-data/1.json": "discovered"}


def test_a_message_outlives_a_ledger_that_is_away(platform: Services, database: FreshDatabase) -> None:
    put(platform, "crm-data/1.json", [{"id": 1, "name": "A"}])
    before = until(lambda: messages(platform))
    with database.owner.connect() as connection:
        connection.execute("REVOKE INSERT ON ingest.objects FROM pipeline_loader")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        watch(platform)
    assert messages(platform) == before > 0


def messages(platform: Services) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    queue = platform.settings.landing_queue_url
    found = platform.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(map(int, found.values()))


def test_a_partition_without_configuration_is_replayed(
    repository: dg.RepositoryDefinition, platform: Services, instance: dg.DagsterInstance, database: FreshDatabase
) -> None:
    put(platform, "crm-data/1.json", [{"id": 1, "name": "A"}])
    put(platform, "crm-data/2.json", b"[")
    put(platform, "erp-data/1.json", [{"id": 1, "businessName": "A"}])
    batches = watch(platform)
    for batch in batches:
        execute(repository, instance, run_request(batch, HEAVY_BYTES))
    put(platform, "crm-data/3.json", [{"id": 3, "name": "C"}])
    watch(platform)
    with database.owner.connect() as connection:
        connection.execute("UPDATE ingest.objects SET discovered_at = '2025-03-01T23:59:59Z' WHERE key LIKE '%/2.json'")
    today = dg.RunRequest(asset_selection=[ingest_key("crm")], partition_key=datetime.now(UTC).date().isoformat())
    run = execute(repository, instance, today)
    metadata = materialization(run, ingest_key("crm"))
    assert (metadata["objects"], metadata["records"], metadata["rejected"]) == (2, 2, 0)
    assert states(database)["crm-data/3.json"] == "loaded"
    march = dg.RunRequest(asset_selection=[ingest_key("crm")], partition_key="2025-03-01")
    metadata = materialization(execute(repository, instance, march), ingest_key("crm"))
    assert (metadata["objects"], metadata["objects failed"]) == (1, 1)


def test_the_same_run_again_changes_nothing(
    repository: dg.RepositoryDefinition, platform: Services, instance: dg.DagsterInstance
) -> None:
    put(platform, "crm-data/1.json", [{"id": 1, "name": "A"}])
    [batch] = watch(platform)
    first, second = (execute(repository, instance, run_request(batch, HEAVY_BYTES)) for _ in range(2))
    assert materialization(first, ingest_key("crm"))["objects"] == 1
    assert materialization(second, ingest_key("crm"))["objects"] == 0
    assert materialization(second, ingest_key("crm"))["objects not needed"] == 1


def test_a_database_that_comes_back_is_tried_again(
    repository: dg.RepositoryDefinition,
    platform: Services,
    instance: dg.DagsterInstance,
    database: FreshDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(platform, "crm-data/1.json", [{"id": 1, "name": "A"}])
    [batch] = watch(platform)
    opened = Database.open
    calls = []

    def flaky(self: Database, *, autocommit: bool = False) -> Connection:
        calls.append(1)
        if len(calls) == 1:
            raise Transient("away")
        return opened(self, autocommit=autocommit)

    monkeypatch.setattr(Database, "open", flaky)
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.01)
    run = execute(repository, instance, run_request(batch, HEAVY_BYTES))
    assert run.success
    assert [event.event_type_value for event in run.all_events if "RETRY" in event.event_type_value] == [
        "STEP_UP_FOR_RETRY"
    ]
    assert states(database) == {"crm-data/1.json": "loaded"}


def test_living_runs_are_those_of_the_ingest_job(instance: dg.DagsterInstance) -> None:
    for status, tags in (
        (dg.DagsterRunStatus.STARTED, {BATCH_TAG: "a", SOURCE_TAG: "crm"}),
        (dg.DagsterRunStatus.NOT_STARTED, {BATCH_TAG: "b", SOURCE_TAG: "crm"}),
        (dg.DagsterRunStatus.FAILURE, {BATCH_TAG: "c", SOURCE_TAG: "crm"}),
        (dg.DagsterRunStatus.STARTED, {BATCH_TAG: "d", SOURCE_TAG: "crm", WEIGHT_TAG: HEAVY}),
        (dg.DagsterRunStatus.STARTED, {BATCH_TAG: "e", SOURCE_TAG: "crm", WEIGHT_TAG: SUSPECT}),
    ):
        instance.add_run(dg.DagsterRun(job_name=INGEST_JOB, run_id=str(uuid.uuid4()), status=status, tags=tags))
    by_hand = dg.DagsterRun(job_name="__ASSET_JOB", run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED)
    instance.add_run(by_hand)
    found = living(instance)()
    assert set(found.batches) == {"a", "b", "d", "e", by_hand.run_id}
    assert (found.of("crm"), found.of("erp")) == (2, 0)
    assert (found.of("crm", suspects=True), found.of("erp", suspects=True)) == (1, 0)


def watch(platform: Services, living: LiveRuns | None = None, seconds: float = 60) -> list[Batch]:
    found = living or LiveRuns()
    return platform.landing.watch(
        lambda: found, landing.SensorRotation(0), seconds=seconds, linger=0.1, runs_per_source=2
    )


def backdate(database: FreshDatabase) -> None:
    with database.owner.connect() as connection:
        connection.execute("UPDATE ingest.objects SET batched_at = batched_at - interval '1 hour'")


def test_several_listeners_take_turns(platform: Services, database: FreshDatabase) -> None:
    turns = landing.SensorRotation(1.5)
    put(platform, "crm-data/1.json", [{"id": 1, "name": "A"}])
    began = time.monotonic()
    [first] = platform.landing.watch(LiveRuns, turns, seconds=60, linger=0.1, runs_per_source=1)
    earliest = turns.next
    assert earliest >= began + 1.5
    put(platform, "crm-data/2.json", [{"id": 2, "name": "B"}])
    [second] = platform.landing.watch(LiveRuns, turns, seconds=60, linger=0.1, runs_per_source=1)
    assert time.monotonic() >= earliest
    assert set(first.object_ids).isdisjoint(second.object_ids)


def test_a_listener_without_time_left_asks_once(platform: Services, database: FreshDatabase) -> None:
    put(platform, "crm-data/1.json", [{"id": 1, "name": "A"}])
    until(lambda: messages(platform))
    hours = itertools.count(step=3600.0)
    late = landing.Landing(
        platform.loader, platform.client("sqs"), platform.s3, platform.settings, clock=lambda: next(hours)
    )
    [batch] = late.watch(LiveRuns, landing.SensorRotation(0), seconds=1.5, linger=0.1, runs_per_source=1)
    assert len(batch.object_ids) == 1
