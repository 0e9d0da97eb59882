"""The errors of the REST facade: `application/problem+json` (RFC 9457) with a stable code, one table of all of them.

A client decides by `code`. `title` says the same to a person, always alike; `detail` is about this request.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline_project.errors import PipelineError

CONTENT_TYPE = "application/problem+json"


class Kind(NamedTuple):
    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "bad_request": Kind(400, "The request was refused"),
    "malformed_json": Kind(400, "The body is not a JSON document this API accepts"),
    "invalid_query": Kind(400, "The query string is not one this route takes"),
    "invalid_header": Kind(400, "A header is malformed"),
    "invalid_cursor": Kind(400, "The cursor is not one this listing gave out"),
    "unauthenticated": Kind(401, "The request names nobody"),
    "not_found": Kind(404, "There is nothing here"),
    "method_not_allowed": Kind(405, "This path does not take the method"),
    "not_acceptable": Kind(406, "The result is not kept in that format"),
    "job_not_finished": Kind(409, "The job is not at an end yet"),
    "job_without_result": Kind(409, "The job ended without a result"),
    "result_expired": Kind(410, "The result is no longer kept"),
    "request_too_large": Kind(413, "The request body is too large"),
    "unsupported_media_type": Kind(415, "The body must be application/json"),
    "unknown_operation": Kind(422, "There is no such operation"),
    "invalid_parameters": Kind(422, "The operation does not take these parameters"),
    "invalid_body": Kind(422, "The body is not of the form this route takes"),
    "query_refused": Kind(422, "The query cannot be run as it is"),
    "idempotency_key_reused": Kind(422, "The Idempotency-Key was used for another request"),
    "not_inline": Kind(422, "This cannot be answered at once; POST it, and it becomes a job"),
    "too_many_jobs": Kind(429, "Too many of your jobs are not at an end"),
    "internal_error": Kind(500, "The service failed to answer"),
    "unavailable": Kind(503, "The service cannot answer now; try again"),
}
GATEWAY_KINDS: Mapping[str, Kind] = {
    "forbidden": Kind(403, "The caller is not known, or may not do this"),
    "too_many_requests": Kind(429, "Too many requests; try again later"),
    "quota_exceeded": Kind(429, "The quota of this API key is used up"),
    "timeout": Kind(504, "The service did not answer in time"),
}
"""What API Gateway says by itself (deploy/parts/rest.py), before a request reaches a route, or when no answer comes back."""
ALL_KINDS: Mapping[str, Kind] = {**KINDS, **GATEWAY_KINDS}


def document(code: str, detail: str, request_id: str) -> dict[str, Any]:
    """The body of every error, whoever answers."""
    kind = ALL_KINDS[code]
    return {
        "type": "about:blank",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }


class Problem(PipelineError):
    """Raised anywhere below a route; the handler turns it into the answer."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        """`errors` lists single faults as {"field", "rule", "message"}."""
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = errors

    @property
    def status(self) -> int:
        return KINDS[self.code].status

    def document(self, request_id: str) -> dict[str, Any]:
        listed = {"errors": self.errors} if self.errors else {}
        return document(self.code, self.detail, request_id) | listed
