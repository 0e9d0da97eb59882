"""A dataset: a record model, and what PostgreSQL needs to know beside it. Columns and tables are derived from it.

The model's own annotations give the columns, in their order:

- `own_id` becomes the canonical ID, and `reference` the canonical ID of another entity of the same source.
- `field` becomes a column of its name.
- `deleted`, where the model declares it, takes its place among them; otherwise it comes first.
- `Rest` is the column for everything else that was sent. Fields that were added later stand below it.
"""

import inspect
import re
from dataclasses import dataclass, field
from functools import cached_property
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

from pipeline_project.schema.fields import Declared, Role, Sql
from pipeline_project.schema.record import Record
from pipeline_project.schema.rules import Rule

IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")
CANONICAL_ID = "canonical_id"


class Column(NamedTuple):
    """A column that a record fills."""

    name: str
    type: str
    """PostgreSQL's name of its type."""
    not_null: bool
    description: str
    field: str | None
    """The field of the model that it holds. None for everything else that was sent."""


@dataclass(frozen=True)
class Rest:
    """The column for everything that was sent and has no column of its own. It is no field of the model."""

    description: str


@dataclass(frozen=True, kw_only=True)
class Versioned:
    """A dataset that keeps its history: earlier versions, tombstones and confirmations (SCD2)."""

    id: str
    """The table's surrogate key, for example `entity_id`. Tables of the history begin with its name."""

    @property
    def subject(self) -> str:
        """What a row describes, for example `entity`."""
        return self.id.removesuffix("_id")

    @property
    def versions(self) -> str:
        """The table of the earlier versions."""
        return f"canonical.{self.subject}_versions"

    @property
    def blocks(self) -> str:
        """The table of the confirmations, in blocks."""
        return f"canonical.{self.subject}_confirmation_blocks"

    @property
    def confirmations(self) -> str:
        """The view that has one row for each confirmation."""
        return f"canonical.{self.subject}_confirmations"


@dataclass(frozen=True, kw_only=True)
class Latest:
    """A dataset that keeps the latest row of each key, without history."""

    timestamps: bool = True
    """True if rows have `created_at` and `updated_at`."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A kind of record that the platform loads. Two datasets are the same if their names are."""

    name: str
    description: str = field(compare=False)
    record: type[Record] = field(compare=False)
    kind: Versioned | Latest = field(compare=False)
    table: str = field(compare=False)
    """The table in the schema `canonical`."""
    key: tuple[str, ...] = field(compare=False)
    """The columns that tell one row from another, in the order of the primary key."""
    rules: tuple[Rule, ...] = field(default=(), compare=False)
    partition_by: str | None = field(default=None, compare=False)
    """A column of days. The table is partitioned by their months."""
    deleted_if: tuple[str, str] | None = field(default=None, compare=False)
    """A field of text, and its value (in lower case) that marks a tombstone, beside `_deleted`."""
    mapper: str | None = field(default=None, compare=False)
    """A class with hooks for what no declaration can say, as `module:Class`. None: the mapper is derived alone."""

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        for name in (self.name, self.table, *names):
            if not IDENTIFIER.fullmatch(name):
                raise ValueError(
                    f"dataset {self.name!r}: {name!r} is not a name. Use at most 63 lower-case letters, digits and "
                    "underscores, and begin with a letter."
                )
        for name in {name for name in names if names.count(name) > 1}:
            raise ValueError(f"dataset {self.name!r}: two fields have the column {name!r}. Rename one of them.")
        for name in self.key:
            if name not in (*names, "source"):
                raise ValueError(f"dataset {self.name!r}: its key has the column {name!r}, which no field declares.")
        if isinstance(self.kind, Versioned) and self.key != (CANONICAL_ID,):
            raise ValueError(
                f"dataset {self.name!r} keeps its history, so its key can only be canonical_id. Declare a field with "
                "own_id(), or use the kind Latest."
            )
        known = {*names, *self.record.model_fields}
        for named in (*(rule.field for rule in self.rules), *(self.deleted_if or ())[:1]):
            if named not in known:
                raise ValueError(
                    f"dataset {self.name!r}: a rule is about the field {named!r}, which {self.record.__name__} does not "
                    "declare. Declare the field, or remove the rule."
                )
        if self.deleted_if is not None:
            field = self.deleted_if[0]
            if sql_type(get_type_hints(self.record, include_extras=True)[field]) != "text":
                raise ValueError(
                    f"dataset {self.name!r}: deleted_if names {field!r}, which is not a text. Name a text."
                )

    @property
    def kind_name(self) -> Literal["versioned", "latest"]:
        """The kind, as names of statements have it."""
        return "versioned" if isinstance(self.kind, Versioned) else "latest"

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns that a record fills: those of the key, and those of its content, as the model declares them."""
        return tuple(_columns(self.record))

    @cached_property
    def key_columns(self) -> tuple[Column, ...]:
        """The columns of the key that a record fills, in the order in which the model declares them."""
        return tuple(column for column in self.columns if column.name in self.key)

    @cached_property
    def content(self) -> tuple[Column, ...]:
        """The columns that are not in the key. Their order is the order in which the content hash is taken."""
        return tuple(column for column in self.columns if column.name not in self.key)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The fields of the model that have a column or are a part of one, in the order of declaration."""
        own = [name for name in _own_annotations(self.record) if name in self.record.model_fields]
        return (*own, *(("deleted",) if "deleted" not in own else ()))

    @cached_property
    def rest(self) -> Column | None:
        """The column for everything else that was sent."""
        return next((column for column in self.columns if column.field is None), None)


def _own_annotations(model: type[Record]) -> list[str]:
    """The names that the models below Record annotate, in their order."""
    classes = [each for each in reversed(model.__mro__) if issubclass(each, Record) and each is not Record]
    return list(dict.fromkeys(name for each in classes for name in inspect.get_annotations(each)))


def _columns(model: type[Record]) -> list[Column]:
    hints = get_type_hints(model, include_extras=True)
    tombstone = Column("deleted", "boolean", True, "Whether it is a tombstone: the source deleted it.", "deleted")
    found: list[Column] = []
    for name in _own_annotations(model):
        if name == "deleted":
            found.append(tombstone)
        elif isinstance(rest := getattr(model, name, None), Rest):
            found.append(Column(name, "jsonb", True, rest.description, None))
        elif name in model.model_fields:
            declared = Declared.of(model, name)
            if declared.role is Role.PART:
                continue
            found.append(
                Column(
                    declared.column or name,
                    sql_type(hints[name]),
                    declared.not_null,
                    model.model_fields[name].description or "",
                    name,
                )
            )
    return found if tombstone in found else [tombstone, *found]


def sql_type(hint: Any) -> str:
    """PostgreSQL's type for a field's annotation. TypeError if the annotation names none."""
    alternatives = [each for each in get_args(hint) if each is not NoneType] if NoneType in get_args(hint) else [hint]
    for marker in getattr(alternatives[0], "__metadata__", ()):
        if isinstance(marker, Sql):
            return marker.type
    raise TypeError(
        f"{hint} has no type in PostgreSQL. Use a type of pipeline_project.schema.fields, or add Sql(…) to it."
    )
