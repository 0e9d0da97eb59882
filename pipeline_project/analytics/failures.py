"""What can go wrong with a query, as errors of our two families: one table from SQLSTATE, without PostgreSQL's own
text, which can quote data.
"""

import psycopg

from pipeline_project.errors import Permanent, Transient


class QueryTimedOut(Permanent):
    """The query took longer than it may."""


class QueryCancelled(Permanent):
    """Somebody cancelled the query."""


class QueryRefused(Permanent):
    """The query cannot be run as it is: it must be changed."""


class DatabaseUnavailable(Transient):
    """PostgreSQL is away, busy or full; the same query may succeed later."""


class QueryFailed(Permanent):
    """The query failed in a way that the platform did not foresee."""


TIMED_OUT = "the query took longer than it may; narrow it down or submit it as a job"
QUERY_CANCELED = "57014"

# The longest matching prefix of the SQLSTATE decides. https://www.postgresql.org/docs/18/errcodes-appendix.html
FAILURES: dict[str, tuple[type[Permanent | Transient], str]] = {
    "08": (DatabaseUnavailable, "the connection to PostgreSQL was lost"),
    "21": (QueryRefused, "a subquery that must give one row gives several"),
    "22": (QueryRefused, "a value does not fit: a cast, a range, a date or a regular expression"),
    "22012": (QueryRefused, "division by zero; nullif(divisor, 0) gives null instead"),
    "22003": (QueryRefused, "a number is out of the range of its type"),
    "25006": (QueryRefused, "queries only read"),
    "25P03": (QueryTimedOut, TIMED_OUT),
    "25P04": (QueryTimedOut, TIMED_OUT),
    "34": (QueryRefused, "not a single SELECT"),
    "40": (DatabaseUnavailable, "the query met another transaction; it can be tried again"),
    "42": (QueryRefused, "not valid SQL for this database"),
    "42501": (QueryRefused, "the query touches something that analytics may not see"),
    "42601": (QueryRefused, "syntax error"),
    "42702": (QueryRefused, "a column name is ambiguous; put its table in front"),
    "42703": (QueryRefused, "no such column"),
    "42803": (QueryRefused, "a column is neither grouped nor aggregated"),
    "42883": (QueryRefused, "no such function or operator for these types"),
    "42P01": (QueryRefused, "no such table; the tables are those that database_info lists"),
    "42P02": (QueryRefused, "a parameter $n without a value"),
    "53": (DatabaseUnavailable, "PostgreSQL has no resources left for the query"),
    "53200": (QueryRefused, "the query needs more memory than it may take; narrow it down"),
    "53400": (QueryRefused, "the query needs more temporary space than it may take; narrow it down"),
    "54": (QueryRefused, "the query or one of its rows is too large or too complex"),
    "54B01": (
        QueryRefused,
        "the arguments of a function are too large; shorten them, for example with left(text, 1000)",
    ),
    "55P03": (DatabaseUnavailable, "the query waited too long for a lock"),
    "57": (DatabaseUnavailable, "PostgreSQL is restarting or ended the session"),
    QUERY_CANCELED: (QueryCancelled, "the query was cancelled"),
}


def translated(error: psycopg.Error, *, timed_out: bool, position: int | None = None) -> Permanent | Transient:
    """The error to raise. `timed_out`: the time was up. `position`: of the fault in the caller's text, from 1."""
    state = error.sqlstate
    if timed_out and (state is None or state in (QUERY_CANCELED, "25P04")):
        return QueryTimedOut(TIMED_OUT)
    if state is None:
        # Raised on this side: a broken connection, or a value that Python cannot hold (a date after the year 9999).
        if isinstance(error, psycopg.OperationalError):
            return DatabaseUnavailable("the connection to PostgreSQL was lost")
        return QueryRefused("a value of the result or of the parameters cannot be represented")
    for length in (5, 4, 3, 2):
        if found := FAILURES.get(state[:length]):
            family, message = found
            return family(f"{message} (at character {position})" if position else message)
    return QueryFailed(f"the query failed with SQLSTATE {state}")
