"""Convert the rows of a workbook's sheet to JSON records, so that all later stages see one form.

A workbook is held in memory as a whole, so its unpacked size is bounded. Numbers stay numbers: 7 is 7 and not 7.0. Days and
times are written in ISO 8601. An empty cell is missing, and so is an error of a formula.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from typing import IO, Any

import msgspec

from pipeline_project.ingest.decoding import headers, limits
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.id_numbers import EXACT_FLOATS, whole_ids
from pipeline_project.ingest.decoding.notes import Notes
from pipeline_project.ingest.decoding.records import OVERSIZE, Chunk, Flaw, RawRecord
from pipeline_project.ingest.decoding.table_ends import without_end
from pipeline_project.sources.dialect import Dialect

LARGEST = 256 * 1024 * 1024
"""Maximum unpacked size of a workbook, in bytes."""
_SHOWN = 5

_encode = msgspec.json.Encoder().encode


def workbook_chunks(
    file: IO[bytes], unpacked: int, notes: Notes, names: FieldNames, dialect: Dialect
) -> Iterator[Chunk]:
    """Yield the rows of the sheet with data, or of the declared sheet. `unpacked`: size of the workbook without packing."""
    if unpacked > LARGEST:
        raise ObjectFault(
            "too_large", f"the workbook has {unpacked:,} bytes, and the limit is {LARGEST:,}: export it as CSV"
        )
    sheet, rows = _sheet(file, dialect.sheet)
    notes.shape["sheet"] = sheet[:100] + (" (declared)" if dialect.sheet else "")
    place, header = _header(rows, names, notes, dialect)
    line = place or 1
    columns = headers.column_names(header, names, notes, line)
    if not any(names.is_id(name) for name in columns):
        raise headers.without_id(line, header, names)
    ids = [name for name in columns if names.is_id_value(name)]
    yield from without_end(_chunks(rows, place, header, columns, ids, notes), ids, notes, fills_rows=True)


def _sheet(file: IO[bytes], declared: str | None) -> tuple[str, list[list[Any]]]:
    """Return the name and the rows of the sheet that holds the data."""
    # Only this function needs the library, and most processes never read a workbook.
    from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415

    try:
        workbook = CalamineWorkbook.from_filelike(file)
        if declared is not None and declared not in workbook.sheet_names:
            shown = ", ".join(repr(name[:50]) for name in workbook.sheet_names[:_SHOWN])
            raise ObjectFault(
                "no_sheet",
                f"the workbook has no sheet {declared[:50]!r}, only {shown}: correct `sheet` under `[dialect]`",
            )
        wanted = workbook.sheet_names if declared is None else [declared]
        found = {name: workbook.get_sheet_by_name(name) for name in wanted}
        filled = [name for name, sheet in found.items() if sheet.height] if declared is None else wanted
        if len(filled) > 1:
            shown = ", ".join(repr(name[:50]) for name in filled[:_SHOWN])
            raise ObjectFault(
                "several_sheets",
                f"{len(filled)} sheets of the workbook have rows ({shown}): set the sheet that counts, for example "
                f'`sheet = "{filled[0][:50]}"` under `[dialect]`',
            )
        if not filled:
            raise ObjectFault("empty", "the workbook is empty: there is no record in it")
        return filled[0], list(found[filled[0]].iter_rows())
    except (CalamineError, OSError, ValueError) as error:
        raise _damaged(error) from None
    except BaseException as error:
        # A panic of the library is no Exception, and would end the worker.
        if type(error).__name__ != "PanicException":
            raise
        raise _damaged(error) from None


def _damaged(error: BaseException) -> ObjectFault:
    return ObjectFault(
        "bad_workbook", f"not a readable workbook ({type(error).__name__}): save it again, or export it as CSV"
    )


def _header(rows: Sequence[list[Any]], names: FieldNames, notes: Notes, dialect: Dialect) -> tuple[int, list[str]]:
    """Return the line of the header and its cells. The records begin in the next line."""
    if dialect.columns is not None and not dialect.header_lines:
        return dialect.skip_lines or 0, list(dialect.columns)
    texts = [(line, [_text(cell) for cell in row]) for line, row in enumerate(rows, start=1) if any(row)]
    texts = [each for each in texts if each[0] > (dialect.skip_lines or 0)][: headers.SEARCHED_ROWS]
    if dialect.skip_lines is not None or dialect.header_lines is not None:
        place = 0
    else:
        place, _ = headers.best_header([cells for _, cells in texts], names)
    if place < 0 or not texts:
        line, cells = texts[0] if texts else (1, [])
        raise headers.without_id(line, cells, names)
    line, cells = texts[place]
    headers.check_rows_above(texts[:place], sum(map(bool, cells)), line)
    for above, skipped in texts[:place]:
        notes.add("lines_above_header", sample=", ".join(filter(None, skipped)), line=above)
    notes.shape["header_line"] = line
    return line, list(dialect.columns or cells)


def _chunks(
    rows: Sequence[list[Any]], begin: int, header: list[str], columns: list[str], ids: Sequence[str], notes: Notes
) -> Iterator[Chunk]:
    ordinal = 1
    for first in range(begin, len(rows), limits.CHUNK_RECORDS):
        built: list[dict[str, Any]] = []
        lines: list[int] = []
        for line, row in enumerate(rows[first : first + limits.CHUNK_RECORDS], start=first + 1):
            if not any(cell != "" for cell in row):
                continue
            if row[0] == header[0] and headers.repeats([_text(cell) for cell in row], header):
                notes.add("repeated_header", line=line)
                continue
            built.append({name: _value(cell) for name, cell in zip(columns, row, strict=False) if cell != ""})
            lines.append(line)
        flaws: dict[int, Flaw] = whole_ids(built, ids)
        records: list[RawRecord] = [_encode(each) for each in built]
        for place, record in enumerate(records):
            if len(record) > limits.RECORD_LIMIT:
                flaws[place], records[place] = OVERSIZE, record[: limits.RAW_LIMIT]
        if records:
            yield Chunk(ordinal, records, flaws, lambda index, lines=lines: lines[index])
            ordinal += len(records)


def _text(cell: Any) -> str:
    value = _value(cell)
    return value if isinstance(value, str) else str(value)


def _value(cell: Any) -> Any:
    """Return a cell as a value of JSON."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT_FLOATS:
        return int(cell)
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    return cell if isinstance(cell, str | bool | int | float) else str(cell)
