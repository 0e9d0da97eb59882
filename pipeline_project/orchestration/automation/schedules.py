"""Schedules, in UTC, and the jobs that they start."""

import dagster as dg

from pipeline_project.orchestration.assets.analytics import refreshed_operations
from pipeline_project.orchestration.assets.checks import table_checks
from pipeline_project.orchestration.automation.housekeeping import housekeeping
from pipeline_project.orchestration.names import result_key

DAILY = "daily_refresh"
MONTHLY = "monthly_refresh"
CRONS = {DAILY: "0 5 * * *", MONTHLY: "30 5 1 * *", housekeeping.name: "0 3 * * *"}


def refresh_jobs():  # the type of its result is private to dagster
    """Return the jobs that refresh results: each day all except the monthly ones, each month all."""
    operations = refreshed_operations()
    daily = [result_key(operation.name) for operation in operations if not operation.monthly]
    every = [result_key(operation.name) for operation in operations]
    # Checks are in the same run, so that a failed blocking check stops the results that use its table.
    checks = dg.AssetSelection.checks(*(key for check in table_checks() for key in check.check_keys))
    return [
        dg.define_asset_job(
            DAILY,
            selection=dg.AssetSelection.assets(*daily) | checks,
            description="Checks the tables, then refreshes the results of every day.",
        ),
        dg.define_asset_job(
            MONTHLY,
            selection=dg.AssetSelection.assets(*every) | checks,
            description="Checks the tables, then refreshes all results.",
        ),
    ]


def refresh_schedules() -> list[dg.ScheduleDefinition]:
    return [
        dg.ScheduleDefinition(
            name=f"{job}_schedule",
            job_name=job,
            cron_schedule=cron,
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )
        for job, cron in CRONS.items()
    ]
