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
    "ObjectsSettled": "Count",
    "ObjectsIgnored": "Count",
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
DIMENSIONS = {
    "source": {"RecordsLoaded", "RecordsRejected", "IngestLagSeconds", "BatchObjects", "BatchBytes", "IngestFailures"},
    "state": {"ObjectsSettled"},
    "operation": {"JobDurationSeconds", "JobsSucceeded", "JobsFailed", "CacheHits", "CacheMisses"},
}
"""What a metric may be of, beside the environment. Each value of a dimension is a metric that CloudWatch charges for."""


def emit(environment: str, values: Mapping[str, float], **of: str) -> None:
    """Write figures of now: for the environment, and again for what they are of, for instance `source="crm"`."""
    # To the standard output as it is now: Dagster replaces it while a step runs, and passes on what is written.
    sys.stdout.write(line(environment, values, at=time.time(), **of) + "\n")
    sys.stdout.flush()


def line(environment: str, values: Mapping[str, float], *, at: float, **of: str) -> str:
    """The line that `emit` writes; `at` is a Unix time. KeyError for a metric, or a dimension, that is not declared."""
    dimensions = {"Environment": environment, **{name.title(): value for name, value in of.items()}}
    sets = [["Environment"], *(["Environment", name.title()] for name in of)]
    if strange := {name for dimension in of for name in values if name not in DIMENSIONS[dimension]}:
        raise KeyError(f"{', '.join(sorted(strange))}: not known by {', '.join(of)}")
    metrics = [{"Name": name, "Unit": UNITS[name]} for name in values]
    directive = {"Namespace": NAMESPACE, "Dimensions": sets, "Metrics": metrics}
    about: dict[str, Any] = {"Timestamp": round(at * 1_000), "CloudWatchMetrics": [directive]}
    return msgspec.json.encode({"_aws": about, **dimensions, **values}).decode()
