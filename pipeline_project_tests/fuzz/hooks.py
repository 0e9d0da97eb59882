"""What schemathesis cannot know from the document. `schemathesis.toml` beside this file names it."""

import functools
import json
import re
import urllib.request
import uuid
from typing import Any

import schemathesis

LONGEST_WAIT = 1
"""A long poll of 25 seconds that nothing ends would only take its time."""


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    headers, query = case.headers or {}, case.query or {}
    if case.meta.generation.mode.is_positive and isinstance(case.body, dict):
        _known_to_the_data(case.body, str(case.operation.base_url))
    # One key for two bodies is refused, as it should be; generated keys are often as short as "0".
    if re.fullmatch(r"[!-~]{1,200}", str(headers.get("Idempotency-Key", ""))):
        headers["Idempotency-Key"] = f"{headers['Idempotency-Key']}-{uuid.uuid4()}"
    if str(query.get("wait", "")).isdigit() and LONGEST_WAIT < int(query["wait"]) <= 25:
        query["wait"] = LONGEST_WAIT


def _known_to_the_data(body: dict[str, Any], url: str) -> None:
    """A text is all that a schema can ask for; what is no SQL, or no entity, is refused, as it should be."""
    parameters = body.get("parameters")
    if not isinstance(parameters, dict):
        return
    if body.get("operation") == "custom_complex_query" and "query" in parameters:
        parameters |= {"query": "SELECT count(*) AS entities FROM entities", "params": []}
    elif body.get("operation") == "relationship_network" and "root" in parameters:
        parameters["root"] = _an_entity(url)


@functools.cache
def _an_entity(url: str) -> str:
    """The id of an entity that this platform has; without one there is nothing to start a network from."""
    question = {"operation": "custom_complex_query", "parameters": {"query": "SELECT min(canonical_id) FROM entities"}}
    request = urllib.request.Request(  # noqa: S310 the address is that of the API under test
        f"{url}/analytics", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        [row] = json.load(response)["rows"]
    if row["min"] is None:
        raise LookupError("no entity is loaded: load some, so that networks of them can be asked for")
    return row["min"]
