"""Jobs over REST: submitted, watched, listed, cancelled, fetched."""

import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import urllib3

from pipeline_project.api.routes import jobs as routes
from pipeline_project.jobs import launch as launching
from pipeline_project.jobs.model import Job, State
from pipeline_project.jobs.run import run_job
from pipeline_project.notify.delivery import Delivery
from pipeline_project.notify.events import Notifier
from pipeline_project_tests.fix_api import Caller, Cloud
from pipeline_project_tests.fix_dagster import FakeDagster
from pipeline_project_tests.fix_postgres import FreshDatabase

QUESTION = {"operation": "simple_demo"}


class Runner:
    """Does what the Dagster op does."""

    def __init__(self, cloud: Cloud, database: FreshDatabase) -> None:
        self._cloud = cloud
        self._database = database

    def run(self, job: Mapping[str, Any]) -> Job:
        return run_job(
            job["id"],
            "run",
            store=self._cloud.jobs(),
            database=self._database.reader,
            s3=self._cloud.s3,
            settings=self._cloud.settings,
            notifier=Delivery(self._cloud.outbox(), Notifier(self._cloud.sns, self._cloud.settings.events_topic_arn)),
            beat_seconds=0.05,
        )


@pytest.fixture
def runner(cloud: Cloud, database: FreshDatabase) -> Runner:
    return Runner(cloud, database)


def test_from_submission_to_result(api: Caller, runner: Runner) -> None:
    job = api("POST", "/analytics/jobs", {"operation": "database_info", "format": "csv"}).json
    assert (job["state"], job["result"], job["links"]["result"]) == ("SUBMITTED", None, None)
    path = f"/analytics/jobs/{job['id']}"
    early = api("GET", f"{path}/result")
    assert (early.status, early.json["code"], early.headers["Retry-After"]) == (409, "job_not_finished", "1")
    runner.run(job)
    ended = api("GET", path)
    assert "Retry-After" not in ended.headers
    assert ended.json["state"] == "SUCCEEDED"
    assert ended.json["links"]["cancel"] is None
    assert ended.json["links"]["result"] == f"https://api.example.com/v1{path}/result"
    result = ended.json["result"]
    assert result["download"] == f"https://api.example.com/v1/download/{result['key']}"
    for target in (f"{path}/result", f"{path}/result?format=csv", f"/download/{result['key']}"):
        answer = api("GET", target)
        assert (answer.status, answer.text) == (303, ""), target
        [disposition] = parse_qs(urlsplit(answer.headers["Location"]).query)["response-content-disposition"]
        assert re.fullmatch(r'attachment; filename="database_info-20\d{6}T\d{6}Z\.csv"', disposition), disposition
        found = urllib3.request("GET", answer.headers["Location"])
        assert (found.status, len(found.data)) == (200, result["bytes"])
    other = api("GET", f"{path}/result?format=parquet")
    assert (other.status, other.json["code"]) == (406, "not_acceptable")
    missing = api("GET", f"/download/jobs/{job['id']}/1/manifest.json")
    assert missing.status == 404


def test_expired_result(api: Caller, runner: Runner, cloud: Cloud) -> None:
    job = api("POST", "/analytics/jobs", QUESTION).json
    ended = runner.run(job)
    assert ended.result is not None
    cloud.s3.delete_object(Bucket=cloud.settings.results_bucket, Key=ended.result.key)
    for target in (f"/analytics/jobs/{job['id']}/result", f"/download/{ended.result.key}"):
        answer = api("GET", target)
        assert (answer.status, answer.json["code"]) == (410, "result_expired")


def test_result_of_a_job_that_was_cancelled(api: Caller) -> None:
    job = api("POST", "/analytics/jobs", QUESTION).json
    api("POST", f"/analytics/jobs/{job['id']}/cancel")
    answer = api("GET", f"/analytics/jobs/{job['id']}/result")
    assert (answer.status, answer.json["code"]) == (409, "job_without_result")


def test_latest_result_of_an_operation(api: Caller, cloud: Cloud) -> None:
    key = "analytics/simple_demo/latest.json"
    cloud.s3.put_object(Bucket=cloud.settings.results_bucket, Key=key, Body=b"{}")
    assert api("GET", f"/download/{key}").status == 303


def test_idempotency_key(api: Caller) -> None:
    first = api("POST", "/analytics/jobs", QUESTION, {"Idempotency-Key": "k"})
    again = api("POST", "/analytics/jobs", {**QUESTION, "parameters": {}}, {"Idempotency-Key": "k"})
    assert (again.status, again.json) == (202, first.json)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    other = api("POST", "/analytics/jobs", {"operation": "database_info"}, {"Idempotency-Key": "k"})
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")


def test_a_hundred_submissions_at_once_are_one_job_and_one_run(api: Caller, dagster: FakeDagster) -> None:
    settings = msgspec.structs.replace(api.services.settings, dagster_url=dagster.url)
    api.services.settings = settings
    callers = [api.known_as(apiKeyId="k") for _ in range(100)]

    def submit(caller: Caller) -> str:
        answer = caller("POST", "/analytics/jobs", QUESTION, {"Idempotency-Key": "k"})
        assert answer.status == 202, answer.text
        return answer.json["id"]

    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(submit, callers))
    assert len(ids) == 1
    assert [tags[launching.JOB_TAG] for tags in dagster.launched] == list(ids)
    assert callers[0]("GET", f"/analytics/jobs/{ids.pop()}").json["state"] == "QUEUED"


@pytest.mark.parametrize("mood", ["refuses", "fails", "talks nonsense"])
def test_dagster_that_does_not_launch(api: Caller, dagster: FakeDagster, mood: str) -> None:
    dagster.mood = mood
    api.services.settings = msgspec.structs.replace(api.services.settings, dagster_url=dagster.url)
    answer = api("POST", "/analytics/jobs", QUESTION)
    assert (answer.status, answer.json["state"]) == (202, "SUBMITTED")


def test_run_that_is_faster_than_the_answer(api: Caller, dagster: FakeDagster, runner: Runner) -> None:
    api.services.settings = msgspec.structs.replace(api.services.settings, dagster_url=dagster.url)
    dagster.on_launch = lambda tags, run_id: runner.run({"id": tags[launching.JOB_TAG]})
    assert api("POST", "/analytics/jobs", QUESTION).json["state"] == "SUCCEEDED"


def test_cancel_ends_a_run_that_waits_in_the_queue(api: Caller, dagster: FakeDagster) -> None:
    api.services.settings = msgspec.structs.replace(api.services.settings, dagster_url=dagster.url)
    job = api("POST", "/analytics/jobs", QUESTION).json
    assert job["state"] == "QUEUED"
    answer = api("POST", f"/analytics/jobs/{job['id']}/cancel")
    assert (answer.status, answer.json["state"]) == (200, "CANCELLED")
    assert dagster.terminated == ["run-1"]


def test_cancel_in_every_state(api: Caller, cloud: Cloud) -> None:
    store = cloud.jobs()
    for state in State:
        job = store.submit("simple_demo", {}, "anonymous")[0]
        if state is State.QUEUED:
            store.launched(job.id, "run")
        elif state is not State.SUBMITTED:
            claimed = store.claim(job.id, "run")
            if state in (State.CANCELLING, State.CANCELLED):
                store.request_cancel(job.id)
            if state.is_final:
                store.finish(claimed, state)
        for _ in range(2):
            answer = api("POST", f"/analytics/jobs/{job.id}/cancel")
            if state in (State.RUNNING, State.CANCELLING):
                assert (answer.status, answer.json["state"]) == (202, "CANCELLING")
            else:
                expected = state if state.is_final else State.CANCELLED
                assert (answer.status, answer.json["state"]) == (200, expected)


def test_long_poll(api: Caller, runner: Runner) -> None:
    job = api("POST", "/analytics/jobs", QUESTION).json
    path = f"/analytics/jobs/{job['id']}"
    began = time.monotonic()
    assert api("GET", f"{path}?wait=1").json["state"] == "SUBMITTED"
    assert time.monotonic() - began > 0.5
    looked = threading.Event()
    api.services.dynamodb.meta.events.register("before-send.dynamodb", lambda **_: looked.set())

    def run_after_the_first_look() -> None:
        assert looked.wait(60)
        runner.run(job)

    worker = threading.Thread(target=run_after_the_first_look)
    worker.start()
    ended = api("GET", f"{path}?wait=25").json
    worker.join()
    assert ended["state"] == "SUCCEEDED"


@pytest.mark.parametrize(("wait", "looks"), [(0, 1), (1, 5), (25, 101)])
def test_a_long_poll_looks_four_times_a_second_until_the_end(
    api: Caller, monkeypatch: pytest.MonkeyPatch, wait: int, looks: int
) -> None:
    clock = [100.0]
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(routes, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    job = api("POST", "/analytics/jobs", QUESTION).json
    assert api("GET", f"/analytics/jobs/{job['id']}?wait={wait}").headers["Retry-After"] == "1"
    assert pauses == [0.25] * (looks - 1)
    pauses.clear()
    api("POST", f"/analytics/jobs/{job['id']}/cancel")
    ended = api("GET", f"/analytics/jobs/{job['id']}?wait={wait}")
    assert (ended.json["state"], pauses) == ("CANCELLED", []), "a job that has ended is not waited for"
    assert "Retry-After" not in ended.headers


def test_listing(api: Caller, cloud: Cloud) -> None:
    jobs = [api("POST", "/analytics/jobs", {"operation": name}).json for name in ("simple_demo", "database_info") * 3]
    api("POST", f"/analytics/jobs/{jobs[0]['id']}/cancel")
    ids = [job["id"] for job in jobs]
    created = {job["id"]: job["created_at"] for job in jobs}

    def listed(query: str) -> list[str]:
        found: list[str] = []
        cursor = ""
        while True:
            page = api("GET", f"/analytics/jobs?{query}&limit=2{cursor}").json
            found += [job["id"] for job in page["jobs"]]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    # Jobs made in the same millisecond stand in no particular order.
    newest_first = sorted(ids, key=lambda each: (created[each], each), reverse=True)
    assert listed("operation=simple_demo") == [each for each in newest_first if each in ids[::2]]
    assert listed("state=CANCELLED") == [ids[0]]
    assert listed("state=CANCELLED&state=SUBMITTED") == newest_first
    assert listed(f"created_before={created[newest_first[-1]]}") == []
    assert set(listed(f"created_from={created[newest_first[0]]}")) >= {newest_first[0]}
    today = datetime.fromisoformat(created[ids[0]]).date()
    tomorrow = today + timedelta(days=2)  # the test may run over midnight
    assert listed(f"created_from={today}&created_before={tomorrow}") == newest_first
    assert listed(f"created_from={tomorrow}") == listed(f"created_before={today}") == []


def test_too_many_open_jobs(api: Caller) -> None:
    api.services.settings = msgspec.structs.replace(api.services.settings, api_max_unfinished_jobs=1)
    first = api("POST", "/analytics/jobs", QUESTION).json
    second = api("POST", "/analytics/jobs", QUESTION)
    assert (second.status, second.json["code"]) == (429, "too_many_jobs")
    assert int(second.headers["Retry-After"]) > 0
    assert api.known_as(apiKeyId="k")("POST", "/analytics/jobs", QUESTION).status == 202
    api("POST", f"/analytics/jobs/{first['id']}/cancel")
    assert api("POST", "/analytics/jobs", QUESTION).status == 202


def test_owners(api: Caller) -> None:
    """Who the gateway found somebody to be, by key, signature or token, is who the jobs belong to."""
    role = "arn:aws:sts::1:assumed-role/Analyst/"
    same = [api.known_as(userArn=role + "morning"), api.known_as(userArn=role + "evening")]
    job = same[0]("POST", "/analytics/jobs", QUESTION).json
    assert same[1]("GET", f"/analytics/jobs/{job['id']}").status == 200
    others = (api, api.known_as(apiKeyId="a"), api.known_as(apiKey="a"), api.known_as(userArn=role[:-1] + "s/x"))
    for other in others:
        assert other("GET", f"/analytics/jobs/{job['id']}").status == 404


def test_no_record_event_or_log_line_holds_a_raw_api_key(
    api: Caller, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    """Where API Gateway gives no ID of a key, but the key itself, the key is still a secret."""
    caplog.set_level(0)
    key = "never-to-be-written-anywhere"
    holder = api.known_as(apiKey=key)
    answers = [holder("POST", "/analytics/jobs", QUESTION, {"Idempotency-Key": "k"})]
    path = f"/analytics/jobs/{answers[0].json['id']}"
    answers += [holder("POST", f"{path}/cancel"), holder("GET", path), holder("GET", "/analytics/jobs?limit=1")]
    assert [answer.status for answer in answers] == [202, 200, 200, 200]
    items = cloud.dynamodb.scan(TableName=cloud.settings.table_name)["Items"]
    assert len(items) == 3  # the record, its owner's open jobs, and the event of its end
    for text in (str(items), str(answers), str([vars(record) for record in caplog.records])):
        assert key not in text
    assert api.known_as(apiKey=key + "2")("GET", path).status == 404


def test_cancel_leaves_a_run_that_was_lost_alone(api: Caller, cloud: Cloud, dagster: FakeDagster) -> None:
    """The job waits for its next run. The run that it names was lost, and is another's business."""
    api.services.settings = msgspec.structs.replace(api.services.settings, dagster_url=dagster.url)
    store = cloud.jobs()
    job = store.claim(store.submit("simple_demo", {}, "anonymous")[0].id, "lost")
    store.transition(job.id, [State.RUNNING], State.SUBMITTED)
    answer = api("POST", f"/analytics/jobs/{job.id}/cancel")
    assert (answer.status, answer.json["state"]) == (200, "CANCELLED")
    assert dagster.terminated == []


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({**QUESTION, "surplus": 1}, "surplus", "extra_forbidden"),
        ({}, "operation", "string"),
        ({"operation": 7}, "operation", "string"),
        ({**QUESTION, "format": "xml"}, "format", "enum"),
    ],
)
def test_a_body_that_is_not_understood_names_field_and_rule(
    api_without_database: Caller, body: dict[str, Any], field: str, rule: str
) -> None:
    answer = api_without_database("POST", "/analytics/jobs", body)
    [error] = answer.json["errors"]
    assert (answer.status, error["field"], error["rule"]) == (422, field, rule)
    assert answer.json["detail"] == f"{field}: {error['message']}"


def test_a_request_is_logged_in_one_line(api_without_database: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    answer = api_without_database("GET", "/analytics/" + "x" * 300)
    [line] = [each for each in caplog.records if each.getMessage() == "request"]
    found = {name: getattr(line, name) for name in ("request_id", "method", "path", "status")}
    path = "/analytics/" + "x" * 189
    assert len(path) == 200
    assert found == {"request_id": answer.headers["X-Request-Id"], "method": "GET", "path": path, "status": 404}
    assert 0 < line.milliseconds < 60_000  # pyright: ignore[reportAttributeAccessIssue]
