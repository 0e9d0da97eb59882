"""The only place where Dagster's definitions are assembled. Loading it reads no settings and opens no connection.

What loads it is a process of Dagster's (code server, worker, a run of its own) that logs in this platform's way from then on.
"""

import dagster as dg

from pipeline_project.orchestration.assets.analytics import analytics_assets, refresh_sensor
from pipeline_project.orchestration.assets.checks import table_checks
from pipeline_project.orchestration.assets.ingest import ingest_assets, ingest_job
from pipeline_project.orchestration.assets.landing import landing_assets
from pipeline_project.orchestration.assets.tables import table_assets
from pipeline_project.orchestration.automation.analytics_job import analytics_job
from pipeline_project.orchestration.automation.housekeeping import housekeeping
from pipeline_project.orchestration.automation.landing_sensors import landing_sensors
from pipeline_project.orchestration.automation.run_sensors import backlog_sensor, ingest_events, job_sensor, run_events
from pipeline_project.orchestration.automation.schedules import refresh_jobs, refresh_schedules
from pipeline_project.orchestration.compatibility import run_logger
from pipeline_project.services import Services


def definitions(platform: Services) -> dg.Definitions:
    """Everything, on this platform."""
    return dg.Definitions(
        assets=[*landing_assets(), *ingest_assets(), *table_assets(), *analytics_assets()],
        asset_checks=table_checks(),
        jobs=[ingest_job(), analytics_job, *refresh_jobs(), housekeeping],
        sensors=[*landing_sensors(), refresh_sensor(), run_events, ingest_events, job_sensor, backlog_sensor],
        schedules=refresh_schedules(),
        resources={"platform": platform},
        # A process for each step would cost seconds a run; the steps of a run are few and mostly wait for PostgreSQL.
        executor=dg.in_process_executor,
    )


run_logger.install()
defs = definitions(Services())
