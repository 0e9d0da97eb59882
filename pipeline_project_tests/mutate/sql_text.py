"""Mutations of SQL, found in the text: comparisons, conditions, joins, windows, bounds, sort keys, states, locks."""

import re
from collections.abc import Iterator

from pipeline_project.analytics.sql_parser import SqlSyntaxError, parse
from pipeline_project_tests.mutate.mutation import Edit

# Comments are blanked, so that all offsets stay.
COMMENT = re.compile(r"--[^\n]*")
LITERAL = re.compile(r"'(?:[^']|'')*'")
SWAPS = (
    ("comparison", r"(?<![<>=!@\-])<=(?!>)", "<"),
    ("comparison", r"(?<![<>=!@\-])>=", ">"),
    ("comparison", r"(?<![<>=!@\-|&])<(?![=>@<|])", "<="),
    ("comparison", r"(?<![<>=!@\-|&])>(?![=>@|])", ">="),
    ("comparison", r"<>", "="),
    ("connective", r"\bAND\b", "OR"),
    ("connective", r"\bOR\b(?! REPLACE)", "AND"),
    ("negation", r"(?<!IF )\bNOT EXISTS\b", "EXISTS"),
    ("negation", r"(?<!NOT )\bEXISTS\b", "NOT EXISTS"),
    ("negation", r"\bIS NOT NULL\b", "IS NULL"),
    ("negation", r"\bIS NULL\b", "IS NOT NULL"),
    ("negation", r"\bNOT (?!NULL|EXISTS|DISTINCT|MATERIALIZED)", ""),
    ("negation", r"\bIS DISTINCT FROM\b", "IS NOT DISTINCT FROM"),
    ("negation", r"\bIS NOT DISTINCT FROM\b", "IS DISTINCT FROM"),
    ("distinct", r"(?<!IS )(?<!NOT )\bDISTINCT (?!ON|FROM)", ""),
    ("distinct", r"\bUNION\b(?! ALL)", "UNION ALL"),
    ("distinct", r"\bUNION ALL\b", "UNION"),
    ("join", r"\bLEFT JOIN\b", "JOIN"),
    ("join", r"\bFULL JOIN\b", "LEFT JOIN"),
    ("join", r"\bFULL JOIN\b", "RIGHT JOIN"),
    ("join", r"(?<!LEFT )(?<!FULL )(?<!CROSS )(?<!RIGHT )\bJOIN\b(?! LATERAL)", "LEFT JOIN"),
    ("sort", r" DESC\b", ""),
    ("aggregate", r"\bmax\(", "min("),
    ("aggregate", r"\bmin\(", "max("),
    ("aggregate", r"\bgreatest\(", "least("),
    ("aggregate", r"\bleast\(", "greatest("),
    ("aggregate", r"\bbool_or\(", "bool_and("),
    ("aggregate", r"\bany_value\(", "max("),
    ("window", r"\blead\(", "lag("),
    ("window", r"\blag\(", "lead("),
    ("window", r"\bfirst_value\(", "last_value("),
    ("lock", r" SKIP LOCKED\b", ""),
    ("lock", r"\bFOR UPDATE( OF \w+)?( SKIP LOCKED)?", ""),
    ("conflict", r"\bON CONFLICT DO NOTHING\b", ""),
    ("bound", r"\bLIMIT \S+", ""),
    ("arithmetic", r" \+ ", " - "),
    ("arithmetic", r" - ", " + "),
    ("arithmetic", r"(?<!SELECT) \* ", " / "),
    ("arithmetic", r" / ", " * "),
    ("boolean", r"\btrue\b", "false"),
    ("boolean", r"\bfalse\b", "true"),
)
CLAUSE = re.compile(
    r"\b(?:AND|OR|THEN|ELSE|END|WHEN|WHERE|GROUP|ORDER|LIMIT|RETURNING|FOR|UNION|WINDOW|HAVING|FROM|SELECT|OFFSET|ON|JOIN"
    r"|CROSS|LEFT|FULL|AS|ROWS|RANGE|DESC|ASC|SET|WITH)\b|;"
)
ITEM_ENDS = re.compile(r"\b(?:WHERE|FROM|RETURNING|LIMIT|OFFSET|ROWS|RANGE|FOR|WINDOW|ON CONFLICT|GROUP|ORDER|UNION)\b")
EXPRESSION_BEFORE = re.compile(r"\b(?:WHERE|AND|OR|ON|WHEN|HAVING|SELECT|SET|BY|NOT|FROM|RETURNING|DO UPDATE SET)\b")


def is_valid(text: str) -> bool:
    """Return whether PostgreSQL can parse the text. What it refuses says nothing about the tests."""
    try:
        parse(re.sub(r"%\(\w+\)s", "$1", text).replace("%%", "%"))
    except SqlSyntaxError:
        return False
    return True


def statement_lines(text: str, line: int) -> range:
    """Return the lines of the statement: a file has one."""
    return range(1, text.count("\n") + 1)


def changes(text: str) -> Iterator[Edit]:
    """Find all mutations of an SQL file."""
    code = COMMENT.sub(lambda found: " " * len(found[0]), text)
    bare = LITERAL.sub(lambda found: "'" + "_" * (len(found[0]) - 2) + "'", code)
    for rule, pattern, replacement in SWAPS:
        for found in re.finditer(pattern, bare):
            yield Edit(rule, found.start(), found.end(), replacement)
    for finder in (_equalities, _conditions, _alternatives, _lists, _assignments, _filters, _numbers):
        yield from finder(bare)
    yield from _literals(code)


def _equalities(bare: str) -> Iterator[Edit]:
    for found in re.finditer(r"(?<![<>=!:~@])=(?![>=])", bare):
        if _word_before(bare, found.start()) != "SET":
            yield Edit("comparison", found.start(), found.end(), "<>")


def _word_before(bare: str, place: int) -> str:
    """Return the clause that an expression belongs to, on its own level of parentheses and of CASE."""
    depth = 0
    while place:
        place -= 1
        if bare[place] == ")" or re.compile(r"\bEND\b").match(bare, place):
            depth += 1
        elif bare[place] == "(" or re.compile(r"\bCASE\b").match(bare, place):
            if depth == 0:
                return "("
            depth -= 1
        elif depth == 0 and (found := EXPRESSION_BEFORE.match(bare, place)):
            return found[0].split()[-1]
    return ""


def _conditions(bare: str) -> Iterator[Edit]:
    """Drop one of several conditions."""
    for found in re.finditer(r"\b(AND|OR)\b", bare):
        if not re.search(r"\bBETWEEN\s+\S+\s+$", bare[: found.start()]):
            yield Edit("dropped condition", found.start(), _end_of_expression(bare, found.end()), "")
    for found in re.finditer(r"(?<!FILTER \()\bWHERE\b", bare):
        end = _end_of_expression(bare, found.end())
        if following := re.match(r"\s*(AND|OR)\b", bare[end:]):
            yield Edit("dropped condition", found.end(), end + following.end(), "")
        else:
            yield Edit("dropped condition", found.start(), end, "")


def _end_of_expression(bare: str, place: int) -> int:
    depth = 0
    while place < len(bare):
        if bare[place] == "(":
            depth += 1
        elif bare[place] == ")":
            depth -= 1
            if depth < 0:
                return place
        elif depth == 0 and (bare[place] == "," or _begins_clause(CLAUSE, bare, place)):
            return place
        place += 1
    return place


def _begins_clause(clauses: re.Pattern[str], bare: str, place: int) -> bool:
    """Return whether a clause begins here. FROM is a part of an expression in IS DISTINCT FROM."""
    return bool(clauses.match(bare, place)) and not bare.endswith("DISTINCT ", 0, place)


def _alternatives(bare: str) -> Iterator[Edit]:
    """Take the first argument of COALESCE alone."""
    for found in re.finditer(r"\bcoalesce\(", bare, re.IGNORECASE):
        parts = list(_parts(bare, found.end()))
        yield Edit("coalesce", found.start(), parts[-1][1] + 1, bare[parts[0][0] : parts[0][1]].strip())


def _lists(bare: str) -> Iterator[Edit]:
    """Leave out one of several: states of IN, keys of ORDER BY, PARTITION BY, GROUP BY and DISTINCT ON."""
    openings = r"(\bIN \()(?!\s*SELECT)|(\bDISTINCT ON \()|\b(ORDER|PARTITION|GROUP) BY "
    for found in re.finditer(openings, bare):
        parts = list(_parts(bare, found.end()))
        if len(parts) == 1:
            if found[3] == "PARTITION":
                yield Edit("dropped partition", found.start(), parts[0][1], "")
            continue
        if found[3] == "GROUP":  # the statement is then wrong, unless the key says nothing
            continue
        for n, (begin, end) in enumerate(parts):
            yield Edit("dropped element", begin - 1 if n else begin, end if n else parts[1][0], "")


def _assignments(bare: str) -> Iterator[Edit]:
    """Leave out one of several columns that UPDATE sets."""
    for found in re.finditer(r"\bSET\s", bare):
        parts = list(_parts(bare, found.end()))
        for n, (begin, end) in enumerate(parts):
            if len(parts) > 1:
                yield Edit("dropped assignment", begin - 1 if n else begin, end if n else parts[1][0], "")


def _parts(bare: str, place: int) -> Iterator[tuple[int, int]]:
    """Split what follows at its commas, up to the parenthesis or the clause that ends it."""
    while True:
        end = _end_of_list_item(bare, place)
        yield place, len(bare[:end].rstrip())
        if end >= len(bare) or bare[end] != ",":
            return
        place = end + 1


def _end_of_list_item(bare: str, place: int) -> int:
    depth, cases = 0, 0
    while place < len(bare):
        if bare[place] == "(":
            depth += 1
        elif bare[place] == ")":
            depth -= 1
            if depth < 0:
                return place
        elif re.compile(r"\bCASE\b").match(bare, place):
            cases += 1
        elif re.compile(r"\bEND\b").match(bare, place):
            cases -= 1
        elif depth == cases == 0 and (bare[place] == "," or _begins_clause(ITEM_ENDS, bare, place)):
            return place
        place += 1
    return len(bare.rstrip())


def _filters(bare: str) -> Iterator[Edit]:
    for found in re.finditer(r" FILTER \(WHERE ", bare):
        yield Edit("dropped filter", found.start(), list(_parts(bare, found.end()))[-1][1] + 1, "")


def _numbers(bare: str) -> Iterator[Edit]:
    for found in re.finditer(r"(?<![\w.$'])\d+(?![\w.])", bare):
        # OFFSET 0 keeps parts of a statement apart and changes no result.
        if not bare[: found.start()].endswith("OFFSET "):
            yield Edit("number", found.start(), found.end(), str(int(found[0]) + 1))


def _literals(code: str) -> Iterator[Edit]:
    for found in LITERAL.finditer(code):
        if re.fullmatch(r"'[\w -]+'", found[0]):
            yield Edit("literal", found.start(), found.end(), f"{found[0][:-1]}_'")
