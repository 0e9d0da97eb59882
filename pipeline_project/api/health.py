"""`/health`: whether the parts that an answer needs can be reached."""

from pipeline_project.api.problems import Problem
from pipeline_project.api.replies import TRY_AGAIN_SECONDS, Reply
from pipeline_project.api.requests import Request
from pipeline_project.api.services import Services
from pipeline_project.errors import Transient


def health(request: Request, services: Services) -> Reply:
    """GET: 200, or 503 that names what is away. Dagster is not asked: without it submissions are still taken."""
    from pipeline_project.analytics.execution import data_version  # noqa: PLC0415 psycopg

    request.query()
    try:
        version = data_version(services.database)
    except Transient:
        again = {"Retry-After": str(TRY_AGAIN_SECONDS)}
        raise Problem("unavailable", "the database cannot be reached", headers=again) from None
    services.jobs.get("00000000-0000-0000-0000-000000000000")  # raises if the table cannot be read
    return Reply(200, {"status": "ok", "environment": services.settings.environment, "data_version": version})
