"""Who asks. API Gateway checks keys, signatures and tokens; here its findings become one name, to which jobs belong."""

import hashlib
from collections.abc import Mapping
from typing import Any

from pipeline_project.api.http.problems import Problem
from pipeline_project.api.http.requests import Request
from pipeline_project.settings import Settings

ANONYMOUS = "anonymous"


def principal(request: Request, settings: Settings) -> str:
    """`jwt:<subject>`, `iam:<arn>`, `key:<id>`, or `anonymous` where the settings admit nobody in particular."""
    claims: Mapping[str, Any] = request.authorizer.get("claims") or {}
    if subject := claims.get("sub") or request.authorizer.get("principalId"):
        return f"jwt:{subject}"
    if arn := request.identity.get("userArn"):
        return f"iam:{_without_session(arn)}"
    if key_id := request.identity.get("apiKeyId"):
        return f"key:{key_id}"
    if key := request.identity.get("apiKey"):
        # The key itself is a secret and must not get into records.
        return f"key:{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if settings.api_authentication == "gateway":
        raise Problem("unauthenticated", "call with an API key, a signature or a token")
    return ANONYMOUS


def _without_session(arn: str) -> str:
    """`…:assumed-role/<role>/<session>` is the same caller in every session."""
    return arn.rpartition("/")[0] if ":assumed-role/" in arn else arn
