"""What the demo verifies, and that nothing wrong passes. The servers are stand-ins with scripted answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from pipeline_project.local import demo
from pipeline_project.local.console import StepConsole
from pipeline_project.local.demo import Demo, NotAsExpected
from pipeline_project.local.http_json import Answer

API = "https://api"
ASKED = {"operation": "revenue_analysis", "parameters": {"metric": "revenue", "group_by": "industry", "top_n": 3}}
LEDGER = [
    {"key": "a", "state": "loaded", "records": 3, "rejected": 0},
    {"key": "b", "state": "loaded_with_rejects", "records": 3, "rejected": 2},
    {"key": "c", "state": "failed", "records": 3, "rejected": 3},
]
REJECTS = [
    {"key": "b", "ordinal": 1, "message": "no name"},
    {"key": "b", "ordinal": 2, "message": "no ID"},
    {"key": "c", "ordinal": 1, "message": "of a file that failed"},
]
EXPECTED = {row["key"]: {"state": row["state"], "records": 3} for row in LEDGER}
LONG = {"detail": "x" * 400}
SHORT = '{"detail": "' + "x" * 288
assert len(SHORT) == 300


class Reader:
    """Answers with counts of entities."""

    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts

    @contextmanager
    def connect(self) -> Iterator["Reader"]:
        yield self

    def execute(self, _query: bytes) -> "Reader":
        return self

    def fetchall(self) -> list[tuple[str, int]]:
        return list(self._counts.items())


def made(**changed: Any) -> Demo:
    given = {"expected": EXPECTED, "rows": LEDGER, "rejected": REJECTS, "reader": Reader({"crm": 2}), "api_url": API}
    return Demo(**cast("Any", {**given, **changed}))


def scripted(monkeypatch: pytest.MonkeyPatch, *answers: Answer) -> list[tuple[Any, ...]]:
    """Have the requests answered in this order. Return the requests."""
    asked: list[tuple[Any, ...]] = []
    left = list(answers)

    def request(*given: Any) -> Answer:
        asked.append(given)
        return left.pop(0)

    monkeypatch.setattr(demo, "request", request)
    return asked


def answered(status: int, body: Any = None, location: str | None = None) -> Answer:
    return Answer(status, body, location)


def job(state: str, **fields: Any) -> dict[str, Any]:
    links = {"self": f"{API}/analytics/jobs/1", "result": f"{API}/analytics/jobs/1/result"}
    ended = None if state == "RUNNING" else "now"
    return {
        "id": "1",
        "state": state,
        "finished_at": ended,
        "links": links,
        "result": {"rows": 2},
        "error": None,
        **fields,
    }


def test_a_ledger_is_as_expected_or_each_difference_is_told() -> None:
    assert made().ledger() == "3 files are as expected"
    wrong = made(rows=[{**LEDGER[0], "records": 4, "state": "failed"}, LEDGER[1], {**LEDGER[2], "key": "d"}])
    with pytest.raises(NotAsExpected) as told:
        wrong.ledger()
    assert str(told.value) == (
        "a: state failed, not loaded, records 4, not 3; c: state not seen, not failed, records None, not 3; "
        "expected.json does not name d"
    )


def test_rejects_are_those_of_loaded_files_and_each_has_place_and_reason() -> None:
    assert made().rejects() == "2 are kept, each with its reason"
    for lacking in ({"ordinal": 0}, {"message": ""}, {"key": "c"}):
        with pytest.raises(NotAsExpected, match="the ledger counts 2, 1 are kept with a reason"):
            made(rejected=[REJECTS[0], {**REJECTS[1], **lacking}, REJECTS[2]]).rejects()
    with pytest.raises(NotAsExpected, match="counts 0, 0"):
        made(rows=[LEDGER[0]], rejected=[]).rejects()


@pytest.mark.parametrize("counts", [{}, {"crm": 2, "erp": 0}])
def test_a_source_without_entities_is_wrong(counts: dict[str, int]) -> None:
    assert made(reader=Reader({"crm": 2, "erp": 1})).sql() == "2 entities of crm, 1 entities of erp"
    with pytest.raises(NotAsExpected, match="no entities"):
        made(reader=Reader(counts)).sql()


def test_a_query_is_answered_at_once_with_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scripted(monkeypatch, answered(200, {"rows": [1, 2], "row_count": 2}))
    assert made().query() == "revenue_analysis has 2 rows"
    assert asked == [("POST", f"{API}/analytics", ASKED)]
    for wrong in (answered(202, {"rows": [1]}), answered(200, {"rows": []})):
        scripted(monkeypatch, wrong)
        with pytest.raises(NotAsExpected, match=rf"^POST /analytics answers {wrong.status}: "):
            made().query()
    scripted(monkeypatch, answered(500, LONG))
    with pytest.raises(NotAsExpected) as told:
        made().query()
    assert str(told.value) == f"POST /analytics answers 500: {SHORT}"


def test_a_job_is_watched_to_its_end_and_its_rows_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scripted(
        monkeypatch,
        answered(202, job("RUNNING")),
        answered(200, job("RUNNING")),
        answered(200, job("SUCCEEDED")),
        answered(303, None, "https://s3/file"),
        answered(200, {"rows": [1, 2]}),
    )
    assert made().job() == "job 1 SUCCEEDED, 2 rows downloaded"
    assert asked == [
        ("POST", f"{API}/analytics/jobs", ASKED),
        *[("GET", f"{API}/analytics/jobs/1?wait=5")] * 2,
        ("GET", f"{API}/analytics/jobs/1/result"),
        ("GET", "https://s3/file"),
    ]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([answered(503, LONG)], f"POST /analytics/jobs answers 503: {SHORT}"),
        ([answered(202, job("FAILED", error={"code": "x"}))], 'job 1 is FAILED: {"code": "x"}'),
        ([answered(202, job("SUCCEEDED")), answered(410, "gone")], 'its result answers 410: "gone"'),
        ([answered(202, job("SUCCEEDED")), answered(303)], "its result answers 303: null"),
        (
            [answered(202, job("SUCCEEDED")), answered(303, None, "x"), answered(403, "no")],
            'its file answers 403: "no"',
        ),
        (
            [answered(202, job("SUCCEEDED")), answered(303, None, "x"), answered(200, {"rows": [1]})],
            'its file answers 200: {"rows": [1]}',
        ),
    ],
)
def test_a_job_that_goes_wrong_is_told(monkeypatch: pytest.MonkeyPatch, answers: list[Answer], told: str) -> None:
    scripted(monkeypatch, *answers)
    with pytest.raises(NotAsExpected) as wrong:
        made().job()
    assert str(wrong.value) == told


def test_a_job_has_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 120.0, 120.1])
    monkeypatch.setattr(demo.time, "monotonic", lambda: next(times))
    scripted(monkeypatch, answered(202, job("RUNNING")), answered(200, job("RUNNING")))
    with pytest.raises(NotAsExpected, match="job 1 is still RUNNING after 120 s"):
        made().job()


def test_every_step_is_verified_whatever_becomes_of_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted(monkeypatch, answered(200, {"no": "rows"}), answered(503, "away"))
    failures = made(rows=[LEDGER[0]], rejected=[], reader=Reader({"crm": 2})).verify(StepConsole())
    assert [each.partition(":")[0] for each in failures] == [
        *("Ledger", "Rejected rows", "REST, answered at once", "REST, as a job")
    ]
    assert failures[2] == "REST, answered at once: unexpected answer (KeyError('rows'))"
    assert failures[3] == 'REST, as a job: POST /analytics/jobs answers 503: "away"'
    assert "SQL as pipeline_reader: 2 entities of crm" in capsys.readouterr().out
