"""Questions answered while the caller waits: from the cache, or from the database within bounds of time and size."""

import hashlib
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pipeline_project import exact_json
from pipeline_project.api.routes.questions import Question
from pipeline_project.errors import Permanent
from pipeline_project.jobs.cache import Kept, Refusal, cache_key
from pipeline_project.jobs.model import Reason
from pipeline_project.results.options import Format
from pipeline_project.services import Services

if TYPE_CHECKING:
    from pipeline_project.analytics.execution import Versions

WAIT_SECONDS = 0.05
"""How long one waits between two looks for the answer to a question that somebody else has asked."""
CLAIM_SECONDS = 5
"""How much longer than its query a claim lasts."""
AS_MUCH = 1.1
"""Of the time that did not suffice another: so little more is not tried."""


class Answer(NamedTuple):
    """An answer. `hit`: it was cached; `kept`: it is cached now."""

    content: Kept
    hit: bool
    kept: bool = True


class TooMuch(Permanent):
    """It cannot be answered at once. `reason` is what the job's record will say."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason


def answer(services: Services, question: Question, seconds: float, *, fresh: bool = False) -> Answer:
    """Answer a question within `seconds`, and count a cache hit or miss. `fresh`: ask the database whatever is cached.

    Raises TooMuch, and the errors of analytics/failures.py.
    """
    from pipeline_project.notify import metrics  # noqa: PLC0415 answers alone are counted

    found = _answer(services, question, seconds, fresh)
    figures = {"CacheHits" if found.hit else "CacheMisses": 1}
    metrics.emit(services.settings.environment, figures, operation=question.operation.name)
    return found


def _answer(services: Services, question: Question, seconds: float, fresh: bool) -> Answer:
    """Take the answer from the cache or the database. Of several callers with one question, one asks the database and the
    others wait for its answer."""
    from pipeline_project.analytics.execution import versions  # noqa: PLC0415 psycopg

    if not (question.operation.lasting and question.parameters.lasting):
        return Answer(Kept.of(_ask(services, question, seconds).body), hit=False, kept=False)
    deadline = time.monotonic() + seconds
    while not fresh:
        # Looked up each time around: a load may come while one waits.
        key = _key(question, versions(services.reader))
        left = deadline - time.monotonic()
        if kept := _kept(services, key, left):
            return kept
        if left <= 0:
            raise TooMuch("slow", f"the answer takes longer than {seconds:g} s")
        if token := services.cache.claim(key, left + CLAIM_SECONDS):
            try:
                # Perhaps it was put between the look and the claim.
                return _kept(services, key, left) or _stored_or_refused(services, question, left, key)
            finally:
                services.cache.release(key, token)
        time.sleep(min(WAIT_SECONDS, left))
    return _stored(services, question, seconds)


def _kept(services: Services, key: str, seconds: float) -> Answer | None:
    """Raises TooMuch if somebody with as much time was told so just now."""
    match services.cache.get(key):
        case Refusal(reason, detail, given) if given is None or seconds <= given * AS_MUCH:
            raise TooMuch(reason, detail)
        case Kept() as content:
            return Answer(content, hit=True)
    return None


def _stored_or_refused(services: Services, question: Question, seconds: float, key: str) -> Answer:
    """As `_stored`; that it is too much is kept as well."""
    try:
        return _stored(services, question, seconds)
    except TooMuch as error:
        given = seconds if error.reason == "slow" else None
        services.cache.refuse(key, Refusal(error.reason, str(error), given))
        raise


def _stored(services: Services, question: Question, seconds: float) -> Answer:
    """Asked of the database, and kept."""
    told = _ask(services, question, seconds)
    content = Kept.of(told.body)
    services.cache.put(_key(question, told.versions), content)
    return Answer(content, hit=False)


def _key(question: Question, versions: "Versions") -> str:
    operation = question.operation
    code_version = hashlib.sha256(operation.statement).hexdigest()
    parameters, options = question.parameters.as_json(), question.options.chosen()
    return cache_key(operation.name, code_version, parameters, options, versions.data, versions.schema)


def _smaller(asked: int | None, ours: int) -> int:
    return ours if asked is None else min(asked, ours)


class _Told(NamedTuple):
    """By the database. `versions` are those that it shows: a load may have come since the question was looked up."""

    body: bytes
    versions: "Versions"


def _ask(services: Services, question: Question, seconds: float) -> _Told:
    from pipeline_project.analytics.execution import execute  # noqa: PLC0415 psycopg
    from pipeline_project.analytics.failures import QueryTimedOut  # noqa: PLC0415
    from pipeline_project.results.encoders import encoder, within  # noqa: PLC0415

    settings = services.settings
    operation, parameters = question.operation, question.parameters
    options = msgspec.structs.replace(question.options, format=Format.NDJSON)
    row_limit = _smaller(options.row_limit, settings.inline_rows)
    byte_limit = _smaller(options.byte_limit, settings.inline_bytes)
    batches: list[bytes] = []
    size = 0
    try:
        with execute(services.reader, operation, parameters, timeout_seconds=seconds, row_limit=row_limit) as found:
            lines = encoder(options, found.columns)
            for batch in found if byte_limit == settings.inline_bytes else within(found, options, byte_limit):
                batches.append(lines.batch(batch))
                size += len(batches[-1])
                if size > settings.inline_bytes:
                    raise TooMuch("large", f"the answer has more than {settings.inline_bytes:,} bytes")
    except QueryTimedOut:
        raise TooMuch("slow", f"the answer takes longer than {seconds:g} s") from None
    # A caller who sets a smaller limit than ours wants to have rows left out.
    if found.truncated and (row_limit, byte_limit) == (settings.inline_rows, settings.inline_bytes):
        raise TooMuch("large", f"the answer has more than {settings.inline_rows:,} rows")
    head = {
        "operation": operation.name,
        "parameters": parameters.as_json(),
        "data_version": found.data_version,
        "columns": found.columns,
        "row_count": lines.rows,
        "truncated": found.truncated,
    }
    rows = b"".join(batches)[:-1].replace(b"\n", b",")
    return _Told(exact_json.encode(head)[:-1] + b',"rows":[' + rows + b"]}", found.versions)
