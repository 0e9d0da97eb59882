"""The statements in custom_sql/: what analysts ask, what attackers try, and what is allowed but must be bounded."""

from pathlib import Path

FOLDER = Path(__file__).parent / "custom_sql"


def statements(name: str) -> list[str]:
    """The lines of `custom_sql/<name>.sql` that are no headings."""
    lines = (FOLDER / f"{name}.sql").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("-- ")]


def sections(name: str) -> dict[str, list[str]]:
    """Give the same statements by the heading above them."""
    found: dict[str, list[str]] = {}
    listed: list[str] = []
    for line in (FOLDER / f"{name}.sql").read_text("utf-8").splitlines()[1:]:
        if line.startswith("-- "):
            listed = found.setdefault(line.removeprefix("-- "), [])
        elif line:
            listed.append(line)
    return found


LEGITIMATE = statements("legitimate") + statements("analysts")
BOUNDED = statements("bounded")
GUARDED = statements("guarded")
MISTAKES = statements("mistakes")
TERMS = 30_000
MADE = [
    "",
    " ",
    "-- x",
    "/* x */",
    "\0",
    "SELECT 1\0; DROP TABLE x",
    "SELECT '\ud800'",
    "SELECT " + "+".join(["1"] * TERMS),
    "SELECT " + "(" * TERMS + "1" + ")" * TERMS,
    "SELECT " + "NOT " * 2_400 + "true",
    "SELECT " + "abs(" * 1_600 + "1" + ")" * 1_600,
    "SELECT " + "-a " * 3_000,
    "SELECT " + "||".join(["'a'"] * 1_500),
    "SELECT " + "(SELECT " * 1_100 + "1" + ")" * 1_100,
    "SELECT " + "CASE WHEN a THEN " * 450 + "1" + " END" * 450,
    "SELECT " + ",".join(["1"] * 4_900),
    "SELECT ARRAY[" + ",".join(["name"] * 101) + "] FROM entities",
    "SELECT JSON_ARRAY(" + ",".join(["name"] * 101) + ") FROM entities",
    "SELECT JSON_OBJECT(" + ",".join(["'a': name"] * 101) + ") FROM entities",
    "SELECT format('" + "%1$s" * 101 + "', name) FROM entities",
    "WITH " + ",".join(f"a{n} AS (SELECT 1)" for n in range(400)) + " SELECT 1; SELECT 2",
    "SELECT 1 -- x\n; SELECT 2",
    "SELECT 1; -- x\nDELETE FROM canonical.entities",
    "SELECT pg_sleep\n--\n(10)",
    "SELECT 'a'\n'b', pg_sleep(10)",
    "SELECT E'\\'', pg_sleep(10) --'",
    "SELECT '\\', pg_sleep(10) --'",
]
ATTACKS = statements("attacks") + MADE
