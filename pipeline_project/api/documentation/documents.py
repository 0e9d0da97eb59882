"""`/openapi.json` and `/docs`. What makes them is imported when they are asked for: other cold starts do not pay for it."""

from pipeline_project.analytics.catalogue import operations
from pipeline_project.api.http.replies import Links, Reply
from pipeline_project.api.http.requests import Request
from pipeline_project.services import Services

# The page holds its style and nothing else that a browser would run or fetch.
DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def openapi(request: Request, services: Services) -> Reply:
    from pipeline_project.api.documentation.openapi import document  # noqa: PLC0415

    request.query()
    return Reply(
        200,
        document(Links(request, services.settings).to("") or "/", operations().values()),
        {"Cache-Control": "max-age=300"},
    )


def docs(request: Request, services: Services) -> Reply:
    from pipeline_project.api.documentation.docs_page import page  # noqa: PLC0415
    from pipeline_project.api.documentation.openapi import document  # noqa: PLC0415

    request.query()
    text = page(document(Links(request, services.settings).to("") or "/", operations().values()))
    headers = {"Content-Security-Policy": DOCS_POLICY, "Cache-Control": "max-age=300"}
    return Reply(200, text, headers, "text/html; charset=utf-8")
