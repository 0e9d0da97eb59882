"""The mapper of a dataset: columns, required fields, rules and fallbacks come from the declaration.

This is a hot path. It replaces mappers that were written by hand for each dataset. The constructor decides once how each
column is written, so a record costs no more than it did in those. The models decide what a record may hold; tests compare
the columns of many records with single records that the models have read.

A dataset whose columns no declaration can describe has a small subclass, which overrides hooks.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple

from pipeline_project.ingest.mapping.copy_text import NULL, copy_text, encode, escape, is_plain, json_texts, share_text
from pipeline_project.ingest.mapping.fast_path import FastColumns
from pipeline_project.ingest.mapping.mapper import Mapper, Texts, where
from pipeline_project.ingest.mapping.rows import FieldError
from pipeline_project.ingest.mapping.struct_columns import Column
from pipeline_project.schema.dataset import CANONICAL_ID, Dataset
from pipeline_project.schema.dataset import Column as DeclaredColumn
from pipeline_project.schema.fields import ID_LENGTH, Declared, Role, in_utc
from pipeline_project.schema.record import Record
from pipeline_project.sources.dialect import Dialect
from pipeline_project.sources.source import Source

Values = Mapping[str, Any]
"""The validated fields of a record by name."""
_WITHOUT_ESCAPES = frozenset({"bigint", "boolean", "date", "integer", "numeric", "real", "timestamptz"})
"""Types whose texts hold no character that COPY needs escaped."""
_WRITTEN_AS = frozenset({"jsonb", "real", "timestamptz"})
"""Types whose columns copy_text does not write."""
OUT_OF_RANGE = (
    "time_out_of_range",
    "Input should lie within the years 1 to 9999 (UTC): leave out what is not known",
)


class Cell(NamedTuple):
    """How one column is written, other than JSON."""

    name: str
    """The field of the model."""
    write: Callable[[Values], str] | None
    """Writes the cell of one record. Its text is not escaped yet. None: copy_text writes it."""
    refine: Callable[[Column], Column] | None
    """Turns the column of the fast path into COPY text. None: it is COPY text already."""
    fallback: str | None
    """What the cell holds if the record does not send the field."""
    escapes: bool
    """True if the column can hold characters that COPY needs escaped."""


class Cells:
    """Columns that stand side by side. How each is written is decided here, once."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.escapes = any(cell.escapes for cell in cells)
        self._plain = _getter([cell.name for cell in cells if cell.write is None])
        self._written = [(place, cell.write) for place, cell in enumerate(cells) if cell.write is not None]
        self._fallbacks = [(place, cell.fallback) for place, cell in enumerate(cells) if cell.fallback is not None]

    def texts(self, values: Values) -> list[str]:
        """Return the cells of one record as COPY text that is not escaped yet."""
        texts = [
            value if type(value) is str else NULL if value is None else "f" if value is False else copy_text(value)
            for value in self._plain(values)
        ]
        for place, write in self._written:
            texts.insert(place, write(values))
        for place, fallback in self._fallbacks:
            texts[place] = texts[place] or fallback
        return texts


class DatasetMapper(Mapper):
    """Maps the records of any dataset, as its declaration says."""

    composed: ClassVar[Collection[str]] = ()
    """Hook: fields that `_complete` fills. The subclass itself reports a record in which one is still missing."""
    rest_column: ClassVar[str | None] = None
    """Hook: the column for everything else that was sent, if the declaration has no Rest."""

    def __init__(
        self,
        source: Source,
        dataset: Dataset,
        mapping_version: int = 0,
        dialect: Dialect | None = None,
        *,
        cells: bool = False,
    ) -> None:
        fields = source.record(dataset.name).model_fields
        by_copy_text = {column.field for column in dataset.columns if column.type not in _WRITTEN_AS} - {"deleted"}
        defaults = {
            name: fields[name].default
            for name in dataset.fields
            if name in by_copy_text and not fields[name].is_required() and fields[name].default is not None
        }
        super().__init__(source, dataset, defaults, mapping_version, dialect, cells=cells)
        self._default_texts = {name: copy_text(default) for name, default in defaults.items()}
        self._attributes = [name for name in fields if name not in (*dataset.fields, "updated_at")]
        self._rules = [(rule, self._aliases[rule.field][0][-1]) for rule in dataset.rules]
        self._deleted_if = dataset.deleted_if
        self._prefix = f"{source.name}_"
        self._own_id = next((name for name in dataset.fields if self._role(name) is Role.OWN_ID), None)
        self._require()
        self._compose()

    def _require(self) -> None:
        """Find the fields that a record has to send, since their columns are never null."""
        dataset, fields = self.dataset, self.model.model_fields
        filled = {"deleted", *self._default_texts, *self.source.fallbacks}
        never_null = [
            column.field
            for column in dataset.columns
            if column.field is not None and column.field not in filled and column.name != self.rest_column
            if column.not_null or column.name in dataset.key
        ]
        by_model = [name for name in dataset.fields if fields[name].is_required()]
        self._always_sent = list(dict.fromkeys([*never_null, *by_model]))
        self._to_check = [name for name in never_null if name not in (*by_model, *self.composed)]
        self._times = [column.field for column in dataset.columns if column.field and column.type == "timestamptz"]

    def _compose(self) -> None:
        """Decide how each column is written: for single records, and for columns of many."""
        dataset = self.dataset
        rest = self.rest_column or (dataset.rest.name if dataset.rest else None)
        self._key_columns = [self._cell(column) for column in dataset.key_columns]
        self._key_cells = Cells(self._key_columns)
        self._own_key = self._own_id if self.key_columns == (CANONICAL_ID,) else None
        # Each is a cell, or the field of a column of JSON: None for everything else that was sent.
        content = [
            None if column.name == rest else column.field if column.type == "jsonb" else self._cell(column)
            for column in dataset.content
        ]
        self._content_cells = Cells([each for each in content if isinstance(each, Cell)])
        self._json = [(place, each) for place, each in enumerate(content) if not isinstance(each, Cell)]
        self._ends_in_json = [place for place, _ in self._json] == [len(content) - 1]
        self._runs = [list(run) for _, run in groupby(content, lambda each: isinstance(each, Cell))]

    def _role(self, field: str) -> Role:
        return Role.VALUE if field == "deleted" else Declared.of(self.dataset.record, field).role

    def _cell(self, column: DeclaredColumn) -> Cell:
        name = column.field
        if name is None:
            raise TypeError(f"{self.dataset.name}: no field fills the column {column.name!r}")
        prefix = self._prefix if self._role(name) in (Role.OWN_ID, Role.REFERENCE) else ""
        fallback = self.source.fallbacks.get(name)
        cell = Cell(
            name,
            None,
            None,
            fallback=None if fallback is None else prefix + fallback,
            escapes=fallback is not None or column.type not in _WITHOUT_ESCAPES,
        )
        if prefix:
            return cell._replace(
                write=lambda values: NULL if values[name] is None else prefix + values[name],
                refine=lambda texts: [text and prefix + text for text in texts],
            )
        if column.type == "timestamptz":
            return cell._replace(write=partial(_time, name), refine=lambda times: [time and time[1] for time in times])
        if column.type == "real":
            return cell._replace(write=partial(_share, name))
        return cell

    def _id_fields(self) -> Collection[str]:
        first = self.dataset.key_columns[0].field if self._own_id is None else self._own_id
        return [] if first is None else [first]

    # --- single records

    def _complete(self, record: Record) -> None:
        if self._deleted_if is not None:
            name, end = self._deleted_if
            values = vars(record)
            if (value := values[name]) is not None and value.lower() == end:
                values["deleted"] = True

    def _key(self, record: Record) -> tuple[str, str]:
        if self._own_key is not None:
            key = self._prefix + record.__dict__[self._own_key]
            return key, escape(key)
        cells = self._key_cells.texts(record.__dict__)
        line = "\t".join(map(escape, cells))
        return line, line

    def _check(self, record: Record) -> list[FieldError]:
        values = record.__dict__
        errors: list[FieldError] = []
        for name in self._to_check:
            if values[name] is None:
                errors.append(FieldError(self._aliases[name][0][-1], "missing", f"is required: send {name}"))
        for rule, alias in self._rules:
            if not rule.holds(values):
                errors.append(FieldError(alias, rule.name, rule.message))
        for name in self._times:
            if values[name] is not None and not _is_in_range(values[name]):
                errors.append(FieldError(self._aliases[name][0][-1], *OUT_OF_RANGE))
        return errors

    def _content(self, record: Record, others: dict[str, Any]) -> str:
        cells = self._content_cells.texts(record.__dict__)
        if self._content_cells.escapes:
            line = "\t".join(cells)
            if "\\" in line or "\n" in line or "\r" in line or line.count("\t") >= len(cells):
                cells = list(map(escape, cells))
                line = "\t".join(cells)
            if self._ends_in_json:
                return f"{line}\t{self._json_text(self._json[0][1], record, others)}"
        for place, name in self._json:
            cells.insert(place, self._json_text(name, record, others))
        return "\t".join(cells)

    def _json_text(self, name: str | None, record: Record, others: dict[str, Any]) -> str:
        values = record.__dict__
        if name is not None:
            return NULL if values[name] is None else escape(encode(values[name]).decode())
        if self._attributes:
            attributes = {name: value for name in self._attributes if (value := values[name]) is not None}
            others = {**others, **attributes} if others else attributes
        rest = self._everything_else(record, others)
        # JSON escapes control characters itself. So only its backslashes are left for COPY.
        return "{}" if rest == {} else escape(encode(rest).decode())

    def _key_of_bad(self, fields: dict[str, Any]) -> str | None:
        if self._own_key is None:
            return None
        value = self._sent(self._own_key, fields)
        if not isinstance(value, str | int) or isinstance(value, bool):
            return None
        text = str(value).strip()
        return self._prefix + text if 0 < len(text) <= ID_LENGTH and "\0" not in text else None

    # --- columns of many records

    def _texts(self, found: FastColumns) -> Texts:
        sent: dict[str, Column] = dict(zip(self._read, found.columns, strict=True))
        for name, text in self._default_texts.items():
            sent[name] = [value or text for value in sent[name]]
        sent["deleted"] = self._deleted_texts(sent)
        left_out = self._complete_columns(sent)
        for name in self._always_sent:
            left_out += where("" in sent[name], (value == "" for value in sent[name]))
        for rule, _ in self._rules:
            left_out += rule.broken(sent)
        keys = [_refined(cell, sent) for cell in self._key_columns]
        columns = [column for run in self._runs for column in self._run(run, sent, found, left_out)]
        columns += self._further(found)
        return Texts(
            keys[0] if len(keys) == 1 else list(map("\t".join, zip(*keys, strict=True))),
            list(map("\t".join, zip(*columns, strict=True))),
            left_out,
        )

    def _deleted_texts(self, sent: Mapping[str, Column]) -> list[str]:
        flags = sent["deleted"]
        if self._deleted_if is None:
            return ["t" if flag else "f" for flag in flags]
        name, end = self._deleted_if
        ends = {text for text in set(sent[name]) if text.lower() == end}
        return ["t" if flag or text in ends else "f" for flag, text in zip(flags, sent[name], strict=True)]

    def _run(
        self, run: Sequence[Cell | str | None], sent: Mapping[str, Column], found: FastColumns, left_out: list[int]
    ) -> list[Column]:
        """Write columns that stand side by side and are all JSON, or all are not.

        Those that can hold characters to be escaped are joined and looked at together. Their records are left out.
        """
        cells = [cell for cell in run if isinstance(cell, Cell)]
        columns = [_refined(cell, sent) for cell in cells]
        if any(cell.escapes for cell in cells):
            tabs = len(columns) - 1
            lines = columns[0] if not tabs else list(map("\t".join, zip(*columns, strict=True)))
            left_out += where(not is_plain(lines, tabs), (not is_plain([line], tabs) for line in lines))
            columns = [lines]
        for name in run:
            if isinstance(name, Cell):
                continue
            values = self._rests(sent, found.attributes) if name is None else sent[name]
            texts, with_nul = json_texts(values)
            left_out += with_nul
            columns.append(
                texts if name is None else [value and text for value, text in zip(values, texts, strict=True)]
            )
        return columns

    # --- hooks of datasets that need more than their declaration says

    def _everything_else(self, record: Any, others: dict[str, Any]) -> Any:  # noqa: ARG002 for hooks
        """Return what the rest column holds. `others` is everything that was sent and has no column."""
        return others

    def _rests(self, sent: Mapping[str, Column], others: list[Any]) -> list[Any]:  # noqa: ARG002 for hooks
        """Return the same of many records, as objects to be encoded."""
        return others

    def _complete_columns(self, sent: dict[str, Column]) -> list[int]:  # noqa: ARG002 for hooks
        """Fill columns of several fields, as `_complete` does, in place. Returns the places only the models can tell."""
        return []

    def _further(self, found: FastColumns) -> list[Column]:  # noqa: ARG002 for hooks
        """Return further columns that are part of the content."""
        return []


def _getter(names: Sequence[str]) -> Callable[[Values], Sequence[Any]]:
    """Return what reads these fields. A plain itemgetter gives no tuple for one name."""
    return itemgetter(*names) if len(names) > 1 else lambda values: [values[name] for name in names]


def _refined(cell: Cell, sent: Mapping[str, Column]) -> Column:
    column = sent[cell.name] if cell.refine is None else cell.refine(sent[cell.name])
    return column if cell.fallback is None else [text or cell.fallback for text in column]


def _time(name: str, values: Values) -> str:
    return NULL if values[name] is None else in_utc(values[name]).isoformat()


def _share(name: str, values: Values) -> str:
    return NULL if values[name] is None else share_text(values[name])


def _is_in_range(time: datetime) -> bool:
    try:
        in_utc(time)
    except OverflowError:
        return False
    return True
