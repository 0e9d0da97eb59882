"""`python -m deploy.synthesize` writes deploy/templates/local.json, the template that the local stack deploys.

Offline and without the CDK CLI. The template is committed so that `make run` need not import CDK; a test holds it
against a fresh synthesis.
"""

import json
import sys
import tempfile
from pathlib import Path

from deploy.app import app
from deploy.cloudformation import LOCAL_TEMPLATE


def local_template() -> str:
    """The template's text. The same sources give the same text on any machine."""
    with tempfile.TemporaryDirectory() as outdir:
        of_local = app(Path(outdir))
        from deploy.stacks.local_stack import LocalStack  # noqa: PLC0415 imports CDK

        LocalStack(of_local, "pipeline-local")
        return json.dumps(of_local.synth().stacks[0].template, indent=1, sort_keys=True) + "\n"


def main() -> None:
    text = local_template()
    LOCAL_TEMPLATE.write_text(text, "utf-8")
    sys.stdout.write(f"{LOCAL_TEMPLATE}: {len(text):,} bytes\n")


if __name__ == "__main__":
    main()
