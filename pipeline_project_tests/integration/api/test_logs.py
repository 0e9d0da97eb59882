"""What the function leaves in CloudWatch Logs, as the emulator keeps it: lines of JSON with the request's id, and no secret."""

import json
import urllib.request
from contextlib import closing
from urllib.error import HTTPError

import pytest

from pipeline_project.aws import client
from pipeline_project_tests.fix_live_api import LiveApi

pytestmark = pytest.mark.slow
OF_LAMBDA = ("START ", "END ", "REPORT ", "INIT_START ")
SECRET = "a value that nobody else may read"


def test_requests_are_logged_as_json_without_what_was_asked(live_api: LiveApi) -> None:
    with urllib.request.urlopen(f"{live_api.url}/analytics?operation=simple_demo") as answer:  # noqa: S310
        good = answer.headers["X-Request-Id"]
    body = {"operation": "custom_complex_query", "parameters": {"query": f"SELECT '{SECRET}' FROM nowhere"}}
    request = urllib.request.Request(  # noqa: S310
        f"{live_api.url}/analytics", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with pytest.raises(HTTPError) as refused, urllib.request.urlopen(request):  # noqa: S310
        pass
    bad = json.load(refused.value)["request_id"]
    lines = []
    with closing(client(live_api.cloud.account.settings, "logs")) as logs:
        for group in logs.describe_log_groups()["logGroups"]:
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
                lines += [event["message"].strip() for event in page["events"]]
    said = [json.loads(line) for line in lines if line and not line.startswith(OF_LAMBDA)]
    statuses = {line.get("request_id"): line.get("status") for line in said}
    assert (statuses[good], statuses[bad]) == (200, 422)
    assert not [line for line in lines if SECRET in line]
    for name in ("reader", "loader", "owner"):
        assert not [line for line in lines if json.loads(live_api.database.secret(name))["password"] in line]
