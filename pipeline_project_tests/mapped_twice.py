"""Mappings whose fingerprints are compared: one that has a bit of everything, and ones that are written as text."""

import itertools
import sys
import tempfile
from collections.abc import Callable
from decimal import Decimal
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import indent
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from pipeline_project.schema.dataset import Dataset, Latest
from pipeline_project.schema.fields import Amount, Id, Label, Text, aliased, field, own_id
from pipeline_project.schema.fingerprint import fingerprint
from pipeline_project.schema.record import Record
from pipeline_project.schema.rules import required_unless_deleted
from pipeline_project.sources.source import Source

FINGERPRINT = "4eba5354475e00b137950d7efb8e9a079bf444a44c168fafdfb43020e173f39e"
"""Of `Everything`, in all versions of Python."""

LIMIT = 5
KINDS = frozenset({"b", "a", "c"})
RATES = {"EUR": Decimal("1.0"), "USD": Decimal("0.9")}


def cut(value: Any, length: int = LIMIT) -> Any:
    return value[:length] if isinstance(value, str) else value


def longer_than(length: int) -> Callable[[str], str]:
    def check(value: str) -> str:
        if len(value) <= length:
            raise ValueError(f"has {len(value)!r:>3} of {length} characters, {'or' + ' so'}")
        return value

    return check


class Thing(Record):
    """The record of a dataset of the tests' own, since those of the platform get new fields."""

    source_id: Id = own_id("Its ID", "id")
    name: Text | None = field("Its name", "name")
    status: Label | None = field("Its status", "status")
    revenue: Amount | None = field("What it brings", "revenue")


DATASET = Dataset(
    name="things",
    description="Things",
    record=Thing,
    kind=Latest(),
    table="things",
    key=("canonical_id",),
    rules=(required_unless_deleted("name", "is required"),),
    deleted_if=("status", "gone"),
)


class Everything(Thing):
    name: Text | None = aliased("title", "inner.name", "name")
    revenue: Amount | None = aliased("sales")
    size: Annotated[str, BeforeValidator(cut), AfterValidator(longer_than(1))] | None = Field(default=None)
    kind: Annotated[str, BeforeValidator(lambda value: value if value in KINDS else None)] | None = None

    @field_validator("status", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        match value:
            case str() if (known := value.strip()) in RATES:
                return known
            case [first, *_]:
                return f"{first}{{}}{RATES.get(first, 0):.2f}"
            case _:
                return value


def fingerprint_of_everything() -> str:
    """The fingerprint that FINGERPRINT is in all versions of Python."""
    return fingerprint(source="every", dataset=DATASET, model=Everything, fallbacks={"entity_type": "x"}, revision=2)


_MODULE = """
from pydantic import field_validator
from pipeline_project.datasets.entities import Entity
{head}
class Own(Entity):
{body}
    pass
"""
_numbers = itertools.count()


def fingerprint_of(head: str, body: str) -> str:
    """The fingerprint of a mapping whose record is written as the body of a class, below the head of its module."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"mapping_{next(_numbers)}.py"
        path.write_text(_MODULE.format(head=head, body=indent(body, "    ")), "utf-8")
        spec = spec_from_file_location("mapping_as_text", path)
        assert spec and spec.loader
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
            return Source(name="text", description="", records=(module.Own,)).fingerprint("entities")
        finally:
            del sys.modules[spec.name]
