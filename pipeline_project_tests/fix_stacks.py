"""The CDK stacks as CloudFormation would be given them, synthesised once for all workers of a session."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline_project_tests.shared_postgres import exclusive

STACKS = ("network", "data", "migration", "app", "orchestration", "monitoring")


@dataclass(frozen=True)
class Template:
    """One stack's template."""

    body: dict[str, Any]

    def all(self, resource_type: str) -> dict[str, dict[str, Any]]:
        """Properties by logical id; there is at least one."""
        found = self.any(resource_type)
        assert found, f"no {resource_type}"
        return found

    def any(self, resource_type: str) -> dict[str, dict[str, Any]]:
        resources = self.body["Resources"].items()
        return {name: each.get("Properties", {}) for name, each in resources if each["Type"] == resource_type}

    def one(self, resource_type: str, prefix: str = "") -> tuple[str, dict[str, Any]]:
        (found,) = [(k, v) for k, v in self.all(resource_type).items() if k.startswith(prefix)]
        return found

    def depends(self, logical_id: str) -> list[str]:
        return self.body["Resources"][logical_id].get("DependsOn", [])

    def deletion(self, logical_id: str) -> str:
        return self.body["Resources"][logical_id]["DeletionPolicy"]


@dataclass(frozen=True)
class Synthesis:
    folder: Path

    def environment(self, name: str) -> Mapping[str, Template]:
        """Templates by stack. `name` is dev, staging or prod; or iam or jwt, which are dev with that authentication."""
        return {stack: Template(json.loads(self.path(name, stack).read_text("utf-8"))) for stack in STACKS}

    def path(self, name: str, stack: str) -> Path:
        (found,) = (self.folder / name).glob(f"pipeline-*-{stack}.template.json")
        return found

    def order(self, name: str) -> dict[str, set[str]]:
        """The stacks that each stack's deployment waits for, as the CDK's CLI reads them."""
        artifacts = json.loads((self.folder / name / "manifest.json").read_text("utf-8"))["artifacts"]
        stacks = {k.rpartition("-")[2]: v for k, v in artifacts.items() if v["type"] == "aws:cloudformation:stack"}
        return {
            stack: {each.rpartition("-")[2] for each in artifact.get("dependencies", [])} & stacks.keys()
            for stack, artifact in stacks.items()
        }

    def report(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / name / "validation-report.json").read_text("utf-8"))

    def unused_exceptions(self) -> list[list[str]]:
        return json.loads((self.folder / "unused.json").read_text("utf-8"))


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    return policy["PolicyDocument"]["Statement"]


def refuses_plain_http(policy: dict[str, Any]) -> bool:
    return any(
        each["Effect"] == "Deny" and each["Condition"].get("Bool") == {"aws:SecureTransport": "false"}
        for each in statements(policy)
    )


@pytest.fixture(scope="session")
def synthesis(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Synthesis:
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "synthesis"
    folder.mkdir(exist_ok=True)
    with exclusive(folder / "lock"):
        if not (folder / "output").exists():
            command = [sys.executable, "-m", "pipeline_project_tests.synthesis", str(folder)]
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
            (folder / "output").write_text(done.stderr if done.returncode else "", "utf-8")
    # What failed for one worker is not tried again by the other, nor by each test.
    failure = (folder / "output").read_text("utf-8")
    assert not failure, failure
    return Synthesis(folder)
