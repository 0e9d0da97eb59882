"""Statements of a dataset: SQL templates with names in braces, expanded once for each dataset.

A name in braces stands for what the declaration says, for example `{table}` or `{state}`. Values are never expanded: they
remain parameters. The names:

| Name | Stands for |
|---|---|
| `{dataset}`, `{table}`, `{incoming}` | the dataset's name, its table, its staging table |
| `{state}`, `{old.state}`, `{s.state}` | the columns of the content, bare or with a prefix |
| `{state = c.state}` | the same as a SET list |
| `{state columns}`, `{key columns}` | columns with their types, for a staging table |
| `{key}`, `{t.key}`, `{i.key}` | the columns of the key (kind `latest`) |
| `{key values}` | the parameter `key`, an array of texts, as values of these columns (kind `latest`) |
| `{e.rest}`, `{v.rest}` | the column for everything else that was sent, or an empty object |
| `{identity}` | the columns of the key, and the source (kind `latest`) |
| `{view}`, `{versions_view}` | the views of the table and of its earlier versions in the schema `analytics` |
| `{visible}`, `{v.visible}` | the columns of the content that views show: all but `deleted` |
| `{touch}` | the assignment of `updated_at`, where the table has it (kind `latest`) |
| `{partition_by}` | the column of days whose months are partitions |
| `{id}`, `{ids}` | the surrogate key, and the column of an array of them (kind `versioned`) |
| `{versions}`, `{blocks}`, `{confirmations}` | the tables of the history (kind `versioned`) |
| `{late}`, `{probe_keys}`, `{known}`, `{timeline}` | further staging tables (kind `versioned`) |
| `{sent}`, `{touched}` | staging tables of partial sources (kind `versioned`) |
| `{said}`, `{walked}`, `{marks}` | staging tables for snapshots (kind `versioned`) |
| `{nullable columns}` | `{state columns}`, all of which may be null |
| `{rest}` | the column for everything else that was sent |
| `{valued}` | the columns of the content that hold one field each |
| `{complete}` | the condition that a version meets: the rules, and the columns that are never null |
| `{marked.state}` | the columns of `s`, deleted where `t.absent` (kind `versioned`) |
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache

from pipeline_project.schema.dataset import Column, Dataset, Latest, Versioned
from pipeline_project.schema.sql_files import SQL

_NAME = re.compile(r"\{([a-z][a-z_]*(?:\.[a-z]+)?(?: (?:columns|values|= [a-z]+\.state))?)\}")
_BRACE = re.compile(r"[{}]")


class TemplateError(ValueError):
    """A template asks for a name that its dataset does not have, or there is no template for the dataset's kind."""


@cache
def statement(name: str, dataset: Dataset) -> bytes:
    """Return a statement for a dataset, for instance `ingest/loading/merge`.

    The template is `sql/<name>_<kind>.sql`, or `sql/<name>.sql` if both kinds share it. Raises TemplateError.
    """
    for path in (SQL / f"{name}_{dataset.kind_name}.sql", SQL / f"{name}.sql"):
        if path.is_file():
            return expand(path.read_text("utf-8"), dataset).encode()
    raise TemplateError(f"sql/{name}.sql: there is no such statement for {dataset.name}, which is {dataset.kind_name}")


def statements(dataset: Dataset) -> list[str]:
    """Return the names of all statements that a dataset has."""
    other = "latest" if isinstance(dataset.kind, Versioned) else "versioned"
    names = []
    for path in sorted(SQL.glob("ingest/**/*.sql")):
        used = set(_NAME.findall(path.read_text("utf-8")))
        if "partition_by" in used and dataset.partition_by is None:
            continue
        if used and not path.stem.endswith(f"_{other}"):
            name = path.relative_to(SQL).with_suffix("").as_posix()
            names.append(name.removesuffix(f"_{dataset.kind_name}"))
    return names


def expand(template: str, dataset: Dataset) -> str:
    """Put what a dataset declares in the place of each name. Raises TemplateError for an unknown name."""
    known = _values(dataset)

    def value(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise TemplateError(f"{{{match[1]}}} is not a name that {dataset.name} has, which is {dataset.kind_name}")
        return known[match[1]]

    expanded = _NAME.sub(value, template)
    if _BRACE.search(expanded):
        raise TemplateError(f"a brace remains in a template for {dataset.name}: a name there is misspelled")
    return expanded


@cache
def _values(dataset: Dataset) -> dict[str, str]:
    state = [column.name for column in dataset.content]
    visible = [name for name in state if name != "deleted"]
    values = {
        "dataset": dataset.name,
        "table": f"canonical.{dataset.table}",
        "incoming": f"incoming_{dataset.name}",
        "state": _listed(state),
        "state columns": _defined(dataset.content),
        "key columns": _defined(dataset.key_columns),
        "view": f"analytics.{dataset.table}",
        "visible": _listed(visible),
        "v.visible": _listed(visible, "v."),
    }
    for alias in ("e", "v"):
        values[f"{alias}.rest"] = f"{alias}.{dataset.rest.name}" if dataset.rest else "'{}'::jsonb"
    for alias in ("c", "s", "old", "new", "excluded", "i", "e"):
        values[f"{alias}.state"] = _listed(state, f"{alias}.")
        values[f"state = {alias}.state"] = ", ".join(f"{name} = {alias}.{name}" for name in state)
    if isinstance(dataset.kind, Versioned):
        values |= {
            "id": dataset.kind.id,
            "ids": f"{dataset.kind.id}s",
            "versions": dataset.kind.versions,
            "versions_view": f"analytics.{dataset.kind.subject}_versions",
            "blocks": dataset.kind.blocks,
            "confirmations": dataset.kind.confirmations,
            **{
                each: f"{each}_{dataset.name}"
                for each in ("late", "probe_keys", "known", "timeline", "sent", "touched", "said", "walked", "marks")
            },
            "nullable columns": _defined([column._replace(not_null=False) for column in dataset.content]),
            "rest": dataset.rest.name if dataset.rest else "attributes",
            "valued": _listed(column.name for column in dataset.content if column.field not in (None, "deleted")),
            "complete": " AND ".join(f"({condition})" for condition in _conditions(dataset)),
            "marked.state": ", ".join(
                f"s.{name} OR t.absent AS {name}" if name == "deleted" else f"s.{name}" for name in state
            ),
        }
    if isinstance(dataset.kind, Latest):
        identity = dataset.key if "source" in dataset.key else (*dataset.key, "source")
        values |= {
            "key": _listed(dataset.key),
            "t.key": _listed(dataset.key, "t."),
            "i.key": _listed(dataset.key, "i."),
            "key values": _key_values(dataset),
            "identity": _listed(identity),
            "touch": _TOUCH if dataset.kind.timestamps else "",
        }
    if dataset.partition_by:
        values["partition_by"] = dataset.partition_by
    return values


_TOUCH = """,
        updated_at = CASE WHEN t.content_hash = EXCLUDED.content_hash THEN t.updated_at ELSE now() END"""


def _conditions(dataset: Dataset) -> list[str]:
    never_null = [f"{column.name} IS NOT NULL" for column in dataset.content if column.not_null]
    return [*never_null, *(rule.check for rule in dataset.rules)]


def _listed(names: Iterable[str], prefix: str = "") -> str:
    return ", ".join(f"{prefix}{name}" for name in names)


def _key_values(dataset: Dataset) -> str:
    types = {each.name: each.type for each in dataset.key_columns}
    return ", ".join(
        f"(%(key)s::text[])[{place}]::{types.get(name, 'text')}" for place, name in enumerate(dataset.key, 1)
    )


def _defined(columns: Sequence[Column]) -> str:
    return ",\n    ".join(f"{each.name} {each.type}{' NOT NULL' if each.not_null else ''}" for each in columns)
