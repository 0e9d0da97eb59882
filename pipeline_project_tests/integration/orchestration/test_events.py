"""What went wrong reaches whoever subscribed to the topic: from upload to queue, through the sensors, SNS failing or not."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import msgspec
import pytest
from botocore.exceptions import ClientError

from pipeline_project.ingest.discovery import landing
from pipeline_project.ingest.ledger.batches import LiveRuns
from pipeline_project.ingest.loading.worker import Worker
from pipeline_project.jobs.launch import JOB_TAG
from pipeline_project.orchestration.automation import run_sensors
from pipeline_project.orchestration.automation.run_sensors import ingest_events, job_sensor, run_events
from pipeline_project.orchestration.names import SOURCE_TAG
from pipeline_project.services import Services
from pipeline_project_tests.fix_aws import Fault, inject, new_queue
from pipeline_project_tests.fix_postgres import FreshDatabase

BUSY: Fault = (503, b"<ErrorResponse><Error><Code>ServiceUnavailable</Code></Error></ErrorResponse>")
FORBIDDEN: Fault = (403, b"<ErrorResponse><Error><Code>AuthorizationError</Code></Error></ErrorResponse>")
NO_ACCESS: Fault = (400, b'{"__type": "AccessDeniedException"}')
SETTLED = "SELECT count(*) FROM ingest.objects WHERE finished_at IS NOT NULL"
FILES = {
    "crm-data/good.json": b'[{"id": 1, "name": "A"}]',
    "crm-data/truncated.json": b'{"records": [',
    "crm-data/half.jsonl": b'{"id": 2, "name": "B"}\n{"id": 3}\n',
    "nobody-data/x.json": b"[]",
}


def load(platform: Services) -> None:
    for key, content in FILES.items():
        platform.s3.put_object(Bucket=platform.settings.landing_bucket, Key=key, Body=content)
    worker = Worker(platform.loader, platform.s3, platform.settings)
    for _ in range(len(FILES)):
        for batch in platform.landing.watch(
            LiveRuns, landing.SensorRotation(0), seconds=5, linger=0.1, runs_per_source=2
        ):
            list(worker.ingest(batch.object_ids))
        with platform.loader.connect() as connection:
            [settled] = connection.execute(SETTLED).fetchone() or []
        if settled == len(FILES):
            return
    raise AssertionError("not all were loaded")


def tick(platform: Services, cursor: str | None) -> str | None:
    """Both sensors, once; the cursor of the first."""
    resources = {"platform": platform}
    with dg.DagsterInstance.ephemeral() as instance:
        with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
            told = ingest_events(context)
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            job_sensor(context)
    assert isinstance(told, dg.SensorResult)
    return told.cursor


def received(platform: Services, queue: str) -> list[dict[str, Any]]:
    sqs = platform.client("sqs")
    events = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages"):
        events += [json.loads(json.loads(message["Body"])["Message"]) for message in messages]
    return events


def test_trouble_reaches_a_subscriber_though_sns_fails_at_first(platform: Services, database: FreshDatabase) -> None:
    queue = new_queue(platform.client("sqs"), platform.client("sns"), platform.settings.events_topic_arn)
    load(platform)
    faults = [BUSY, FORBIDDEN, FORBIDDEN, FORBIDDEN]
    inject(platform.client("sns"), faults)
    cursor = tick(platform, None)
    assert faults == []
    assert received(platform, queue) == []
    # Without a cursor, as after a reset, too: nothing is told again.
    cursor = tick(platform, cursor)
    tick(platform, None)
    events = received(platform, queue)
    assert {(event["type"], event["subject"]) for event in events} == {
        ("pipeline.ingest.failed.v1", "crm-data/truncated.json"),
        ("pipeline.ingest.rejected.v1", "crm-data/half.jsonl"),
        ("pipeline.ingest.failed.v1", "nobody-data/x.json"),
    }
    assert len(events) == len({event["id"] for event in events}) == 3


@dg.op
def breaks() -> None:
    raise dg.Failure("the reason")


@dg.job(tags={SOURCE_TAG: "crm"})
def broken() -> None:
    breaks()


def look(platform: Services, instance: dg.DagsterInstance, cursor: str | None) -> str | None:
    """The sensor of failed runs, once; its cursor."""
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": platform}) as context:
        told = run_events(context)
    assert isinstance(told, dg.SensorResult)
    return told.cursor


def test_a_failed_run_reaches_a_subscriber(platform: Services, instance: dg.DagsterInstance) -> None:
    queue = new_queue(platform.client("sqs"), platform.client("sns"), platform.settings.events_topic_arn)
    run = broken.execute_in_process(instance=instance, raise_on_error=False)
    a_job = {JOB_TAG: "it tells of its end itself"}
    failure = dg.DagsterRunStatus.FAILURE
    instance.add_run(dg.DagsterRun(job_name="x", run_id=str(uuid.uuid4()), status=failure, tags=a_job))
    look(platform, instance, None)
    platform.delivery.send_waiting()
    [event] = received(platform, queue)
    assert (event["type"], event["data"]["run_id"], event["data"]["source"]) == (
        "pipeline.run.failed.v1",
        run.run_id,
        "crm",
    )
    assert "Steps failed: ['breaks']" in event["data"]["message"]


def test_no_failure_is_lost_though_the_outbox_is_away_at_first(
    platform: Services, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_sensors, "MOST_FAILURES", 3)
    failed = {str(uuid.uuid4()) for _ in range(5)}
    for run_id in failed:
        run = instance.add_run(dg.DagsterRun(job_name="x", run_id=run_id, status=dg.DagsterRunStatus.STARTED))
        instance.report_run_failed(run)
    cursor = look(platform, instance, None)
    faults = [NO_ACCESS]
    inject(platform.client("dynamodb"), faults)
    with pytest.raises(ClientError):
        look(platform, instance, cursor)
    assert faults == []
    for _ in range(2):
        cursor = look(platform, instance, cursor)
    told = [event["data"]["run_id"] for event in platform.outbox.waiting()]
    assert (set(told), len(told)) == (failed, len(failed))


def test_the_share_of_rejects_is_a_setting(platform: Services, database: FreshDatabase) -> None:
    load(platform)
    strict = Services(msgspec.structs.replace(platform.settings, notify_reject_share=0.6))
    with dg.build_sensor_context(resources={"platform": strict}) as context:
        ingest_events(context)
    strict.close()
    assert {event["type"] for event in platform.outbox.waiting()} == {"pipeline.ingest.failed.v1"}


def test_a_look_takes_two_hundred_failures_of_the_last_day_and_the_next_goes_on(
    platform: Services, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def none(filters: dg.RunsFilter, **options: Any) -> list[Any]:
        asked.append({"after": filters.updated_after, "statuses": [each.value for each in filters.statuses], **options})
        return []

    monkeypatch.setattr(instance, "get_run_records", none)
    before = datetime.now(UTC)
    cursor = look(platform, instance, None)
    look(platform, instance, cursor)
    after = datetime.now(UTC)
    first, second = (each.pop("after") for each in asked)
    assert before - timedelta(days=1) <= first + timedelta.resolution <= after - timedelta(days=1)
    # The second look begins a minute before the first one ended: Dagster writes a moment after the recorded time.
    assert before - timedelta(minutes=1) <= second + timedelta.resolution <= after - timedelta(minutes=1)
    assert (
        asked
        == [
            {"statuses": ["FAILURE"], "limit": 200, "order_by": "update_timestamp", "ascending": True},
        ]
        * 2
    )
