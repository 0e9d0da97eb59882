"""`python -m deploy.synthesize` writes deploy/templates/app.json, the template that the local stack deploys.

Offline and without the CDK CLI. The template is committed so that `make run` need not import CDK; a test holds it
against a fresh synthesis.
"""

import json
import sys
import tempfile
from pathlib import Path

from deploy.app import build
from deploy.environments import DEV

TEMPLATES = Path(__file__).with_name("templates")


def templates(environment_name: str) -> dict[str, str]:
    """The text of each stack's template by file name. The same input gives the same text on any machine."""
    with tempfile.TemporaryDirectory() as outdir:
        assembly = build(environment_name, Path(outdir)).synth()
        prefix = f"pipeline-{environment_name}-"
        return {
            f"{stack.stack_name.removeprefix(prefix)}.json": json.dumps(stack.template, indent=1, sort_keys=True) + "\n"
            for stack in assembly.stacks
        }


def main() -> None:
    TEMPLATES.mkdir(exist_ok=True)
    for name, text in templates(DEV.name).items():
        (TEMPLATES / name).write_text(text, "utf-8")
        sys.stdout.write(f"{TEMPLATES / name}: {len(text):,} bytes\n")


if __name__ == "__main__":
    main()
