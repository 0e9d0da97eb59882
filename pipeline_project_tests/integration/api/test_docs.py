"""docs/api.md walks a person through the API: each of its commands is run here, in one shell, against the live API."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_project.api.http.problems import STATUS_OF
from pipeline_project_tests.fix_live_api import LiveApi

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
SEPARATOR = "=== next"
# What the answer to each command must show, in the order of the page.
SHOWN = (
    '"name":"revenue_analysis"',
    '"parameters":{"metric":"revenue","group_by":"industry","top_n":3}',
    '"operation":"revenue_analysis"',
    "304",
    '"rows":[{"amount":"1234567890123456.78"}]',
    '"reason":"asked"',
    "/analytics/jobs/",
    '"state":"SUCCEEDED"',
    "table_name,row_count",
    '"offset":2,"row_count":2,',
    '"state":"SUCCEEDED"',
    '"next_cursor":',
    '"labels":{"team":"finance","report":"weekly"}',
    '"code":"invalid_parameters"',
    '"content_type":"text/csv; charset=utf-8"',
    '"status":"ok"',
    "SUCCEEDED",
)


@pytest.mark.slow
def test_every_command(live_api: LiveApi) -> None:
    assert len(COMMANDS) == len(SHOWN)
    script = f"\necho; echo '{SEPARATOR}'\n".join(COMMANDS)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={
            "API": live_api.url,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", "/"),
            "NO_PROXY": "127.0.0.1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    answers = done.stdout.split(SEPARATOR)
    for command, shown, answer in zip(COMMANDS, SHOWN, answers, strict=True):
        assert shown in answer, (command, answer, done.stderr)
    assert done.returncode == 0, done.stderr


def test_every_code_is_explained() -> None:
    table = {
        word
        for line in PAGE.splitlines()
        if re.match(r"\| [0-9]{3}", line)
        for word in re.findall(r"`([a-z_]+)`", line)
    }
    codes = {
        word for word in table if "_" in word or word in ("unavailable", "timeout", "forbidden", "unauthenticated")
    }
    assert STATUS_OF.keys() == codes - {"request_id"}
