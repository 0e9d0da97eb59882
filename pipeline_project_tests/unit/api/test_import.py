"""A cold start pays for each import of the handler: what is heavy, or of one route alone, waits for who needs it.

What may come with it is listed, too: a new library in the way of every cold start is to be a decision.
"""

import json
import subprocess
import sys

HEAVY = [
    "boto3",
    "botocore.client",
    "dagster",
    "google.protobuf",
    "pandas",
    "postgast",
    "psycopg",
    "pyarrow",
    "pydantic.v1",
    "typer",
    "urllib.request",
]
LATE = [
    "api.docs_page",
    "api.openapi",
    "analytics.execution",
    "analytics.guard",
    "aws",
    "database",
    "jobs.launch",
    "jobs.store",
    "notify",
    "results.encoders",
    "results.store",
]
LIBRARIES = {
    "annotated_types",
    "botocore",
    "msgspec",
    "pipeline_project",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
}


def test_nothing_heavy_is_imported() -> None:
    script = "import json, sys; before = set(sys.modules); import pipeline_project.api.handler; "
    script += "print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found = set(json.loads(done.stdout))
    late = {f"pipeline_project.{name}" for name in LATE}
    assert not [name for name in found if name in late or any(f"{name}.".startswith(f"{each}.") for each in HEAVY)]
    libraries = {name.partition(".")[0] for name in found} - sys.stdlib_module_names
    assert {name for name in libraries if not name.startswith("_")} <= LIBRARIES
