"""Terminating, re-executing and backfilling ingest runs as the web UI does it: real daemon, workers, storage and tables."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from pipeline_project import aws
from pipeline_project.database import Database
from pipeline_project.ingest import ledger
from pipeline_project.ingest.ledger.objects import ObjectSeen
from pipeline_project.orchestration.automation.landing_sensors import LOOP_SECONDS
from pipeline_project_tests.live_stack import LiveStack, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ASSET = "canonical_crm__records"
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "pipeline_project"}
SENSORS = """query($r: RepositorySelector!) { sensorsOrError(repositorySelector: $r) { ... on Sensors { results {
  id name sensorState { ticks(limit: 1) { status } } } } } }"""
STOP = "mutation($id: String!) { stopSensor(id: $id) { __typename } }"
START = "mutation($s: SensorSelector!) { startSensor(sensorSelector: $s) { __typename } }"
TERMINATE = "mutation($id: String!) { terminateRun(runId: $id) { __typename ... on PythonError { message } } }"
AGAIN = """mutation($p: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
PARTITIONS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetMaterializations(limit: 500) { partition runId } } } }"""
MESSAGES = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
  ... on MessageEvent { message } } } } }"""
STARTED = "Started process for run (pid: "
OBJECT = b"SELECT state, attempts, run_id FROM ingest.objects WHERE object_id = %s"
ENTITIES = b"SELECT count(*), max(version) FROM canonical.entities WHERE canonical_id LIKE %s"
WRITTEN = b"SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ingest.data_versions'::regclass"


@pytest.fixture
def quiet(stack: LiveStack) -> Iterator[LiveStack]:
    """The platform without its landing sensors, which would load what a test leaves for others to load."""
    found = stack.graphql(SENSORS, r=REPOSITORY)["results"]
    landing = [sensor for sensor in found if sensor["name"].startswith("landing_sensor")]
    for sensor in landing:
        stack.graphql(STOP, id=sensor["id"])
    until(lambda: not any(ticks(stack)))
    time.sleep(LOOP_SECONDS + 1)  # a tick that was due before may have begun since
    until(lambda: not any(ticks(stack)))
    yield stack
    for sensor in landing:
        stack.graphql(START, s={**REPOSITORY, "sensorName": sensor["name"]})


def ticks(stack: LiveStack) -> list[bool]:
    """Whether each landing sensor is in the middle of a tick."""
    found = stack.graphql(SENSORS, r=REPOSITORY)["results"]
    return [
        tick["status"] == "STARTED"
        for sensor in found
        if sensor["name"].startswith("landing_sensor")
        for tick in sensor["sensorState"]["ticks"]
    ]


def discovered(stack: LiveStack, name: str) -> int:
    """The ledger's id of an uploaded object with two customers."""
    key = f"crm-data/reruns/{name}.json"
    records = [{"customer_id": f"{name}-{n}", "company_name": f"Company {n}"} for n in range(2)]
    put = stack.s3.put_object(Bucket=stack.settings.landing_bucket, Key=key, Body=json.dumps(records).encode())
    seen = ObjectSeen(
        bucket=stack.settings.landing_bucket,
        key=key,
        version_id=put["VersionId"],
        etag=put["ETag"].strip('"'),
        size=100,
        discovered_by="listing",
    )
    secrets = aws.client(stack.settings, "secretsmanager")
    with Database.from_settings(stack.settings, "loader", secrets).connect() as connection:
        ledger.discover(connection, [seen])
    return seen.object_id


def materialize(stack: LiveStack, *object_ids: int) -> str:
    """The run that loads them, as the UI's launchpad starts it."""
    return stack.launch(
        "ingest_job",
        selector={"assetSelection": [{"path": [ASSET]}]},
        runConfigData={"ops": {ASSET: {"config": {"object_ids": list(object_ids)}}}},
        executionMetadata={"tags": [{"key": "dagster/partition", "value": "2025-03-01"}]},
    )


@contextmanager
def in_mid_load(stack: LiveStack, object_id: int) -> Iterator[str]:
    """The run of a load that has written its rows and cannot commit, for as long as this lasts."""
    with psycopg.connect(stack.state.psql_conninfo("owner")) as blocker:
        blocker.execute("LOCK TABLE ingest.data_versions IN EXCLUSIVE MODE")
        run_id = materialize(stack, object_id)
        until(lambda: stack.sql(WRITTEN) != [(0,)])
        yield run_id


def state(stack: LiveStack, object_id: int) -> tuple[Any, ...]:
    return stack.sql(OBJECT, (object_id,))[0]


def worker(stack: LiveStack, run_id: str) -> int:
    """The process of a run."""
    messages = [event.get("message", "") for event in stack.graphql(MESSAGES, id=run_id)["events"]]
    [started] = [message for message in messages if message.startswith(STARTED)]
    return int(started.removeprefix(STARTED).rstrip(")."))


def test_a_terminated_run_leaves_its_objects_as_they_were(quiet: LiveStack) -> None:
    object_id = discovered(quiet, "terminated")
    with in_mid_load(quiet, object_id) as run_id:
        assert state(quiet, object_id)[0] == "claimed"
        assert quiet.graphql(TERMINATE, id=run_id)["__typename"] == "TerminateRunSuccess"
        assert quiet.ended(run_id) == "CANCELED"
        assert state(quiet, object_id)[0] == "discovered"
    assert quiet.sql(ENTITIES, ("crm_terminated-%",)) == [(0, None)]
    assert quiet.ended(materialize(quiet, object_id)) == "SUCCESS"
    assert quiet.sql(ENTITIES, ("crm_terminated-%",)) == [(2, 1)]


def test_a_run_whose_worker_was_killed_fails_and_is_executed_again(quiet: LiveStack) -> None:
    object_id = discovered(quiet, "killed")
    with in_mid_load(quiet, object_id) as run_id:
        os.kill(worker(quiet, run_id), signal.SIGKILL)
        assert quiet.ended(run_id) == "FAILURE"
        assert quiet.sql(ENTITIES, ("crm_killed-%",)) == [(0, None)]
    again = quiet.graphql(AGAIN, p={"parentRunId": run_id, "strategy": "ALL_STEPS"})
    assert again["__typename"] == "LaunchRunSuccess", again
    assert quiet.ended(again["run"]["runId"]) == "SUCCESS"
    assert state(quiet, object_id) == ("loaded", 2, again["run"]["runId"])
    assert quiet.sql(ENTITIES, ("crm_killed-%",)) == [(2, 1)]


def test_a_month_is_read_again(quiet: LiveStack) -> None:
    days = [(date(2025, 5, 1) + timedelta(n)).isoformat() for n in range(31)]
    objects = {day: discovered(quiet, f"day-{day}") for day in (days[0], days[17], days[30])}
    outside = discovered(quiet, "outside")
    first = materialize(quiet, *objects.values(), outside)
    assert quiet.ended(first) == "SUCCESS"
    for day, object_id in {**objects, "2025-06-01": outside}.items():
        quiet.sql(b"UPDATE ingest.objects SET discovered_at = %s WHERE object_id = %s", (f"{day}T23:59:59Z", object_id))
    # A mapping was mended since, say: what the tables hold is not what the objects say any more.
    quiet.sql(b"UPDATE canonical.entities SET mapping_version = 0 WHERE canonical_id LIKE 'crm_day-%'")

    quiet.backfill([ASSET], days)

    found = quiet.graphql(PARTITIONS, key={"path": [ASSET]})["assetMaterializations"]
    runs = {each["runId"] for each in found if each["partition"] in days}
    assert {each["partition"] for each in found} >= set(days)
    assert len(runs) == 1, "a month is one run, not thirty-one"
    assert {state(quiet, object_id) for object_id in objects.values()} == {("loaded", 1, *runs)}
    assert state(quiet, outside)[2] == first
    assert quiet.sql(ENTITIES, ("crm_day-%",)) == [(6, 1)]
