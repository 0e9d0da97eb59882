"""AWS in trouble: throttling and 5xx are tried again, and nothing that was accepted is lost; else 503, never a 500."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from pipeline_project_tests.fix_api import Caller
from pipeline_project_tests.fix_aws import Fault, inject

pytestmark = pytest.mark.usefixtures("without_pauses")
QUESTION = {"operation": "simple_demo"}
THROTTLED = (400, b'{"__type": "ProvisionedThroughputExceededException", "message": "slow down"}')
BROKEN = (500, b'{"__type": "InternalServerError", "message": "sorry"}')


def injected(api: Caller, faults: list[Fault]) -> Callable[[], int]:
    """Have the next calls of DynamoDB answered by `faults`; says how many are left."""
    inject(api.services.dynamodb, faults)
    return lambda: len(faults)


@pytest.mark.parametrize("fault", [THROTTLED, BROKEN])
def test_faults_that_pass_are_not_seen(api: Caller, fault: Fault) -> None:
    left = injected(api, [fault, fault])
    job = api("POST", "/analytics/jobs", QUESTION, {"Idempotency-Key": "k"})
    assert (job.status, left()) == (202, 0)
    assert api("GET", "/analytics/jobs").json["jobs"] == [job.json]


@pytest.mark.parametrize("fault", [THROTTLED, BROKEN])
def test_faults_that_stay_are_503(api: Caller, fault: Fault) -> None:
    faults = [fault] * 30
    injected(api, faults)
    answer = api("POST", "/analytics/jobs", QUESTION, {"Idempotency-Key": "k"})
    assert (answer.status, answer.json["code"]) == (503, "unavailable"), answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert "slow down" not in answer.text
    faults.clear()
    job = api("POST", "/analytics/jobs", QUESTION, {"Idempotency-Key": "k"})
    assert job.status == 202
    assert [each["id"] for each in api("GET", "/analytics/jobs").json["jobs"]] == [job.json["id"]]


@pytest.mark.parametrize("calls", range(1, 4))
def test_function_killed_on_its_way(api: Caller, calls: int) -> None:
    """Whichever of its writes was the last, the same request again gives one job."""
    seen = 0

    class Killed(BaseException):
        """As SIGKILL is: nothing below catches it."""

    def kill(request: Any, **_context: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == calls + 1:
            raise Killed

    events = api.services.dynamodb.meta.events
    events.register("before-send.dynamodb", kill)
    with suppress(Killed):
        api("POST", "/analytics/jobs", QUESTION, {"Idempotency-Key": "k"})
    events.unregister("before-send.dynamodb", kill)
    again = api("POST", "/analytics/jobs", QUESTION, {"Idempotency-Key": "k"})
    assert again.status == 202
    assert len(api("GET", "/analytics/jobs").json["jobs"]) == 1
