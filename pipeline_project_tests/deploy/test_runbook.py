"""The shell function by which an operator runs a command on AWS, out of the runbook's text, with a stand-in for the AWS CLI."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline_project_tests.fix_stacks import Synthesis

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TASK = "arn:aws:ecs:eu-central-1:123456789012:task/cluster/abc"
AWS = """\
#!{python}
import json, os, re, sys
arguments = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
given = dict(zip(arguments, arguments[1:]))
match arguments[:2]:
    case ["cloudformation", "describe-stacks"]:
        name = re.search("OutputKey=='(.+)'", given["--query"])[1]
        stack = given["--stack-name"].removeprefix("pipeline-dev-")
        print(f"{{stack}}:{{name}}" if name in json.loads(os.environ["OUTPUTS"])[stack] else "")
    case ["ecs", "describe-services"]:
        print('{{"awsvpcConfiguration": {{"subnets": ["subnet 1"]}}}}')
    case ["ecs", "run-task"]:
        print(os.environ["STARTED"])
    case ["ecs", "describe-tasks"]:
        print(os.environ["ENDED"])
    case ["logs", "tail"]:
        print("what the task said")
    case ["ecs", "wait"]:
        sys.exit(int(os.environ["WAITED"]))
    case _:
        sys.exit(f"{{arguments}} is not expected")
"""


def function(document: Path, name: str) -> str:
    """The text of a shell function, as it is typed after the prompt."""
    found = re.search(rf"^ *\$ ({name}\(\) \{{.*?; \}})$", document.read_text("utf-8"), re.M | re.S)
    assert found, f"{document.name} has no {name}"
    return found[1]


class Operated(NamedTuple):
    status: int
    said: str
    calls: list[list[str]]

    def given(self, option: str, *command: str) -> str:
        """What one call of the CLI was given for the option."""
        [call] = [each for each in self.calls if each[: len(command)] == list(command)]
        return call[call.index(option) + 1]


class Shell:
    """`operate …` in a shell of an operator of dev."""

    def __init__(self, folder: Path, outputs: dict[str, list[str]]) -> None:
        self._folder = folder
        self._outputs = outputs
        stub = folder / "aws"
        stub.write_text(AWS.format(python=sys.executable), "utf-8")
        stub.chmod(0o755)
        readme, runbook = ROOT / "deploy" / "README.md", ROOT / "docs" / "operations-runbook.md"
        self._functions = f"{function(readme, 'output')}\n{function(runbook, 'operate')}\n"

    def operate(
        self, *command: str, started: str = TASK, waited: int = 0, ended: str = "0\tEssential container in task exited"
    ) -> Operated:
        calls = self._folder / "calls"
        calls.write_text("")
        answers = {"STARTED": started, "WAITED": str(waited), "ENDED": ended, "OUTPUTS": json.dumps(self._outputs)}
        path = f"{self._folder}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-uc", self._functions + 'operate "$@"', "bash", *command],
            env={"PATH": path, "CALLS": str(calls), "ENVIRONMENT": "dev", **answers},
            capture_output=True,
            text=True,
            check=False,
        )
        made = [json.loads(line) for line in calls.read_text("utf-8").splitlines()]
        return Operated(done.returncode, done.stdout + done.stderr, made)


@pytest.fixture
def shell(tmp_path: Path, synthesis: Synthesis) -> Shell:
    stacks = synthesis.environment("dev").items()
    return Shell(tmp_path, {name: list(stack.body.get("Outputs", {})) for name, stack in stacks})


def test_a_command_runs_in_a_task_of_its_own_and_what_it_said_is_shown(shell: Shell) -> None:
    done = shell.operate("pipeline", "replay", "--prefix", 'crm-data/a "b"')
    assert done.status == 0
    assert done.said == "what the task said\n0\tEssential container in task exited\n"
    assert done.given("--task-definition", "ecs", "run-task") == "orchestration:TaskDefinitionArn"
    assert done.given("--cluster", "ecs", "run-task") == "network:ClusterName"
    assert json.loads(done.given("--network-configuration", "ecs", "run-task"))["awsvpcConfiguration"]
    assert json.loads(done.given("--overrides", "ecs", "run-task")) == {
        "containerOverrides": [{"name": "run", "command": ["pipeline", "replay", "--prefix", 'crm-data/a "b"']}]
    }
    assert next(each[:3] for each in done.calls if each[0] == "logs") == ["logs", "tail", "orchestration:LogGroupName"]
    assert done.given("--log-stream-names", "logs", "tail") == "run/run/abc"
    assert done.given("--since", "logs", "tail") == "1d", "its default is the last ten minutes"


def test_a_migration_runs_in_the_task_that_has_the_right_to(shell: Shell) -> None:
    done = shell.operate("pipeline", "migrate")
    assert done.status == 0
    assert done.given("--task-definition", "ecs", "run-task") == "migration:TaskDefinitionArn"
    assert json.loads(done.given("--overrides", "ecs", "run-task"))["containerOverrides"][0]["name"] == "migration"
    assert done.given("--log-stream-names", "logs", "tail") == "migration/migration/abc"


@pytest.mark.parametrize(
    ("ended", "status"),
    [("1\tEssential container in task exited", 1), ("137\tOutOfMemory", 137), ("None\tCannotPullContainerError", 1)],
)
def test_the_status_is_the_commands(shell: Shell, ended: str, status: int) -> None:
    done = shell.operate("pipeline", "verify", ended=ended)
    assert (done.status, done.said.splitlines()) == (status, ["what the task said", ended])


@pytest.mark.parametrize("started", ["RESOURCE:FARGATE", "None", ""])
def test_a_task_that_does_not_start_is_not_waited_for(shell: Shell, started: str) -> None:
    done = shell.operate("pipeline", "health", started=started)
    assert (done.status, done.said) == (1, f"did not start: {started}\n")
    assert done.calls[-1][:2] == ["ecs", "run-task"]


def test_a_command_that_takes_too_long_is_no_success(shell: Shell) -> None:
    assert shell.operate("pipeline", "verify", waited=255).status == 255
