"""Traces of runs, for AWS X-Ray, which has those of gateway and function by itself: `PIPELINE_TRACES=x-ray`, off by default.

    request ──► function ──► job record (`trace`) ──► tag of the run ──► segment of the run, in the request's own trace

A segment is one call at the end of a run: no thread, no agent, nothing to import. S3's events carry no trace, so those of ingest
runs begin with the run. https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html
"""

import json
import logging
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipeline_project import logs

HEADER = re.compile(r"Root=(?P<trace>1-[0-9a-f]{8}-[0-9a-f]{24})(;Parent=(?P<parent>[0-9a-f]{16}))?;Sampled=1")
"""Of a request whose trace is kept; most are not. https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html"""

log = logging.getLogger("pipeline.traces")


@contextmanager
def segment(xray: Any, name: str, header: str | None = None, **annotations: str | int) -> Iterator[dict[str, Any]]:
    """What the block does, as a segment of the trace that `header` names, or of a new one; what is searched for later goes
    into the dict that the block is given. `xray` is a boto3 client; None: nothing is traced.
    """
    if xray is None or (header is not None and not HEADER.match(header)):
        yield {}
        return
    begin = time.time()
    joined = HEADER.match(header) if header else None
    trace = joined["trace"] if joined else f"1-{int(begin):08x}-{secrets.token_hex(12)}"
    found: dict[str, Any] = dict(annotations)
    fault = False
    try:
        with logs.about(trace_id=trace):
            yield found
    except BaseException:
        fault = True
        raise
    finally:
        document = {
            "name": name,
            "id": secrets.token_hex(8),
            "trace_id": trace,
            "parent_id": joined["parent"] if joined else None,
            "start_time": begin,
            "end_time": time.time(),
            "fault": fault,
            "annotations": found,
        }
        _send(xray, {key: value for key, value in document.items() if value is not None})


def _send(xray: Any, document: dict[str, Any]) -> None:
    """A trace that is lost is no reason for a run to fail."""
    try:
        refused = xray.put_trace_segments(TraceSegmentDocuments=[json.dumps(document)])["UnprocessedTraceSegments"]
    except (BotoCoreError, ClientError) as error:
        refused = [type(error).__name__]
    if refused:
        log.warning("a trace was not taken: %s", refused[0])
