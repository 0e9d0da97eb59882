"""The only retry policy of steps: transient errors are tried again after 1, 2, 4, … seconds. Other errors fail at once.

The family of an error (errors.py) decides whether it is transient. For errors of libraries, database.py and aws.py decide.
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
    """Convert errors of the block to Dagster's errors: try again later, or fail at once with the reason.

    If the run is terminated, the block gets a KeyboardInterrupt. psycopg cancels its statement only for that exception.
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
