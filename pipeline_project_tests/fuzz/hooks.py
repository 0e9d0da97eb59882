"""What schemathesis cannot know from the document. `schemathesis.toml` beside this file names it."""

import re
import uuid
from typing import Any

import schemathesis

LONGEST_WAIT = 1
"""A long poll of 25 seconds that nothing ends would only take its time."""


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    headers, query = case.headers or {}, case.query or {}
    if case.meta.generation.mode.is_positive and isinstance(case.body, dict):
        _known_to_the_data(case.body)
    # One key for two bodies is refused, as it should be; generated keys are often as short as "0".
    if re.fullmatch(r"[!-~]{1,200}", str(headers.get("Idempotency-Key", ""))):
        headers["Idempotency-Key"] = f"{headers['Idempotency-Key']}-{uuid.uuid4()}"
    if str(query.get("wait", "")).isdigit() and LONGEST_WAIT < int(query["wait"]) <= 25:
        query["wait"] = LONGEST_WAIT


def _known_to_the_data(body: dict[str, Any]) -> None:
    """A text is all that a schema can ask for; what is no SQL, or no entity, is refused, as it should be."""
    parameters = body.get("parameters")
    if body.get("operation") == "custom_complex_query" and isinstance(parameters, dict) and "query" in parameters:
        parameters |= {"query": "SELECT count(*) AS entities FROM entities", "params": []}
    elif body.get("operation") == "relationship_network":
        body |= {"operation": "simple_demo", "parameters": {}}
