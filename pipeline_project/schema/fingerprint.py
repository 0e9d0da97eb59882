"""The fingerprint of a mapping: one digest of everything that decides which row a record becomes.

Two mappings with the same fingerprint read every record alike. A new fingerprint gets a new mapping version, so that
records which are sent again are mapped again. The digest does not depend on the process or on the version of Python.

Validators and rules are told by their syntax tree, so comments, docstrings and layout do not count. Their default
arguments, enclosed values, constants (names in capitals) and functions of the same module count too. Functions of other
modules that they call do not: a source raises its `revision` for those, and the platform its `MAPPING_REVISION`.
"""

import ast
import dataclasses
import hashlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from functools import lru_cache, partial
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.fields import Declared, aliases
from pipeline_project.schema.record import Record

MAPPING_REVISION = 2
"""Raise it when the platform's own code begins to map any record to another row: every source is then mapped again."""

_BY_NAME = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", *sys.stdlib_module_names}
"""Packages whose code is told by name alone. The same holds for this package, which `MAPPING_REVISION` stands for."""
_NO_MAPPING = {"record", "kind", "table", "partition_by"}
"""Fields of a dataset that do not decide what a record becomes. The record is told by itself."""
_FOR_PEOPLE = {"description", "message", "not_null"}
"""Fields of declarations that do not decide it either."""
_CONFIG_FOR_PEOPLE = {"title", "json_schema_extra"}
_VALIDATORS = ("field_validators", "model_validators", "validators", "root_validators")
_PLAIN = (date, time, timedelta, tzinfo, Decimal, bytes, complex, range)
"""Values whose text in Python is the same everywhere."""

_Within = tuple[object, ...]
"""The functions and classes that are being told, so that one that calls itself is told once."""


def fingerprint(
    *,
    source: str,
    dataset: Dataset,
    model: type[Record],
    fallbacks: Mapping[str, str],
    revision: int,
    partial: bool = False,
    dialects: Sequence[object] = (),
) -> str:
    """Return the fingerprint of a source's mapping of a dataset, with the record model that it uses: a SHA-256 in hex.

    `dialects` are dataclasses that say how the source writes its files. A setting with its default does not count.
    """
    declared = {name: Declared.of(dataset.record, name) for name in dataset.fields if name not in Record.model_fields}
    content = {
        "mapping_revision": MAPPING_REVISION,
        "revision": revision,
        "source": source,
        "fallbacks": dict(fallbacks),
        "dialects": [_told(each) for each in dialects],
        "dataset": {
            each.name: _told(getattr(dataset, each.name))
            for each in dataclasses.fields(dataset)
            if each.name not in _NO_MAPPING | _FOR_PEOPLE
        },
        "declared": {name: _told(each) for name, each in declared.items()},
        "rest": dataset.rest and dataset.rest.name,
        "model": _model(model, ()),
        # Left out by default, so that the fingerprints of all other sources stay as they are.
        **({"partial": True} if partial else {}),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _model(model: type[BaseModel], within: _Within) -> dict[str, Any]:
    within = (*within, model)
    own = [each for each in reversed(model.__mro__) if not _is_told_by_name(each)]
    decorators: Any = model.__pydantic_decorators__
    return {
        "fields": {name: {"aliases": aliases(name, field), **_field(field, within)}
                   for name, field in model.model_fields.items()},
        "config": {name: _told(value, within) for name, value in model.model_config.items()
                   if name not in _CONFIG_FOR_PEOPLE},
        "validators": [
            [group, name, _told(validator.info, within)]
            for group in _VALIDATORS
            for name, validator in getattr(decorators, group).items()
        ],
        "functions": [
            [name, _told(value, within)]
            for each in own
            for name, value in vars(each).items()
            if isinstance(value, FunctionType | classmethod | staticmethod | property)
        ],
    }  # fmt: skip


def _field(field: FieldInfo, within: _Within) -> dict[str, Any]:
    return {
        "annotation": _told(field.annotation, within),
        "constraints": _told(field.metadata, within),
        "required": field.is_required(),
        "default": _told(field.default, within),
        "default_factory": _told(field.default_factory, within),
        "discriminator": _told(field.discriminator, within),
        "validate_default": field.validate_default,
    }


def _told(value: Any, within: _Within = ()) -> Any:  # noqa: PLR0912 a case for each kind of value
    """Return what a value is as plain JSON: no addresses, no order of sets, nothing that differs between processes."""
    if value is PydanticUndefined:
        return {"undefined": True}
    if isinstance(value, Enum):
        return {"member": [type(value).__qualname__, value.name, _told(value.value, within)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, _PLAIN):
        return {type(value).__name__: repr(value)}
    if isinstance(value, re.Pattern):
        return {"pattern": [_told(value.pattern), value.flags]}
    if isinstance(value, list | tuple):
        return [_told(each, within) for each in value]
    if isinstance(value, set | frozenset):
        return {"set": sorted((_told(each, within) for each in value), key=_text)}
    if isinstance(value, Mapping):
        return {
            "mapping": sorted(([_told(key, within), _told(each, within)] for key, each in value.items()), key=_text)
        }
    if get_origin(value) is not None:
        return _told_generic(value, within)
    if isinstance(value, type):
        return _told_class(value, within)
    if isinstance(value, partial):
        return {"partial": _told([value.func, value.args, value.keywords], within)}
    if isinstance(value, MethodType | classmethod | staticmethod):
        return {type(value).__name__: _told(value.__func__, within)}
    if isinstance(value, property):
        return {"property": _told(value.fget, within)}
    if isinstance(value, FunctionType):
        return _told_function(value, within)
    if isinstance(value, FieldInfo):
        return _field(value, within)
    return _told_object(value, within)


def _told_generic(value: Any, within: _Within) -> Any:
    """Return what an annotation with arguments is, for example `int | None` or `Annotated[str, …]`."""
    origin = get_origin(value)
    if origin is Annotated:
        return {"annotated": _told([value.__origin__, *value.__metadata__], within)}
    name = "Union" if origin in (Union, UnionType) else getattr(origin, "__qualname__", str(origin))
    return {name: [_told(each, within) for each in get_args(value)]}


def _told_class(value: type, within: _Within) -> Any:
    if value in within or _is_told_by_name(value):
        return {"class": value.__qualname__}
    if issubclass(value, BaseModel):
        return {"model": _model(value, within)}
    return {"class": value.__qualname__, "source": [_syntax(node) for node in _definitions(value)]}


def _told_object(value: Any, within: _Within) -> Any:
    """Return what another object is: what it was declared with, or else the name of its type."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        # What has its default is left out, so that a library may add a field.
        declared = [each for each in dataclasses.fields(kind) if each.name not in _FOR_PEOPLE]
        values = {each.name: getattr(value, each.name, each.default) for each in declared}
        content = {
            each.name: values[each.name]
            for each in declared
            if values[each.name] not in (each.default, PydanticUndefined)
        }
    elif kind.__module__.startswith("pydantic."):
        content = vars(value) if hasattr(value, "__dict__") else {}
    elif inner := getattr(value, "__value__", None) or getattr(value, "__supertype__", None):
        # A name for another type. It may lead back to itself.
        return {"alias": value.__name__, "of": None if value in within else _told(inner, (*within, value))}
    elif isinstance(value, BuiltinFunctionType) or hasattr(value, "__qualname__"):
        return {"name": value.__qualname__}
    else:
        content = {}
    return {"object": _told_class(kind, within), "with": {name: _told(each, within) for name, each in content.items()}}


def _told_function(function: FunctionType, within: _Within) -> Any:
    # A function of the platform may enclose what a declaration handed to it.
    enclosed = inspect.getclosurevars(function).nonlocals
    told: dict[str, Any] = {"function": function.__qualname__}
    if function in within:
        return told
    within = (*within, function)
    told["enclosed"] = {name: _told(value, within) for name, value in enclosed.items()}
    if _is_told_by_name(function):
        return told
    nodes = list(_definitions(function))
    told["source"] = [_syntax(node) for node in nodes]
    told["defaults"] = _told([function.__defaults__, function.__kwdefaults__], within)
    names = {each.id for node in nodes for each in ast.walk(node) if isinstance(each, ast.Name)}
    told["names"] = {
        name: _told(function.__globals__[name], within)
        for name in names & function.__globals__.keys()
        if _counts(name, function.__globals__[name], function)
    }
    return told


def _counts(name: str, value: Any, function: FunctionType) -> bool:
    """Return whether what a function knows under a global name is told with it: a constant, or code of the same module."""
    if isinstance(value, FunctionType | type):
        return value.__module__ == function.__module__
    return name.isupper()


def _is_told_by_name(thing: Callable[..., Any] | type) -> bool:
    module = thing.__module__ or ""
    return module.split(".")[0] in _BY_NAME or module.startswith(f"{__package__}.")


def _definitions(thing: FunctionType | type) -> Iterator[ast.AST]:
    """Yield the definition of a function or class. Nothing if there is no source file; then its name alone stands for it."""
    try:
        file = inspect.getsourcefile(thing)
    except TypeError:
        return
    tree = _tree(file) if file is not None and Path(file).is_file() else ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(thing, type):
            if isinstance(node, ast.ClassDef) and node.name == thing.__name__:
                yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            # The code of a function begins with its first decorator.
            first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
            name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
            if (name, first) == (thing.__code__.co_name, thing.__code__.co_firstlineno):
                yield node


@lru_cache(maxsize=4)
def _tree(file: str) -> ast.Module:
    return ast.parse(Path(file).read_bytes())


def _syntax(node: Any) -> Any:
    """Return a syntax tree without comments, docstrings and layout, in the form that all versions of Python share."""
    if isinstance(node, list):
        return [_syntax(each) for each in node if not _is_text_alone(each)]
    if not isinstance(node, ast.AST):
        return _told(node) if node is not Ellipsis else {"ellipsis": True}
    fields = {
        name: _syntax(each) for name, each in ast.iter_fields(node) if name not in ("ctx", "kind", "type_comment")
    }
    return {type(node).__name__: {name: each for name, each in fields.items() if each is not None and each != []}}


def _is_text_alone(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _text(told: Any) -> str:
    return json.dumps(told, sort_keys=True)
