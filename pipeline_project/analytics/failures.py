"""The reasons why a query can fail, as errors of our two families. One table decides by SQLSTATE, for REST and jobs alike.

The messages are ours: PostgreSQL's own text can quote data.
"""

from typing import NamedTuple

import psycopg

from pipeline_project.errors import Permanent, Transient


class QueryTimedOut(Permanent):
    """The query took longer than it may."""

    code = "unavailable"


class QueryCancelled(Permanent):
    """Another session cancelled the query."""

    code = "unavailable"


class QueryRefused(Permanent):
    """The query caused the error and must be changed."""

    code = "query_refused"


class DatabaseUnavailable(Transient):
    """PostgreSQL is away, busy or full; the same query may succeed later."""

    code = "unavailable"


class QueryFailed(Permanent):
    """The platform or the database caused the error."""

    code = "internal_error"


class Decision(NamedTuple):
    """The error to raise for some SQLSTATEs. The `message` says what happened and what to do."""

    error: type[Permanent | Transient]
    message: str


TIMED_OUT = "the query took longer than it may; narrow it down or submit it as a job"
TOO_MUCH_MEMORY = "the query needs more memory than it may take; narrow it down"
QUERY_CANCELED = "57014"

_OURS = Decision(QueryFailed, "the query failed for a reason on the platform's side; report the request_id")
_TIMED_OUT = Decision(QueryTimedOut, TIMED_OUT)
_ONLY_READ = Decision(QueryRefused, "queries only read; remove what writes or locks")

# Key: a class (two characters) or a code. A code goes before its class. A test compares the table with PostgreSQL's own list.
# https://www.postgresql.org/docs/18/errcodes-appendix.html
FAILURES: dict[str, Decision] = {
    # Success, warnings and "no data" are no errors: if one arrives as an error, the platform is at fault.
    "00": _OURS,
    "01": _OURS,
    "02": _OURS,
    "03": _OURS,
    "08": Decision(DatabaseUnavailable, "the connection to PostgreSQL was lost; try again"),
    "09": _OURS,
    "0A": Decision(
        QueryRefused,
        "PostgreSQL does not support this combination, for example DISTINCT or WITHIN GROUP together with OVER, "
        "FULL JOIN on an inequality, a function that gives several rows inside CASE or COALESCE, "
        "or the hour of a date; write it in another way",
    ),
    "0B": _OURS,
    "0F": _OURS,
    "0L": _OURS,
    "0P": _OURS,
    "0Z": _OURS,
    "10": Decision(
        QueryRefused, "an argument is not valid for an XQuery regular expression; correct the pattern or flags"
    ),
    "20": _OURS,
    "21": Decision(QueryRefused, "a subquery that must give one row gives several; add LIMIT 1 or an aggregate"),
    "22": Decision(
        QueryRefused, "a value is not valid where it is used; check casts, ranges and arguments of functions"
    ),
    "22001": Decision(QueryRefused, "a text is longer than its type allows; shorten it or cast to text"),
    "22003": Decision(QueryRefused, "a number is out of the range of its type; cast to numeric for a larger range"),
    "22007": Decision(QueryRefused, "a text is not a date or time; write dates as 2026-01-31"),
    "22008": Decision(QueryRefused, "a date or time is out of range, or does not exist in the calendar"),
    "22012": Decision(QueryRefused, "division by zero; nullif(divisor, 0) gives null instead"),
    "22019": Decision(QueryRefused, "the escape of a pattern is not a single character; correct ESCAPE"),
    "2201B": Decision(QueryRefused, "a regular expression is not valid; check its brackets and escapes"),
    "2201E": Decision(QueryRefused, "the logarithm of zero or of a negative number; filter with WHERE value > 0"),
    "2201F": Decision(QueryRefused, "a power or root that has no real value; check the sign of the base"),
    "2201W": Decision(QueryRefused, "LIMIT is negative; use zero or more"),
    "2201X": Decision(QueryRefused, "OFFSET is negative; use zero or more"),
    "22023": Decision(
        QueryRefused, "an argument is not one that its function takes; check units, formats, names and counts"
    ),
    "22025": Decision(QueryRefused, "a pattern ends with its escape character; double the character"),
    "22P02": Decision(QueryRefused, "a text is not a value of the type it is cast to; check the cast"),
    "2202E": Decision(QueryRefused, "the dimensions or subscripts of an array do not fit"),
    "22032": Decision(QueryRefused, "a text is not valid JSON; check the cast"),
    "22033": Decision(QueryRefused, "a JSON path uses a subscript that is not valid; use whole numbers in the array"),
    "23": _OURS,
    "24": _OURS,
    "25": _OURS,
    "25006": _ONLY_READ,
    "25P03": _TIMED_OUT,
    "25P04": _TIMED_OUT,
    "26": _OURS,
    "27": _OURS,
    "28": _OURS,
    "2B": _OURS,
    "2D": _OURS,
    "2F": _OURS,
    "34": Decision(QueryRefused, "not a single SELECT; send exactly one"),
    "38": _OURS,
    "39": _OURS,
    "3B": _OURS,
    "3D": _OURS,
    "3F": Decision(QueryRefused, "no such schema; the tables are in the schema analytics"),
    "40": Decision(DatabaseUnavailable, "the query met another transaction; try again"),
    "42": Decision(QueryRefused, "not valid SQL for this database"),
    "42501": Decision(
        QueryRefused, "the query touches something that analytics may not see; use the tables of database_info"
    ),
    "42601": Decision(QueryRefused, "syntax error"),
    "42701": Decision(QueryRefused, "a column name occurs twice; rename one with AS"),
    "42702": Decision(QueryRefused, "a column name is ambiguous; put its table in front, as in e.name"),
    "42703": Decision(QueryRefused, "no such column; database_info lists the columns"),
    "42704": Decision(QueryRefused, "no such type, collation or other name; check its spelling"),
    "42712": Decision(QueryRefused, "two tables in FROM have the same name; rename one with AS"),
    "42725": Decision(QueryRefused, "several functions or operators fit; cast the arguments"),
    "42803": Decision(
        QueryRefused,
        "a column is neither grouped nor aggregated, or an aggregate is where none may be; "
        "add the column to GROUP BY, or filter aggregates with HAVING",
    ),
    "42804": Decision(QueryRefused, "the types do not match; cast one of them, as in value::text"),
    "42809": Decision(
        QueryRefused,
        "a table, function or column is used as another kind of thing; check OVER, FILTER and WITHIN GROUP",
    ),
    "42846": Decision(QueryRefused, "there is no cast between these types; cast to text first"),
    "42883": Decision(QueryRefused, "no such function or operator for these types; cast the arguments"),
    "42P01": Decision(QueryRefused, "no such table; the tables are those that database_info lists"),
    "42P02": Decision(QueryRefused, "a parameter $n without a value; add the value to params"),
    "42P08": Decision(QueryRefused, "a parameter $n is used with two types; cast it, as in $1::int"),
    "42P10": Decision(
        QueryRefused,
        "ORDER BY, GROUP BY or DISTINCT ON names a column that does not fit; "
        "repeat the expression in SELECT, or use a number of its list",
    ),
    "42P18": Decision(QueryRefused, "a type cannot be determined; cast the value, as in $1::text"),
    "42P19": Decision(QueryRefused, "a recursive query refers to itself where it may not; use it once, after UNION"),
    "42P20": Decision(
        QueryRefused, "a window function is where none may be, or its window is not valid; move it to a subquery"
    ),
    "42P21": Decision(QueryRefused, "two collations conflict; use the same COLLATE on both sides"),
    "42P22": Decision(QueryRefused, "a collation cannot be determined; add COLLATE"),
    "44": _OURS,
    "53": Decision(DatabaseUnavailable, "PostgreSQL has no resources left for the query; try again later"),
    "53200": Decision(QueryRefused, TOO_MUCH_MEMORY),
    "53400": Decision(QueryRefused, "the query needs more temporary space than it may take; narrow it down"),
    "54": Decision(QueryRefused, "the query or one of its rows is too large or too complex; select less or split it"),
    # Raised by functions of the platform.
    "54B01": Decision(
        QueryRefused, "the arguments of a function are too large; shorten them, for example with left(text, 1000)"
    ),
    "55": _OURS,
    "55006": Decision(DatabaseUnavailable, "the query met a change of the database; try again"),
    "55P03": Decision(DatabaseUnavailable, "the query waited too long for a lock; try again"),
    "57": Decision(DatabaseUnavailable, "PostgreSQL is restarting or ended the session; try again"),
    QUERY_CANCELED: Decision(QueryCancelled, "the query was cancelled"),
    "58": _OURS,
    "F0": _OURS,
    "HV": _OURS,
    "P0": _OURS,
    "P0001": Decision(QueryRefused, "a function of the platform refused its arguments; use smaller ones"),
    "XX": _OURS,
}


def decision(state: str) -> Decision:
    """Look up a SQLSTATE. An unknown class is the platform's fault until the table lists the class."""
    return FAILURES.get(state) or FAILURES.get(state[:2], _OURS)


def translated(error: psycopg.Error, *, timed_out: bool, position: int | None = None) -> Permanent | Transient:
    """Give the error to raise. `timed_out`: the time was up. `position`: of the fault in the caller's text, from 1."""
    state = error.sqlstate
    if timed_out and (state is None or state in (QUERY_CANCELED, "25P04")):
        return QueryTimedOut(TIMED_OUT)
    if state is None:
        # Raised on this side: a broken connection, or a value that Python cannot hold (a date after the year 9999).
        if isinstance(error, psycopg.OperationalError):
            return DatabaseUnavailable("the connection to PostgreSQL was lost; try again")
        return QueryRefused("a value of the result or of the parameters cannot be represented; cast it to text")
    if _is_refused_allocation(error):
        return QueryRefused(TOO_MUCH_MEMORY)
    found = decision(state)
    message = f"{found.message} (SQLSTATE {state})" if found.error is QueryFailed else found.message
    return found.error(f"{message} (at character {position})" if position else message)


def _is_refused_allocation(error: psycopg.Error) -> bool:
    """Tell whether a single value became larger than 1 GB. PostgreSQL reports that as an internal error of its memory manager."""
    return error.sqlstate == "XX000" and error.diag.source_file == "mcxt.c"
