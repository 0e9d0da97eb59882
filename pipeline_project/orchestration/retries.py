"""The one policy of when a step is tried again: what may pass by itself, after 1, 2, 4, … seconds; nothing else.

Which errors those are is decided by their family (errors.py) and, for libraries, by database.py and aws.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._utils.interrupts import raise_interrupts_as

from pipeline_project import aws, database
from pipeline_project.errors import Permanent

RETRIES = 4
FIRST_PAUSE_SECONDS = 1.0


@contextmanager
def retried(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> Iterator[None]:
    """Turn errors of the block into what Dagster understands: try again later, or fail at once with the reason.

    Who terminates the run interrupts the block as Ctrl-C would: psycopg cancels its statement only for that.
    """
    try:
        with raise_interrupts_as(KeyboardInterrupt):
            yield
    except Exception as error:
        if database.is_transient(error) or aws.is_transient(error):
            pause = FIRST_PAUSE_SECONDS * 2**context.retry_number
            raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=pause) from error
        if isinstance(error, Permanent):
            raise dg.Failure(str(error), allow_retries=False) from error
        raise
