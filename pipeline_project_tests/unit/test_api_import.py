"""A cold start pays for each import of the handler: what is heavy waits for the request that needs it."""

import subprocess
import sys

HEAVY = ("boto3", "botocore.client", "dagster", "pandas", "pglast", "psycopg", "pyarrow", "typer")


def test_nothing_heavy_is_imported() -> None:
    script = f"import sys, pipeline_project.api.handler; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
