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
    # One key for two bodies is refused, as it should be; generated keys are often as short as "0".
    if re.fullmatch(r"[!-~]{1,200}", str(headers.get("Idempotency-Key", ""))):
        headers["Idempotency-Key"] = f"{headers['Idempotency-Key']}-{uuid.uuid4()}"
    if str(query.get("wait", "")).isdigit() and LONGEST_WAIT < int(query["wait"]) <= 25:
        query["wait"] = LONGEST_WAIT
