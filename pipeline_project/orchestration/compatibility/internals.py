"""Check whether the internals of the installed Dagster are known.

Warm workers, pooled connections and JSON logs use parts of Dagster that can change in any release. With an unknown version,
the platform uses Dagster's own behaviour: slower, and with its own logs.
"""

import dagster as dg

TESTED = "1.13."
"""Versions of Dagster whose internals are known. unit/orchestration/test_internals.py lists what is used."""


def are_known() -> bool:
    return dg.__version__.startswith(TESTED)
