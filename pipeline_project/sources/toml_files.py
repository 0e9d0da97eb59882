"""Read the declaration of a source from a TOML file, which needs no Python. It has the fields of `Source` and `Dialect`.

A name that is not a setting is an error with its line, so a typing error never becomes a setting that is not declared.
TOML is used and not YAML, because YAML reads `NO` as false.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
from pydantic import AliasChoices, Field, create_model

from pipeline_project.datasets.registry import datasets
from pipeline_project.plugins import PluginError
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.fields import Amount, Count, Day, Label, Money, Text, Time, aliased
from pipeline_project.schema.record import Record
from pipeline_project.sources.dialect import Dialect, FieldFormat, Variant
from pipeline_project.sources.snapshot import Snapshot
from pipeline_project.sources.source import NAME, Source

ENTITY = "entity"
"""The section of the dataset `entities`. The sections of other datasets have their names."""
TYPES: Mapping[str, Any] = {
    "text": Text,
    "label": Label,
    "number": Money,
    "amount": Amount,
    "count": Count,
    "day": Day,
    "time": Time,
    "flag": bool,
}
"""Types of attributes by their names. An attribute is a text, unless it has another type."""
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$?(.*)`)?", re.DOTALL)
_PATH = re.compile(r"(.*?)(?: - at `\$?(.*)`)?", re.DOTALL)
_LINE = re.compile(r"at line (\d+)")


def _forbidding(declared: type, **types: Any) -> type[msgspec.Struct]:
    """Return a struct with the fields of a dataclass, which refuses others."""
    hints = get_type_hints(declared)
    found: list[Any] = []
    for each in fields(declared):
        default: Any = each.default
        if each.default_factory is not MISSING:
            default = msgspec.field(default_factory=each.default_factory)
        type_ = types.get(each.name, hints[each.name])
        found.append((each.name, type_) if default is MISSING else (each.name, type_, default))
    return msgspec.defstruct(declared.__name__, found, kw_only=True, forbid_unknown_fields=True)


_FieldFormat = _forbidding(FieldFormat)
_Dialect = _forbidding(Dialect, fields=dict[str, _FieldFormat])
_Variant = _forbidding(Variant, dialect=_Dialect)
_Snapshot = _forbidding(Snapshot)


class _Section(msgspec.Struct, forbid_unknown_fields=True):
    """What is declared of one dataset, beside the names of its fields."""

    types: dict[str, str] = {}
    dialect: _Dialect = msgspec.field(default_factory=_Dialect)  # pyright: ignore[reportInvalidTypeForm] made above


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """The settings of a file outside of the sections of datasets."""

    name: str
    description: str
    entity_type: str | None = None
    reject_threshold: float = 0.5
    revision: int = 0
    totals: dict[str, str] = {}
    partial: tuple[str, ...] = ()
    dialect: _Dialect = msgspec.field(default_factory=_Dialect)  # pyright: ignore[reportInvalidTypeForm] made above
    snapshot: _Snapshot | None = None  # pyright: ignore[reportInvalidTypeForm] made above
    variant: list[_Variant] = []  # pyright: ignore[reportInvalidTypeForm] made above


def read_source(path: Path) -> Source:
    """Return the source that a TOML file declares. Raises PluginError with file, line and remedy."""
    return _Reader(path).source()


class _Reader:
    """The reading of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._text = path.read_text("utf-8")
            self._content = tomllib.loads(self._text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            line = int(found[1]) if (found := _LINE.search(str(error))) else 1
            raise PluginError(f"{path}:{line}: not valid TOML: {error}. Correct the file.") from None

    def source(self) -> Source:
        sections = {name: self._content.pop(name) for name in self._section_names() if name in self._content}
        file = self._convert(self._content, _File, "", others=self._section_names())
        if not NAME.fullmatch(file.name):
            raise self._error(
                "name", f"{file.name!r} is not a name. Use lower-case letters and digits, and begin with a letter"
            )
        records: list[type[Record]] = []
        dialects: dict[str, Dialect] = {}
        for name, content in sections.items():
            dataset = datasets()["entities" if name == ENTITY else name]
            model, dialect = self._section(file.name, name, dataset, content)
            records += [] if model is None else [model]
            if dialect != Dialect():
                dialects[dataset.name] = dialect
        try:
            return Source(
                name=file.name,
                description=file.description,
                records=tuple(records),
                fallbacks={} if file.entity_type is None else {"entity_type": file.entity_type},
                revision=file.revision,
                reject_threshold=file.reject_threshold,
                totals=file.totals,
                partial=file.partial,
                snapshot=None if file.snapshot is None else Snapshot(**msgspec.structs.asdict(file.snapshot)),
                dialect=self._dialect(file.dialect),
                dialects=dialects,
                variants=tuple(Variant(keys=each.keys, dialect=self._dialect(each.dialect)) for each in file.variant),
            )
        except ValueError as error:
            raise PluginError(f"{self._path}:{self._line(str(error))}: {error}") from None

    def _section(self, source: str, name: str, dataset: Dataset, content: Any) -> tuple[type[Record] | None, Dialect]:
        """Return the record model of a dataset and its dialect."""
        if not isinstance(content, dict):
            raise self._error(name, f"is not a section. Write [{name}] above its fields")
        settings = {each: content.pop(each) for each in ("types", "dialect") if isinstance(content.get(each), dict)}
        section = self._convert(settings, _Section, name)
        for field, type_ in section.types.items():
            if field not in content:
                raise self._error(field, f"[{name}.types] names the field {field!r}, which [{name}] does not declare")
            if field in dataset.record.model_fields:
                raise self._error(field, f"{field!r} is a field of the dataset and has its type. Remove it from types")
            if type_ not in TYPES:
                raise self._error(field, f"{type_!r} is not a type. Use one of: {', '.join(TYPES)}")
        found: dict[str, Any] = {}
        taken: dict[str, str] = {}
        for field, sent in content.items():
            names = [sent] if isinstance(sent, str) else sent
            if not isinstance(names, list) or not names or not all(isinstance(each, str) and each for each in names):
                raise self._error(
                    field, f'names of the field {field!r} are a list of texts, for example {field} = ["NAME1"]'
                )
            for each in names:
                if taken.setdefault(each, field) != field:
                    raise self._error(field, f"{each!r} is a name of {taken[each]} and of {field}. Remove one of them")
            found[field] = self._field(name, dataset, field, names, section.types.get(field))
        model = (
            create_model(f"{source.capitalize()}{name.capitalize()}", __base__=dataset.record, **found)
            if found
            else None
        )
        return model, self._dialect(section.dialect)

    def _field(
        self, section: str, dataset: Dataset, field: str, names: list[str], type_: str | None
    ) -> tuple[Any, Any]:
        known = dataset.record.model_fields
        if field in known:
            hint = get_type_hints(dataset.record, include_extras=True)[field]
            if hint is bool:
                return hint, Field(default=False, validation_alias=AliasChoices(*names))
            return hint, aliased(*names, required=known[field].is_required())
        if not re.fullmatch("[a-z][a-z0-9_]*", field) or field.startswith("model_"):
            raise self._error(
                field,
                f"[{section}]: {field!r} is not a name of an attribute. Use lower-case letters, digits and underscores",
            )
        if type_ is None and (close := difflib.get_close_matches(field, known, n=2, cutoff=0.8)) and len(close) == 1:
            raise self._error(
                field,
                f"[{section}]: did you mean {close[0]!r}? If {field!r} is an attribute, give it a type under "
                f"[{section}.types]",
            )
        return TYPES[type_ or "text"] | None, aliased(*names)

    def _dialect(self, struct: Any) -> Dialect:
        values = {each.name: getattr(struct, each.name) for each in fields(Dialect)}
        try:
            columns = {name: FieldFormat(**msgspec.structs.asdict(each)) for name, each in values["fields"].items()}
            return Dialect(**{**values, "fields": columns})
        except ValueError as error:
            raise PluginError(f"{self._path}:{self._line(str(error))}: {error}") from None

    def _section_names(self) -> list[str]:
        return [ENTITY, *(name for name in datasets() if name != "entities")]

    def _convert(self, content: Any, type_: Any, where: str, others: list[str] | None = None) -> Any:
        """Convert what TOML gave. An error names the setting, its line, and the setting that was probably meant."""
        try:
            return msgspec.convert(content, type_)
        except msgspec.ValidationError as error:
            message = str(error)
        if unknown := _UNKNOWN.fullmatch(message):
            path = f"{where}{unknown[2] or ''}".strip(".")
            section = re.sub(r"\[\.{3}\]|\[\d+\]", "", path).rpartition(".")[2]
            struct: Any = {"dialect": _Dialect, "fields": _FieldFormat, "variant": _Variant, "snapshot": _Snapshot}.get(
                section, type_
            )
            known = [*struct.__struct_fields__, *((others or []) if not path else [])]
            close = difflib.get_close_matches(unknown[1], known, n=1)
            meant = f"Did you mean {close[0]!r}?" if close else f"Use one of: {', '.join(known)}."
            inside = f" in [{path}]" if path else ""
            raise PluginError(
                f"{self._path}:{self._line(unknown[1])}: there is no setting {unknown[1]!r}{inside}. {meant}"
            )
        found = _PATH.fullmatch(message)
        path = f"{where}{found[2] or ''}".strip(".") if found else where
        setting = re.sub(r"\[.*?\]", "", path).rpartition(".")[2]
        told = found[1] if found else message
        raise PluginError(f"{self._path}:{self._line(setting)}: {path or 'the file'}: {told}. Correct the value.")

    def _error(self, key: str, message: str) -> PluginError:
        return PluginError(f"{self._path}:{self._line(key)}: {message}.")

    def _line(self, key: str) -> int:
        """Return the line in which a setting or section begins that a text names. 1 if it names none."""
        if not key:
            return 1
        names = [key, *re.findall(r"[A-Za-z_]\w*", key)] if " " in key else [key]
        for name in map(re.escape, names):
            for pattern in (
                rf"(?m)^[ \t]*(?:\[+[^\]\n]*?\b{name}[\"']?\]+|[\"']?{name}[\"']?[ \t]*=)",
                rf"\b{name}[\"']?[ \t]*=",
            ):
                if found := re.search(pattern, self._text):
                    return self._text.count("\n", 0, found.start()) + 1
        return 1
