"""Who is told by e-mail, and of what."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_project_tests.deploy.test_local_template import ROOT

# A process of its own gives back the 237 MB that CDK takes.
SYNTHESIZE = """
import json, pathlib, sys
from deploy.app import app
made = app(pathlib.Path(sys.argv[1]))
import aws_cdk as cdk
from deploy.parts.topics import events_topic, tell_of_trouble
stack = cdk.Stack(made, "topics")
tell_of_trouble(events_topic(stack), ["a@example.com", "b@example.com"])
print(json.dumps(made.synth().get_stack_by_name("topics").template))
"""


@pytest.mark.slow
def test_addresses_of_the_settings_hear_of_trouble_and_of_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SYNTHESIZE, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120)
    resources = json.loads(done.stdout)["Resources"].values()
    found = [each["Properties"] for each in resources if each["Type"] == "AWS::SNS::Subscription"]
    assert [(each["Protocol"], each["Endpoint"]) for each in found] == [
        ("email", "a@example.com"),
        ("email", "b@example.com"),
    ]
    for each in found:
        told = {
            "pipeline.ingest.failed.v1",
            "pipeline.ingest.rejected.v1",
            "pipeline.ingest.snapshot_waits.v1",
            "pipeline.ingest.columns_vanished.v1",
            "pipeline.run.failed.v1",
        }
        assert set(each["FilterPolicy"]["type"]) == told
