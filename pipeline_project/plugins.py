"""Plug-ins: the sources, datasets, operations, checks and migrations that a company adds without a change to this package.

A company has two ways to add them:

- Its own package declares entry points in the groups `pipeline_project.<kind>`. A source, dataset or operation is an object
  or a module. Checks and migrations are a package with SQL files.
- The setting `PIPELINE_PLUGINS` names a folder, which has a folder for each kind. The folder is imported as a package of its
  own name: a module in `company/datasets/` is `company.datasets.…`.

Plug-ins are code that runs with the rights of the platform. Only the environment and the installed packages can name them.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.machinery import PathFinder
from keyword import iskeyword
from pathlib import Path
from traceback import walk_tb
from types import MappingProxyType, ModuleType
from typing import Any, Literal, Protocol, TypeVar

from pipeline_project.errors import ConfigurationError
from pipeline_project.settings import PluginSettings

Kind = Literal["sources", "datasets", "operations", "checks", "migrations"]
KINDS: tuple[Kind, ...] = ("sources", "datasets", "operations", "checks", "migrations")
GROUP = "pipeline_project."
BUNDLED = Path(__file__).parent / "_plugins"
"""The plug-ins of a bundle (deploy/bundle.py). Where this folder exists, nothing can be installed: it is the only place."""


class PluginError(ConfigurationError):
    """A plug-in that cannot be used. The platform does not start without it."""


class Named(Protocol):
    """What a registry holds."""

    @property
    def name(self) -> str: ...


T = TypeVar("T")
N = TypeVar("N", bound=Named)


def plugged(kind: Kind, declared: type[T]) -> Iterator[tuple[T, Path]]:
    """Yield what the plug-ins of a kind declare, each with its file. Raises PluginError."""
    for name, value, module in _entry_points(kind):
        if isinstance(value, declared):
            yield value, _file(module)
        elif isinstance(value, ModuleType):
            yield from _declared_in(value, declared)
        else:
            raise PluginError(
                f"the entry point {name} of {GROUP}{kind} is no {declared.__name__}. Let it name one, or a module with one."
            )
    for module in _folder_modules(kind):
        yield from _declared_in(module, declared)


def sql_folders(kind: Literal["checks", "migrations"]) -> list[Path]:
    """Return the folders of a kind whose plug-ins are SQL files. Raises PluginError."""
    found: list[Path] = []
    for name, value, _ in _entry_points(kind):
        if not isinstance(value, ModuleType) or not hasattr(value, "__path__"):
            raise PluginError(f"the entry point {name} of {GROUP}{kind} is no package. Let it name one with SQL files.")
        found += map(Path, value.__path__)
    if (root := folder()) and (root / kind).is_dir():
        found.append(root / kind)
    # A package may be found by several ways.
    return list(dict.fromkeys(path.resolve() for path in found))


def toml_files(kind: Kind) -> list[Path]:
    """Return the TOML files in the folder of a kind. Names that begin with an underscore are left out."""
    root = folder()
    found = [] if root is None else sorted((root / kind).glob("*.toml"))
    return [path for path in found if not path.name.startswith("_")]


def by_name(kind: Kind, declared: Iterable[tuple[N, Path]]) -> Mapping[str, N]:
    """Return what is declared by its name. PluginError names both places of a name that is declared twice."""
    known: dict[str, tuple[N, Path]] = {}
    for value, file in declared:
        before, first = known.setdefault(value.name, (value, file))
        if before is not value:
            raise PluginError(
                f"the {kind.removesuffix('s')} {value.name!r} is declared twice: in {place(first, value.name)} and in "
                f"{place(file, value.name)}. Rename or remove one of them."
            )
    return MappingProxyType({name: value for name, (value, _) in known.items()})


def place(file: Path, name: str) -> str:
    """Return the file and the line in which something of this name is declared."""
    line = 1
    if file.suffix == ".py":
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and any(
                each.arg == "name" and isinstance(each.value, ast.Constant) and each.value.value == name
                for each in node.keywords
            ):
                line = node.lineno
                break
    elif file.suffix == ".toml":
        lines = file.read_text("utf-8").splitlines()
        line = next((number for number, text in enumerate(lines, start=1) if text.startswith("name")), 1)
    return f"{file}:{line}"


@cache
def folder() -> Path | None:
    """Return the folder of plug-ins. None if there is none. Raises PluginError."""
    if BUNDLED.is_dir():
        return next((each for each in BUNDLED.iterdir() if each.is_dir()), None)
    named = PluginSettings.load().plugins
    if not named:
        return None
    found = Path(named).expanduser().resolve()
    if not found.is_dir():
        raise PluginError(
            f"PIPELINE_PLUGINS: {found} is not a folder. Name a folder that exists, or unset the variable."
        )
    if not any((found / kind).is_dir() for kind in KINDS):
        raise PluginError(
            f"PIPELINE_PLUGINS: {found} has no plug-ins. Name the folder that holds {', '.join(f'{kind}/' for kind in KINDS)}."
        )
    return found


def samples(root: Path | None = None) -> dict[str, Path]:
    """Return sample files by the keys that they would have in the landing bucket. Default: those of the plug-ins."""
    if root is None and (plugged_in := folder()) is not None:
        root = plugged_in / "samples"
    paths = sorted(root.rglob("*")) if root is not None else []
    return {path.relative_to(root).as_posix(): path for path in paths if root is not None and path.is_file()}


def _entry_points(kind: Kind) -> Iterator[tuple[str, Any, ModuleType]]:
    """Yield the entry points of a kind: the name, the object, and the module that holds it."""
    if BUNDLED.is_dir():
        return
    # Its import takes 20 ms, and looking through 160 packages 10 ms. Both happen once, and never in a bundle.
    from importlib.metadata import entry_points  # noqa: PLC0415

    for each in sorted(entry_points(group=GROUP + kind), key=lambda each: (each.name, each.value)):
        module = _imported(each.module, f"the entry point {each.name} of {GROUP}{kind}")
        try:
            value = each.load()
        except AttributeError:
            raise PluginError(
                f"the entry point {each.name} of {GROUP}{kind}: {_file(module)} has no {each.attr}. Correct the entry point."
            ) from None
        yield each.name, value, module


def _folder_modules(kind: Kind) -> Iterator[ModuleType]:
    found = folder()
    if found is None or not (found / kind).is_dir():
        return
    package = _package(found)
    for path in sorted((found / kind).glob("*.py")):
        if path.stem.startswith("_"):
            continue
        if not path.stem.isidentifier() or iskeyword(path.stem):
            raise PluginError(f"{path}: Python cannot import this name. Use letters, digits and underscores.")
        yield _imported(f"{package}.{kind}.{path.stem}", str(path))


@cache
def _package(root: Path) -> str:
    """Make the folder of plug-ins a package of its own name, without a change to the path of imports."""
    name = root.name
    if not name.isidentifier() or iskeyword(name):
        raise PluginError(
            f"{root}: Python cannot import this name. Rename the folder: use letters, digits and underscores."
        )
    found = importlib.util.find_spec(name)
    if found is None:
        spec = PathFinder.find_spec(name, [str(root.parent)])
        assert spec is not None  # noqa: S101 the folder exists
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        if spec.loader is not None:
            try:
                spec.loader.exec_module(module)
            except (Exception, SystemExit) as error:
                del sys.modules[name]
                raise _failed(error, [root], str(root)) from error
    elif root not in [Path(each).resolve() for each in found.submodule_search_locations or ()]:
        raise PluginError(f"{root}: {found.origin or name} already has the name {name}. Rename the folder.")
    return name


def _imported(name: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        top = importlib.util.find_spec(name.partition(".")[0])
        roots = [Path(each) for each in (top and top.submodule_search_locations) or ()]
        if not roots and top and top.origin:
            roots = [Path(top.origin)]
        raise _failed(error, roots, where) from error


def _failed(error: BaseException, roots: Iterable[Path], where: str) -> PluginError:
    """Return the error of a plug-in that fails at import: the last line of its own that ran, and what to do."""
    if isinstance(error, SyntaxError) and error.filename:
        where, told = f"{error.filename}:{error.lineno}", error.msg
    else:
        told = str(error)
        lines = [
            f"{frame.f_code.co_filename}:{line}"
            for frame, line in walk_tb(error.__traceback__)
            if any(Path(frame.f_code.co_filename).is_relative_to(root) for root in roots)
        ]
        where = lines[-1] if lines else where
    return PluginError(f"{where}: {type(error).__name__}: {told}. Correct the plug-in, or remove it, and start again.")


def _declared_in(module: ModuleType, declared: type[T]) -> list[tuple[T, Path]]:
    file = _file(module)
    found = [value for value in vars(module).values() if isinstance(value, declared)]
    if not found:
        raise PluginError(
            f"{file}:1: this module declares no {declared.__name__}. Add one, or begin the file's name with an underscore."
        )
    return [(value, file) for value in found]


def _file(module: ModuleType) -> Path:
    return Path(module.__file__ or module.__name__)
