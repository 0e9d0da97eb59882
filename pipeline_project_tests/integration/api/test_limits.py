"""Limits that a caller sets for a result, labels that a caller gives a job, and the figures of a job."""

import csv
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline_project.results.options import Format
from pipeline_project_tests.fix_api import Caller, Cloud
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.integration.api.test_jobs import QUESTION, Runner

NUMBERS = {
    "operation": "custom_complex_query",
    "parameters": {"query": "SELECT n, repeat('x', 90) AS text FROM generate_series(1, 3000) AS n ORDER BY n"},
}
ROW_BYTES = len('{"n":1000,"text":"' + "x" * 90 + '"}\n')


def ask(api: Caller, question: dict[str, Any], **options: Any) -> Any:
    answer = api("POST", "/analytics", {**question, **options})
    assert answer.status == 200, answer.text
    return answer.json


def few(count: int) -> dict[str, Any]:
    query = NUMBERS["parameters"]["query"].replace("3000", str(count))
    return {**NUMBERS, "parameters": {"query": query}}


def test_a_row_limit_leaves_rows_out_and_says_so(api: Caller) -> None:
    for _ in range(2):  # the cache tells limits apart
        for limit, truncated in ((1, True), (2, True), (3, False), (4, False)):
            answer = ask(api, few(3), row_limit=limit)
            assert ([row["n"] for row in answer["rows"]], answer["truncated"]) == ([1, 2, 3][:limit], truncated)
            assert answer["row_count"] == len(answer["rows"])
        assert ask(api, few(3))["truncated"] is False
    # Without its limit, it would be a job.
    assert len(ask(api, NUMBERS, row_limit=10)["rows"]) == 10
    target = f"/analytics?operation=custom_complex_query&query={NUMBERS['parameters']['query']}&row_limit=2"
    assert len(api("GET", target).json["rows"]) == 2


def test_a_byte_limit_ends_with_the_last_row_that_fits(api: Caller) -> None:
    exact = sum(len(json.dumps(row, separators=(",", ":"))) + 1 for row in ask(api, few(5))["rows"])
    for limit, rows in ((exact - 1, 4), (exact, 5), (exact + 1, 5), (1, 0)):
        answer = ask(api, few(5), byte_limit=limit)
        assert (answer["row_count"], answer["truncated"]) == (rows, rows < 5), limit


def test_a_limit_above_ours_does_not_widen_it(api: Caller) -> None:
    answer = api("POST", "/analytics", {**NUMBERS, "row_limit": 2500, "byte_limit": 10**9})
    assert (answer.status, answer.json["reason"]) == (202, "large")
    assert (answer.json["row_limit"], answer.json["byte_limit"]) == (2500, 10**9)


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize(
    ("limits", "rows"), [({"row_limit": 1234}, 1234), ({"byte_limit": 50_000}, None), ({"row_limit": 3000}, 3000)]
)
def test_a_job_keeps_its_limits(
    api: Caller, cloud: Cloud, database: FreshDatabase, form: str, limits: dict[str, int], rows: int | None
) -> None:
    job = api("POST", "/analytics/jobs", {**NUMBERS, "format": form, **limits}).json
    ended = Runner(cloud, database).run(job)
    assert ended.result is not None
    body = cloud.s3.get_object(Bucket=cloud.settings.results_bucket, Key=ended.result.key)["Body"].read()
    match form:
        case Format.JSON:
            found = json.loads(body)["rows"]
        case Format.NDJSON:
            found = [json.loads(line) for line in body.splitlines()]
        case Format.CSV:
            found = list(csv.DictReader(io.StringIO(body.decode())))
        case _:
            found = pq.read_table(io.BytesIO(body)).to_pylist()
    assert [int(row["n"]) for row in found] == list(range(1, ended.result.rows + 1))
    assert ended.result.truncated is (ended.result.rows < 3000)
    if rows is None:
        # As many rows as fit, but for those whose numbers are shorter.
        assert 50_000 // ROW_BYTES <= ended.result.rows < 50_000 // (ROW_BYTES - 20)
        assert form == Format.PARQUET or len(body) < 50_200
    else:
        assert ended.result.rows == rows


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "10", None, 10**15 + 1, [1]])
@pytest.mark.parametrize("name", ["row_limit", "byte_limit"])
def test_a_limit_is_a_whole_number(api_without_database: Caller, name: str, limit: Any) -> None:
    answer = api_without_database("POST", "/analytics/jobs", {**QUESTION, name: limit})
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, name)
    for text in ("0", "x", "²", "1e3", ""):
        answer = api_without_database("GET", f"/analytics?operation=simple_demo&{name}={text}")
        assert (answer.status, answer.json["code"]) == (400, "invalid_query")


def test_labels_are_kept_and_filter_a_listing(api: Caller) -> None:
    labels = [{"team": "finance", "report": "weekly"}, {"team": "finance"}, {"team": "sales: north"}, {}]
    jobs = [api("POST", "/analytics/jobs", {**QUESTION, "labels": each}).json for each in labels]
    assert [job["labels"] for job in jobs] == labels

    def listed(query: str) -> set[str]:
        return {job["id"] for job in api("GET", f"/analytics/jobs?{query}").json["jobs"]}

    ids = [job["id"] for job in jobs]
    assert listed("label=team:finance") == {*ids[:2]}
    assert listed("label=team:finance&label=report:weekly") == {ids[0]}
    assert listed("label=team:sales: north") == {ids[2]}
    assert listed("label=team:fin") == listed("label=team:") == listed("label=other:finance") == set()
    assert listed("") == set(ids)


def test_labels_belong_to_what_a_key_repeats(api: Caller) -> None:
    headers = {"Idempotency-Key": "k"}
    first = api("POST", "/analytics/jobs", {**QUESTION, "labels": {"a": "1"}}, headers)
    assert api("POST", "/analytics/jobs", {**QUESTION, "labels": {"a": "1"}}, headers).json["id"] == first.json["id"]
    other = api("POST", "/analytics/jobs", {**QUESTION, "labels": {"a": "2"}}, headers)
    assert other.json["code"] == "idempotency_key_reused"


@pytest.mark.parametrize(
    "labels",
    [
        *([], "a", None, {"A": "b"}, {"": "b"}, {"a:b": "c"}, {"a" * 64: "b"}, {"a": 1}, {"a": None}, {"a": "x" * 129}),
        *({"a": "b\n"}, {f"a{n}": "b" for n in range(21)}),
    ],
)
def test_labels_of_another_form_are_refused(api_without_database: Caller, labels: Any) -> None:
    answer = api_without_database("POST", "/analytics/jobs", {**QUESTION, "labels": labels})
    assert (answer.status, answer.json["errors"][0]["field"].partition(".")[0]) == (422, "labels")
    assert api_without_database("GET", "/analytics/jobs?label=team").status == 400


def test_a_job_tells_how_long_it_waited_and_ran(api: Caller, cloud: Cloud, database: FreshDatabase) -> None:
    job = api("POST", "/analytics/jobs", {**QUESTION, "labels": {"team": "finance"}}).json
    assert (job["queued_seconds"], job["run_seconds"]) == (None, None)
    Runner(cloud, database).run(job)
    ended = api("GET", f"/analytics/jobs/{job['id']}").json
    assert 0 <= ended["queued_seconds"] < 60
    assert 0 <= ended["run_seconds"] < 60
    assert ended["result"]["bytes"] > 0
    items = cloud.dynamodb.scan(TableName=cloud.settings.table_name)["Items"]
    [event] = [json.loads(item["event"]["S"]) for item in items if "event" in item]
    assert event["data"]["labels"] == {"team": "finance"}
