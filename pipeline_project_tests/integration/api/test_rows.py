"""The rows of a job in pages: each row once and as it is in the file, whatever the size of rows, pages and file."""

import json
from decimal import Decimal
from typing import Any

import pytest

from pipeline_project.results import pages
from pipeline_project_tests.fix_api import Caller, Cloud
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.integration.api.test_jobs import Runner


@pytest.fixture
def runner(cloud: Cloud, database: FreshDatabase) -> Runner:
    return Runner(cloud, database)


def finished(api: Caller, runner: Runner, query: str, **options: Any) -> dict[str, Any]:
    question = {"operation": "custom_complex_query", "parameters": {"query": query}}
    job = api("POST", "/analytics/jobs", {**question, **options}).json
    ended = runner.run(job)
    assert ended.result is not None, ended.error
    return api("GET", f"/analytics/jobs/{job['id']}").json


def rows_of(count: int) -> str:
    columns = "n, n * 1.10 AS amount, E'a\\n\"b,' AS text, NULL AS nothing"
    return f"SELECT {columns} FROM generate_series(0, {count - 1}) AS n ORDER BY n"


def page(api: Caller, job: dict[str, Any], query: str = "") -> Any:
    answer = api("GET", f"/analytics/jobs/{job['id']}/rows?{query}")
    assert answer.status == 200, answer.text
    return json.loads(answer.text, parse_float=Decimal)


@pytest.mark.parametrize("form", ["json", "ndjson"])
@pytest.mark.parametrize("marked", [0, 10**9])
def test_pages_together_are_the_file(
    api: Caller, runner: Runner, monkeypatch: pytest.MonkeyPatch, form: str, marked: int
) -> None:
    monkeypatch.setattr("pipeline_project.results.pages.MARKED_BYTES", marked)
    monkeypatch.setattr("pipeline_project.results.store.MARKED_BYTES", marked)
    monkeypatch.setattr("pipeline_project.results.pages.MOST_MARKS", 4)
    job = finished(api, runner, rows_of(2_345), format=form)
    assert job["links"]["rows"].endswith(f"{job['id']}/rows")
    for limit in (1_000, 999, 2_345, 2_346):
        found: list[Any] = []
        offset: int | None = 0
        while offset is not None:
            got = page(api, job, f"offset={offset}&limit={limit}")
            assert (got["offset"], got["row_count"], got["total_rows"]) == (offset, len(got["rows"]), 2_345)
            assert got["columns"] == job["result"]["columns"]
            found += got["rows"]
            offset = got["next_offset"]
        assert [row["n"] for row in found] == list(range(2_345))
        assert found[7] == {"n": 7, "amount": Decimal("7.70"), "text": 'a\n"b,', "nothing": None}
    for offset in (0, 1, 199, 200, 201, 1_399, 2_344):
        assert [row["n"] for row in page(api, job, f"offset={offset}&limit=1")["rows"]] == [offset]
    for offset in (2_345, 10**12):
        got = page(api, job, f"offset={offset}")
        assert (got["rows"], got["next_offset"]) == ([], None)


def test_a_page_of_large_rows_is_shorter(api: Caller, runner: Runner) -> None:
    job = finished(api, runner, "SELECT n, repeat('x', 200000) AS text FROM generate_series(1, 12) AS n ORDER BY n")
    assert job["result"]["bytes"] > pages.MARKED_BYTES
    got = page(api, job)
    assert ([row["n"] for row in got["rows"]], got["next_offset"]) == ([1, 2, 3, 4, 5], 5)
    assert [row["n"] for row in page(api, job, "offset=5")["rows"]] == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_numbers_of_a_page_come_as_text_where_they_are_asked_for(api: Caller, runner: Runner, form: str) -> None:
    job = finished(api, runner, rows_of(2), format=form)
    text = {"n": "1", "amount": "1.10", "text": 'a\n"b,', "nothing": None}
    assert page(api, job, "offset=1&numbers=text")["rows"] == [text]
    job = finished(api, runner, rows_of(2), format=form, numbers="text")
    assert page(api, job, "offset=1")["rows"] == [text]
    answer = api("GET", f"/analytics/jobs/{job['id']}/rows?numbers=number")
    assert (answer.status, answer.json["code"]) == (406, "not_acceptable")


def test_a_result_without_rows_is_an_empty_page(api: Caller, runner: Runner) -> None:
    job = finished(api, runner, "SELECT 1 AS a WHERE false")
    got = page(api, job)
    assert (got["rows"], got["next_offset"], got["total_rows"]) == ([], None, 0)


def test_rows_that_are_not_there_are_refused_with_the_reason(api: Caller, runner: Runner, cloud: Cloud) -> None:
    waiting = api("POST", "/analytics/jobs", {"operation": "simple_demo"}).json
    assert waiting["links"]["rows"] is None
    table = finished(api, runner, rows_of(1), format="parquet")
    assert table["links"]["rows"] is None
    gone = finished(api, runner, rows_of(1))
    cloud.s3.delete_object(Bucket=cloud.settings.results_bucket, Key=gone["result"]["key"])
    for job, status, code in (
        (waiting, 409, "job_not_finished"),
        (table, 406, "not_acceptable"),
        (gone, 410, "result_expired"),
    ):
        answer = api("GET", f"/analytics/jobs/{job['id']}/rows")
        assert (answer.status, answer.json["code"]) == (status, code)
    other = api.known_as(apiKeyId="k")("GET", f"/analytics/jobs/{gone['id']}/rows")
    assert other.status == 404
    for query in ("offset=-1", "offset=x", "limit=0", "limit=10001", "numbers=x", "colour=red", "offset=1000000000001"):
        answer = api("GET", f"/analytics/jobs/{gone['id']}/rows?{query}")
        assert (answer.status, answer.json["code"]) == (400, "invalid_query"), query
