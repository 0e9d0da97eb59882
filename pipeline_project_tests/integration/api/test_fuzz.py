"""schemathesis against the Lambda behind the gateway: all checks, stateful links. With bounds; in full by `make fuzz`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_project_tests.analytics_rows import edge, entity, insert
from pipeline_project_tests.fix_live_api import LiveApi

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "pipeline_project_tests" / "fuzz" / "schemathesis.toml"


@pytest.mark.slow
def test_schemathesis(live_api: LiveApi, tmp_path: Path) -> None:
    entities = [entity("crm_fuzz-1"), entity("crm_fuzz-2")]
    insert(live_api.database.loader, "entities", entities)
    insert(live_api.database.loader, "entity_relationships", [edge("crm_fuzz-1", "crm_fuzz-2")])
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "run"),
            *(
                f"{live_api.url}/openapi.json",
                "--checks",
                "all",
                "--max-examples",
                "5",
                "--max-time",
                "45",
                "--no-color",
            ),
            *(["--generation-deterministic"] if "CI" in os.environ else []),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    (tmp_path / "schemathesis.log").write_text(done.stdout, "utf-8")
    assert done.returncode == 0, done.stdout[-8000:]
