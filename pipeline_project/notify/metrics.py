"""The platform's own figures, written as log lines in CloudWatch's embedded metric format: CloudWatch makes metrics of them,
without a call and whoever writes them (Lambda, a task, a warm worker). `pipeline metrics` reads the same lines on a laptop.

Powertools' Metrics does this inside of a Lambda's invocation only, and gathers until its end.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import sys
import time
from collections.abc import Mapping
from typing import Any

import msgspec

NAMESPACE = "Pipeline"
UNITS = {
    "RecordsLoaded": "Count",
    "RecordsRejected": "Count",
    "IngestLagSeconds": "Seconds",
    "BatchObjects": "Count",
    "BatchBytes": "Bytes",
    "IngestFailures": "Count",
    "ObjectsWaiting": "Count",
    "OldestWaitingSeconds": "Seconds",
    "JobDurationSeconds": "Seconds",
    "JobsSucceeded": "Count",
    "JobsFailed": "Count",
    "CacheHits": "Count",
    "CacheMisses": "Count",
}
"""All metrics there are. `docs/operations-runbook.md` says what each tells."""


def emit(
    environment: str, values: Mapping[str, float], *, source: str | None = None, operation: str | None = None
) -> None:
    """Write figures of now: for the environment, and again for its source or operation if one is given."""
    # To the standard output as it is now: Dagster replaces it while a step runs, and passes on what is written.
    sys.stdout.write(line(environment, values, source=source, operation=operation, at=time.time()) + "\n")
    sys.stdout.flush()


def line(environment: str, values: Mapping[str, float], *, source: str | None, operation: str | None, at: float) -> str:
    """The line that `emit` writes; `at` is a Unix time."""
    dimensions = {"Environment": environment}
    sets = [["Environment"]]
    for name, value in (("Source", source), ("Operation", operation)):
        if value is not None:
            dimensions[name] = value
            sets.append(["Environment", name])
    metrics = [{"Name": name, "Unit": UNITS[name]} for name in values]
    directive = {"Namespace": NAMESPACE, "Dimensions": sets, "Metrics": metrics}
    about: dict[str, Any] = {"Timestamp": round(at * 1_000), "CloudWatchMetrics": [directive]}
    return msgspec.json.encode({"_aws": about, **dimensions, **values}).decode()
