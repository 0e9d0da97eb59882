"""`/health`: whether the parts that an answer needs can be reached."""

from pipeline_project.api.http.problems import Problem
from pipeline_project.api.http.replies import TRY_AGAIN_SECONDS, Reply
from pipeline_project.api.http.requests import Request
from pipeline_project.services import Services


def health(request: Request, services: Services) -> Reply:
    """GET: 200, or 503 that names each part that is away, and why. Dagster is not asked: without it submissions are
    still taken."""
    from pipeline_project.analytics.execution import versions  # noqa: PLC0415 psycopg
    from pipeline_project.health import checks, faults  # noqa: PLC0415 botocore

    request.query()
    if away := faults(checks(services.settings, services.reader, services.client)):
        detail = "; ".join(f"{part}: {why}" for part, why in away.items())
        raise Problem("unavailable", detail, headers={"Retry-After": str(TRY_AGAIN_SECONDS)})
    version = versions(services.reader).data
    return Reply(200, {"status": "ok", "environment": services.settings.environment, "data_version": version})
