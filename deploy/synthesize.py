"""`python -m deploy.synthesize` writes what is committed of the synthesis, offline and without the CDK CLI:

deploy/templates/local.json, the template that the local stack deploys, so that `make run` need not import CDK; and
deploy/templates/prod.txt, what a reviewer wants to know of prod. A test holds both against a fresh synthesis.
"""

import json
import sys
import tempfile
from pathlib import Path

from deploy import environments
from deploy.app import add_stacks, app
from deploy.cloudformation import LOCAL_TEMPLATE
from deploy.environments import Environment
from deploy.review import review

PROD_REVIEW = LOCAL_TEMPLATE.with_name("prod.txt")
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


def local_template() -> str:
    """The template's text. The same sources give the same text on any machine."""
    with tempfile.TemporaryDirectory() as outdir:
        of_local = app(Path(outdir))
        from deploy.stacks.local_stack import LocalStack  # noqa: PLC0415 imports CDK

        LocalStack(of_local, "pipeline-local")
        return json.dumps(of_local.synth().stacks[0].template, indent=1, sort_keys=True) + "\n"


def synthesize(environment: Environment, outdir: Path) -> None:
    """All stacks of the environment into `outdir`, with an empty file for the function's code.

    An exception says what the policy (deploy/policy.py) found; so does `validation-report.json`.
    """
    outdir.mkdir(parents=True, exist_ok=True)
    code = outdir / "empty.zip"
    code.write_bytes(EMPTY_ZIP)
    of_environment = app(outdir)
    add_stacks(of_environment, environment, code)
    of_environment.synth()


def main() -> None:
    with tempfile.TemporaryDirectory() as outdir:
        synthesize(environments.load("prod"), Path(outdir))
        written = {LOCAL_TEMPLATE: local_template(), PROD_REVIEW: review(Path(outdir))}
    for path, text in written.items():
        path.write_text(text, "utf-8")
        sys.stdout.write(f"{path}: {len(text):,} bytes\n")


if __name__ == "__main__":
    main()
