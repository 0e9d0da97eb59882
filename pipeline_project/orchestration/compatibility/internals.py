"""Warm workers, kept connections and lines of JSON use what Dagster does not promise to keep. One whose internals are not known
is left as it is: slower, and with its own logs.
"""

import dagster as dg

TESTED = "1.13."
"""Versions of Dagster whose internals are known; test_orchestration_internals.py says what is used of them."""


def are_known() -> bool:
    return dg.__version__.startswith(TESTED)
