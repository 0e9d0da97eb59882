"""Names in Dagster. An asset key is `<layer>_<source>__<name>`, or `<layer>__<name>` for all sources. Tags begin with
`pipeline/`.
"""

import dagster as dg

from pipeline_project.canonical.tables import Table
from pipeline_project.jobs.launch import DAGSTER_JOB

LANDING = "landing"
CANONICAL = "canonical"
ANALYTICS = "analytics"
OWNERS = ["team:data-engineering"]

BATCH_TAG = "pipeline/batch"
SOURCE_TAG = "pipeline/source"
WEIGHT_TAG = "pipeline/weight"
HEAVY = "heavy"
SUSPECT = "suspect"
"""A run of objects whose worker died. It starts like a light run, but no other run waits for it."""
INGEST_POOL = "ingest"
ANALYTICS_POOL = "analytics"
INGEST_JOB = "ingest_job"
ANALYTICS_JOB = DAGSTER_JOB["jobName"]


def landing_key(source: str) -> dg.AssetKey:
    return dg.AssetKey(f"{LANDING}_{source}__objects")


def ingest_key(source: str) -> dg.AssetKey:
    return dg.AssetKey(f"{CANONICAL}_{source}__records")


def table_key(table: Table) -> dg.AssetKey:
    return dg.AssetKey(f"{table.schema}__{table.name}")


def result_key(operation: str) -> dg.AssetKey:
    return dg.AssetKey(f"{ANALYTICS}__{operation}")
