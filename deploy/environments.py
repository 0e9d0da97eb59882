"""The typed settings of each AWS environment: what differs between dev, staging and prod, and nothing else.

What is known only at deployment (code location, addresses, secret names) is a CloudFormation parameter of the stack.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Sizes and retentions of one environment."""

    name: str
    log_retention_days: int
    """One of the values CloudWatch Logs knows (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, …)."""
    job_result_days: int
    """How long result files of jobs are kept; not less than the job records (`job_retention_days`)."""
    requests_per_second: int
    """Steady rate that the API admits; a burst may be twice that."""
    trace_requests: bool
    """X-Ray traces of the API and its function."""


DEV = Environment(name="dev", log_retention_days=14, job_result_days=30, requests_per_second=50, trace_requests=False)
STAGING = Environment(
    name="staging", log_retention_days=30, job_result_days=30, requests_per_second=50, trace_requests=True
)
PROD = Environment(
    name="prod", log_retention_days=365, job_result_days=90, requests_per_second=200, trace_requests=True
)

ENVIRONMENTS = {environment.name: environment for environment in (DEV, STAGING, PROD)}
