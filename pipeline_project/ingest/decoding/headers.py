"""Find the header of a table by the names that a source knows, and name its columns. Tables are CSV files and sheets."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count

from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.notes import Notes
from pipeline_project.schema.names import folded

SEARCHED_ROWS = 20
"""Rows in which the header is searched. Rows that are empty do not count."""
SHORT_NAME = 3
"""Characters up to which the name of an ID (`id`) can also be a value of a record, for example a country."""
RULER = re.compile(r"[-=+|: ]*")
"""A cell of a line of dashes under a header."""
_BRACKETED = re.compile(r"\[.+\]|\(.+\)|", re.DOTALL)
_SHOWN = 5
ENOUGH = 2
"""Known fields that a row must name to be a header where rows are expected."""

HEADER_ROW = ("header_row", "looks like a second header: remove the row, or set `header_lines = 2` under `[dialect]`")


def clean(cells: Iterable[str]) -> list[str]:
    """Return the names in a row of a header, without blanks and byte-order marks around them."""
    return [cell.strip().strip("\ufeff").strip() for cell in cells]


def evidence(cells: Sequence[str], names: FieldNames, *, is_first: bool) -> int:
    """Return how many known fields a row names. 0: the row is no header, because no cell is certainly the name of an ID."""
    cells = clean(cells)
    exact = any(cell in names.ids for cell in cells)
    meant = [folded(cell) for cell in cells if folded(cell) in names.folded_ids]
    if not exact and not meant:
        return 0
    found = len({*names.known(cells), "the ID"} - names.known(names.ids))
    is_certain = (exact and is_first) or found > 1 or any(len(name) > SHORT_NAME for name in meant)
    return found if is_certain else 0


def best_header(rows: Sequence[Sequence[str]], names: FieldNames) -> tuple[int, int]:
    """Return the place of the row that names most known fields, and their number. Of equal rows, the first counts."""
    found = [evidence(row, names, is_first=place == 0) for place, row in enumerate(rows)]
    most = max(found, default=0)
    return (found.index(most), most) if most else (-1, 0)


def check_rows_above(above: Iterable[tuple[int, Sequence[str]]], width: int, line: int) -> None:
    """Raise ObjectFault if a row above the header can be a record: it has as many cells, and all have a value."""
    for number, row in above:
        if width > 1 and len(row) == width and all(cell.strip() for cell in row):
            raise ObjectFault(
                "ambiguous_header",
                f"line {number} has as many cells as the header in line {line}, so it can be a record. If it is none, "
                f"set `skip_lines = {line - 1}` under `[dialect]`",
                line=number,
                column=1,
            )


def column_names(cells: Sequence[str], names: FieldNames, notes: Notes, line: int) -> list[str]:
    """Return a name for each column, and note them.

    A column without a name is named after its place (`column_3`). A name that occurs twice gets a number (`phone_2`).
    Raises ObjectFault if the name means a field of the model: two columns cannot fill one field.
    """
    sent = clean(cells)
    wanted = [name or f"column_{place}" for place, name in enumerate(sent, start=1)]
    taken = set(wanted)
    given: dict[str, str] = {}
    twice = [name for name, times in Counter(wanted).items() if times > 1]
    if known := [name for name in twice if names.field_of(name) or name in names.ids]:
        shown = ", ".join(repr(name[:50]) for name in known[:_SHOWN])
        raise ObjectFault(
            "duplicate_column",
            f"two columns have the name {shown}: remove or rename one of them, or name all columns with `columns` "
            "under `[dialect]`",
            line=line,
            column=1,
        )
    numbers = {name: count(2) for name in twice}
    for name, original in zip(wanted, sent, strict=True):
        free = name
        if name in given:
            free = next(each for number in numbers[name] if (each := f"{name}_{number}") not in taken)
            notes.add("renamed_column", sample=f"{name} -> {free}", line=line)
        taken.add(free)
        given[free] = original
    notes.name_columns(given)
    return list(given)


def is_ruler(cells: Sequence[str]) -> bool:
    """Check whether a row is a line of dashes."""
    return any("-" in cell or "=" in cell for cell in cells) and all(RULER.fullmatch(cell) for cell in cells)


def is_second_header(cells: Sequence[str], names: FieldNames) -> bool:
    """Check whether a row with values has only units in brackets (`[EUR]`), or names of fields."""
    has_units = any(cell.strip() for cell in cells) and all(_BRACKETED.fullmatch(cell.strip()) for cell in cells)
    return has_units or evidence(cells, names, is_first=False) >= ENOUGH


def repeats(cells: Sequence[str], header: Sequence[str]) -> bool:
    """Check whether a row is the header again, for example where files were joined."""
    return clean(cells) == clean(header)


def names_other_columns(cells: Sequence[str], header: Sequence[str], names: FieldNames) -> bool:
    """Check whether a row is a header with other columns or in another order. The rows after it would be misread."""
    cells, header = clean(cells), clean(header)
    if sorted(filter(None, cells)) == sorted(filter(None, header)):
        return True
    if evidence(cells, names, is_first=False) < ENOUGH:
        return False
    return [names.field_of(cell) for cell in cells] != [names.field_of(cell) for cell in header]


def header_changed(line: int, header: Sequence[str]) -> ObjectFault:
    """Return the error of a second header with other columns."""
    shown = ", ".join(clean(header))[:100]
    return ObjectFault(
        "header_changed",
        f"line {line} is a header again, and its columns differ from the first header ({shown}): upload the parts as "
        "files of their own",
        line=line,
        column=1,
    )


def without_id(line: int, cells: Sequence[str], names: FieldNames) -> ObjectFault:
    """Return the error of a table in which no header was found. `cells`: a row that could be it."""
    shown = ", ".join(cell.strip() for cell in cells)[:50]
    known = ", ".join(sorted(names.ids))[:100]
    return ObjectFault(
        "no_header",
        f"no row among the first {SEARCHED_ROWS} names the ID ({known}). Line {line} is {shown!r}. If the file has no "
        "header, set `header_lines = 0` and `columns` under `[dialect]`. If the ID has another name, add the name to the "
        "source",
        line=line,
        column=1,
    )
