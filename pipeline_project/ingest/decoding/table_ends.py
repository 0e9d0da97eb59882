"""The end of a table: lines that are no rows (`(2 rows affected)`, `EOF`), and rows that sum up the others.

The last chunks are held back until the end of the table is known. So the rows before cost nothing.
"""

import re
from collections import deque
from collections.abc import Iterator

from pipeline_project.ingest.decoding.json_values import UNREADABLE, decode
from pipeline_project.ingest.decoding.notes import Notes
from pipeline_project.ingest.decoding.records import Chunk, Flaw

LAST_ROWS = 5
"""Rows at the end among which a row of totals is searched."""
RAGGED = "ragged_row"
"""The rule of a row that has more or fewer cells than the header."""
TOTAL_ROW: Flaw = ("total_row", "is a sum of the other rows and no record: export the file without totals")

_FOOTER = re.compile(
    r"\(?\d[\d.,' ]*\s(?:rows?|records?|lines?|Zeilen?|Datens(?:ä|ae)tze?|lignes?)\b[^\n]{0,40}\)?"
    r"|EOF|END(?: OF (?:FILE|DATA|REPORT|EXPORT))?|\\\.|[ \t]*[\x1a\0][\x1a\0 \t]*",
    re.IGNORECASE,
)
_TOTAL = re.compile(
    r"(?:(?:grand|sub)[- ]?total|totals?|sum|summe|gesamt(?:summe|ergebnis)?|insgesamt|zwischensumme|somme|totaux|"
    r"total g[ée]n[ée]ral|totale|totaal|suma|razem|soma|итого|всего|合計|总计|總計)\W*\d*\W*",
    re.IGNORECASE,
)


def without_end(chunks: Iterator[Chunk], id_columns: list[str], notes: Notes, *, fills_rows: bool) -> Iterator[Chunk]:
    """Yield the chunks of a table without footers. The rows of totals become invalid records.

    `fills_rows`: each row has all cells, so a footer is a row with one value.
    """
    held: deque[Chunk] = deque()
    for chunk in chunks:
        held.append(chunk)
        while sum(len(each.records) for each in list(held)[1:]) >= LAST_ROWS:
            yield held.popleft()
    while held and _drop_footer(held[-1], notes, fills_rows=fills_rows):
        if not held[-1].records:
            held.pop()
    last = [(chunk, place) for chunk in held for place in range(len(chunk.records))][-LAST_ROWS:]
    for chunk, place in last:
        if place not in chunk.flaws and _is_total(chunk, place, id_columns):
            chunk.flaws = {**chunk.flaws, place: TOTAL_ROW}
    yield from held


def _drop_footer(chunk: Chunk, notes: Notes, *, fills_rows: bool) -> bool:
    """Remove the last row of a chunk if it is a footer."""
    place = len(chunk.records) - 1
    flaw = chunk.flaws.get(place)
    text = bytes(chunk.records[place]).decode(errors="replace")
    if flaw is None:
        text = _only_value(text) if fills_rows else None
    elif flaw[0] != RAGGED:
        return False
    if text is None or not _FOOTER.fullmatch(text):
        return False
    notes.add("footer", sample=text, line=chunk.line(place))
    chunk.records.pop()
    chunk.flaws = {each: found for each, found in chunk.flaws.items() if each != place}
    return True


def _only_value(record: str) -> str | None:
    """Return the value of a record that has only one."""
    try:
        values = list(decode(record).values())
    except UNREADABLE:
        return None
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None


def _is_total(chunk: Chunk, place: int, id_columns: list[str]) -> bool:
    try:
        record = decode(bytes(chunk.records[place]))
    except UNREADABLE:
        return False
    sent = (record.get(name) for name in id_columns)
    return any(isinstance(value, str) and _TOTAL.fullmatch(value.strip()) for value in sent)
