"""Synthesises all stacks into a folder, once for all tests of a session: in a process of its own, which gives back the
237 MB that CDK takes.

`python -m pipeline_project_tests.synthesis FOLDER`: a folder for each environment, and for dev with each way to
authenticate; `unused.json` lists exceptions to the policy that no finding asks for.
"""

import json
import sys
from pathlib import Path

from msgspec.structs import replace

from deploy import environments
from deploy.environments import Environment
from deploy.synthesize import synthesize

POOL = "arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_Example"


def variants() -> dict[str, Environment]:
    found = {name: environments.load(name) for name in environments.NAMES}
    dev = found["dev"]
    for authentication, pool in (("iam", None), ("jwt", POOL)):
        found[authentication] = replace(dev, api=replace(dev.api, authentication=authentication, user_pool_arn=pool))
    return found


def main(folder: Path) -> None:
    reasons: set[str] = set()
    for name, environment in variants().items():
        synthesize(environment, folder / name)
        for report in json.loads((folder / name / "validation-report.json").read_text("utf-8"))["pluginReports"]:
            reasons |= {f"{each['ruleName']}: {each['reason']}" for each in report.get("suppressedViolations", [])}

    from deploy import policy  # noqa: PLC0415 imports CDK

    named = {"network": "pipeline-prod-network", "data": "pipeline-prod-data", "region": "eu-central-1"}
    unused = []
    for path, finding, reason in policy.EXCEPTIONS + policy.NOT_IN_PROD:
        rule = finding
        for placeholder, value in named.items():
            rule = rule.replace(f"{{{placeholder}}}", value)
        if not any(used.removesuffix(f": {reason}") == f"AwsSolutions-{rule}" for used in reasons):
            unused.append([path, finding])
    (folder / "unused.json").write_text(json.dumps(unused), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
