"""The errors of the REST facade: `application/problem+json` (RFC 9457) with a code of the table in errors.py.

A client decides by `code`. `title` says the same to a person and never changes. `detail` is about this request.
"""

from collections.abc import Mapping
from typing import Any

from pipeline_project.errors import CODES, PipelineError

CONTENT_TYPE = "application/problem+json"
STATUS_OF: Mapping[str, int] = {name: code.status for name, code in CODES.items() if code.status is not None}
"""HTTP status of each code that a request can be answered with, by the facade or by API Gateway."""


def document(code: str, detail: str, request_id: str) -> dict[str, Any]:
    """Give the body of an error, of the facade or of API Gateway."""
    return {
        "type": "about:blank",
        "title": CODES[code].title,
        "status": STATUS_OF[code],
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }


class Problem(PipelineError):
    """Error that a route or its helpers raise. The handler turns it into the answer."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        """Make a problem. `errors` lists single faults as {"field", "rule", "message"}."""
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = errors

    @property
    def status(self) -> int:
        return STATUS_OF[self.code]

    def document(self, request_id: str) -> dict[str, Any]:
        listed = {"errors": self.errors} if self.errors else {}
        return document(self.code, self.detail, request_id) | listed
