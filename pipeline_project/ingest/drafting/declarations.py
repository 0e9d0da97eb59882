"""Spell a drafted declaration as TOML or as a Python module, with the evidence as comments."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pipeline_project.datasets.entities import Entity
from pipeline_project.printable import printable
from pipeline_project.sources.dialect import Dialect, FieldFormat

TYPES = {"day": "Day", "time": "Time", "number": "Money"}
"""Types of attributes, each with its name in Python."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass
class DraftedField:
    """A field of the entity, the column that it is read from, and why."""

    name: str
    column: str
    evidence: str
    type: str | None = None
    """The type of an attribute. None: the field is one of the entity."""


@dataclass
class Declaration:
    """The declaration that a draft proposes."""

    name: str
    description: str
    entity_type: str
    read: Sequence[str]
    """The files that were read, for the head of the text."""
    fields: list[DraftedField] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Columns that become attributes."""
    dialect: Dialect = field(default_factory=Dialect)
    evidence: dict[str, str] = field(default_factory=dict)
    """Setting -> why it was chosen."""


def as_toml(declared: Declaration) -> str:
    """Spell the declaration as TOML."""
    lines = [
        *(f"# {_comment(line)}" for line in declared.read),
        f"name = {_toml(declared.name)}",
        f"description = {_toml(declared.description)}",
        f"entity_type = {_toml(declared.entity_type)}",
        "",
        "[entity]",
        *(f"{_key(each.name)} = [{_toml(each.column)}]  # {_comment(each.evidence)}" for each in declared.fields),
    ]
    if typed := [each for each in declared.fields if each.type]:
        lines += ["", "[entity.types]", *(f"{_key(each.name)} = {_toml(each.type)}" for each in typed)]
    if declared.others:
        lines += ["", f"# Columns that become attributes: {_comment(', '.join(declared.others))}"]
    if settings := _settings(declared.dialect):
        lines += ["", "[dialect]", *(_with_evidence(declared, name, _toml(value)) for name, value in settings.items())]
    for column, declared_format in declared.dialect.fields.items():
        lines += ["", f"[dialect.fields.{_key(column)}]"]
        lines += [f"{name} = {_toml(value)}" for name, value in _settings(declared_format).items()]
    return "\n".join(lines) + "\n"


def as_python(declared: Declaration) -> str:
    """Spell the declaration as a Python module."""
    own = Entity.model_fields
    types = {each.name: _python_type(each) for each in declared.fields}
    model = f"{declared.name.capitalize()}Record"
    imported = sorted({"aliased", *(name for name in types.values() if name != "bool")})
    lines = [
        f'"""{declared.description}."""',
        "",
        *(f"# {_comment(line)}" for line in declared.read),
        "",
        "from pipeline_project.datasets.entities import Entity",
        f"from pipeline_project.schema.fields import {', '.join(imported)}",
        *(_imports(declared.dialect)),
        "from pipeline_project.sources.source import Source",
        "",
        "",
        f"class {model}(Entity):",
        f'    """The names that {declared.name} gives to fields."""',
        "",
    ]
    for each in declared.fields:
        if own.get(each.name) is not None and own[each.name].is_required():
            lines.append(
                f"    {each.name}: {types[each.name]} = aliased({each.column!r}, required=True)  # {_comment(each.evidence)}"
            )
        elif types[each.name] == "bool":
            lines.append(
                f"    {each.name}: bool = Field(default=False, validation_alias={each.column!r})  # {_comment(each.evidence)}"
            )
        else:
            lines.append(
                f"    {each.name}: {types[each.name]} | None = aliased({each.column!r})  # {_comment(each.evidence)}"
            )
    if any(name == "bool" for name in types.values()):
        lines.insert(
            lines.index("from pipeline_project.datasets.entities import Entity"), "from pydantic import Field\n"
        )
    if declared.others:
        lines += ["", f"    # Columns that become attributes: {_comment(', '.join(declared.others))}"]
    lines += [
        "",
        "",
        "SOURCE = Source(",
        f"    name={declared.name!r},",
        f"    description={declared.description!r},",
        f"    records=({model},),",
        f'    fallbacks={{"entity_type": {declared.entity_type!r}}},',
    ]
    if _settings(declared.dialect) or declared.dialect.fields:
        lines += ["    dialect=Dialect("]
        for name, value in _settings(declared.dialect).items():
            comment = f"  # {_comment(declared.evidence[name])}" if name in declared.evidence else ""
            lines.append(f"        {name}={value!r},{comment}")
        if declared.dialect.fields:
            lines += ["        fields={"]
            for column, each in declared.dialect.fields.items():
                arguments = ", ".join(f"{name}={value!r}" for name, value in _settings(each).items())
                lines.append(f"            {column!r}: FieldFormat({arguments}),")
            lines += ["        },"]
        lines += ["    ),"]
    return "\n".join([*lines, ")"]) + "\n"


def spelled(declared: FieldFormat) -> str:
    """Spell settings in one line, as TOML has them."""
    return ", ".join(f"{name} = {_toml(value)}" for name, value in _settings(declared).items()) or "nothing to declare"


def _imports(dialect: Dialect) -> Iterable[str]:
    if dialect.fields:
        yield "from pipeline_project.sources.dialect import Dialect, FieldFormat"
    elif _settings(dialect):
        yield "from pipeline_project.sources.dialect import Dialect"


def _python_type(drafted: DraftedField) -> str:
    if drafted.type:
        return TYPES[drafted.type]
    kinds = {
        "source_id": "Id",
        "name": "Text",
        "revenue": "Amount",
        "employees": "Count",
        "total_orders": "Count",
        "lifetime_value": "Money",
        "total_spent": "Money",
        "updated_at": "Time",
        "deleted": "bool",
    }
    return kinds.get(drafted.name, "Label")


def _settings(declared: FieldFormat) -> Mapping[str, Any]:
    """Return the settings that are declared, without those of single columns."""
    return {
        each.name: value
        for each in fields(declared)
        if each.name != "fields" and (value := getattr(declared, each.name)) is not None
    }


def _with_evidence(declared: Declaration, name: str, value: str) -> str:
    comment = f"  # {_comment(declared.evidence[name])}" if name in declared.evidence else ""
    return f"{name} = {value}{comment}"


def _comment(text: str) -> str:
    """Return a text as a comment can hold it. Texts of files may have line ends, which would end the comment."""
    return printable(" ".join(text.split()))


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
