"""What takes long and what is quick, on one platform: real daemon, workers, storage and tables."""

import json
from collections import Counter

import psycopg
import pytest
import yaml

from pipeline_project.local.stack import DAGSTER_YAML
from pipeline_project_tests.live_stack import LiveStack, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

LIMITS = yaml.safe_load("".join(part.read_text("utf-8") for part in DAGSTER_YAML))
POOL = LIMITS["concurrency"]["pools"]["default_limit"]
SLOW = 2 * POOL
KEY = "crm-data/queue/quick.json"
STATE = b"SELECT count(*) FROM ingest.objects WHERE key = %s AND state = 'loaded'"


def refresh(stack: LiveStack, operation: str) -> str:
    selection = [{"path": [f"analytics__{operation}"]}]
    return stack.launch("__ASSET_JOB", selector={"assetSelection": selection})


def test_a_file_is_loaded_while_analytics_has_all_that_it_may_have(stack: LiveStack) -> None:
    assert stack.ended(refresh(stack, "simple_demo")) == "SUCCESS"  # from here on Dagster knows the pool
    with psycopg.connect(stack.state.psql_conninfo("owner")) as blocker:
        # Entities are loaded without it.
        blocker.execute("LOCK TABLE canonical.time_series_data IN ACCESS EXCLUSIVE MODE")
        runs = [refresh(stack, "time_series_patterns") for _ in range(SLOW)]
        until(lambda: Counter(map(stack.status, runs))["STARTED"] == POOL)
        stack.upload(KEY, json.dumps([{"customer_id": "queue-1", "company_name": "Alder"}]).encode())
        until(lambda: stack.sql(STATE, (KEY,)) == [(1,)])
        assert Counter(map(stack.status, runs)) == {"STARTED": POOL, "QUEUED": SLOW - POOL}
    for run_id in runs:
        stack.ended(run_id)
