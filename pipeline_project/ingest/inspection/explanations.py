"""Explain where the values of a row come from: object, record and mapping of each, and the values that lost."""

import csv
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from pipeline_project.database import Connection
from pipeline_project.errors import Permanent
from pipeline_project.schema.dataset import CANONICAL_ID, Dataset, Versioned
from pipeline_project.schema.sql_files import query
from pipeline_project.schema.templates import statement

_PROVENANCE = (
    *("canonical_id", "source", "source_id", "version", "valid_to", "attributes", "quality_score"),
    *("source_updated_at", "object_modified_at", "object_id", "ordinal", "mapping_version", "content_hash"),
    *("record_digest", "created_at", "updated_at", "recorded_at"),
)


def provenance(dataset: Dataset) -> list[str]:
    """Return the columns of a table that are no fields of a record."""
    surrogate = (dataset.kind.id,) if isinstance(dataset.kind, Versioned) else ()
    return [*_PROVENANCE, *dataset.key, *surrogate, *((dataset.rest.name,) if dataset.rest else ())]


@dataclass(frozen=True, kw_only=True)
class State:
    """A version of a row, as one record described it. `valid_to` is None for the current version."""

    version: int | None
    """None in a dataset that keeps the latest row only."""
    fields: dict[str, Any]
    """Columns and attributes that are not null."""
    key: str | None
    """Key of the object. None if the ledger does not have the object."""
    object_id: int
    ordinal: int
    mapping_version: int | None
    """None in a dataset that keeps the latest row only."""
    mapping_since: datetime | None
    """Time since which the mapping version is used. None if that is not stored."""
    valid_from: datetime
    valid_to: datetime | None
    recorded_at: datetime | None
    """Time at which the version was recorded. For a late-arriving version, it is later than for its successor. None if the
    table does not have the time."""
    confirmations: int
    """Number of later records that repeated the version."""
    columns: dict[str, list[str]] = field(default_factory=dict)
    """The columns of the object that were read as each field. Empty if the object is older than the column report."""


@dataclass(frozen=True, kw_only=True)
class Patch:
    """What a partial record sent. `columns` and the attributes up to `valid_from` are those of `State`."""

    key: str | None
    object_id: int
    ordinal: int
    mapping_version: int
    mapping_since: datetime | None
    valid_from: datetime
    deleted: bool
    whole: bool
    """True if the record was loaded before the source was partial, and so keeps nothing of earlier records."""
    sent: dict[str, Any]
    """Columns and attributes that the record sent. None: the record empties the field."""
    base: dict[str, Any]
    """Fallback values of columns that the record did not send."""
    columns: dict[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Value:
    """The value of a field, what set it, and the earlier values, the latest first."""

    field: str
    value: Any
    set_by: State | Patch
    """The version that set the value. If the source is partial: the record that sent it."""
    lost: list[tuple[Any, State]]


@dataclass(frozen=True, kw_only=True)
class LostRow:
    """A record of the row that could not be loaded."""

    reject_id: int
    key: str
    ordinal: int
    line: int | None
    status: str
    reasons: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Everything that is stored about a row."""

    key: str
    deleted: bool
    values: list[Value]
    states: list[State]
    rejects: list[LostRow] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    """The records of a partial source, in the order of their positions."""


def explain(connection: Connection, dataset: Dataset, key: str, only: str | None = None) -> Explanation:
    """Explain a row, or one field of it. Raises Permanent if the row or field does not exist.

    The key is a canonical ID. If a dataset has more columns in its key, their values are separated by commas, as in CSV.
    """
    values = [key] if dataset.key == (CANONICAL_ID,) else next(csv.reader([key]), [])
    states = [_state(dataset, row) for row in _states(connection, dataset, values)]
    rejects = [
        LostRow(
            reject_id=reject_id,
            key=object_key,
            ordinal=ordinal,
            line=line,
            status=status,
            reasons="; ".join(f"{error['field']} {error['message']}".strip() for error in errors),
        )
        for reject_id, object_key, ordinal, line, status, errors in connection.execute(
            query("ingest/inspection/explain_rejects"), {"canonical_id": key, "dataset": dataset.name}
        )
    ]
    with connection.cursor(row_factory=class_row(Patch)) as cursor:
        patches = cursor.execute(
            query("ingest/inspection/explain_patches"), {"canonical_id": key, "dataset": dataset.name}
        ).fetchall()
    if not states and not rejects and not patches:
        raise Permanent(f"The dataset {dataset.name} has no row {key!r}. {_form_of_key(dataset)}")
    names = sorted(
        {name for sent in (*(each.fields for each in states), *(each.sent for each in patches)) for name in sent}
    )
    if only is not None:
        if only not in names:
            raise Permanent(f"{key} has no field {only!r}. It has {', '.join(names)}.")
        names = [only]
    senders = _senders(patches, states[-1]) if states else {}
    return Explanation(
        key=key,
        deleted=bool(states and states[-1].fields.get("deleted")),
        values=[_value(states, name, senders.get(name)) for name in names if states and name != "deleted"],
        states=states,
        rejects=rejects,
        patches=patches,
    )


def _states(connection: Connection, dataset: Dataset, key: list[str]) -> list[tuple[Any, ...]]:
    """Return the stored rows. A key that does not fit the columns has none."""
    if len(key) != len(dataset.key):
        return []
    try:
        with connection.transaction():
            return connection.execute(statement("ingest/inspection/explain_states", dataset), {"key": key}).fetchall()
    except psycopg.DataError:  # for example, a text that is not a day
        return []


def _form_of_key(dataset: Dataset) -> str:
    if dataset.key == (CANONICAL_ID,):
        return "A key is <source>_<ID in the source>, for example crm_42."
    return f"A key is {','.join(dataset.key)}: the values of these columns, separated by commas."


def _state(dataset: Dataset, row: tuple[Any, ...]) -> State:
    version, valid_to, recorded_at, state, key, confirmations, mapping_since, names, read_as = row
    columns: dict[str, list[str]] = {}
    for name, each in zip(names or (), read_as or (), strict=True):
        columns.setdefault(each or name, []).append(name)
    left_out = {*provenance(dataset)}
    fields = {name: value for name, value in state.items() if name not in left_out and value is not None}
    rest = state[dataset.rest.name] if dataset.rest else {}
    return State(
        version=version,
        fields={**rest, **fields},
        key=key,
        object_id=state["object_id"],
        ordinal=state["ordinal"],
        mapping_version=state.get("mapping_version"),
        mapping_since=mapping_since,
        valid_from=datetime.fromisoformat(state["source_updated_at"]),
        valid_to=valid_to,
        recorded_at=recorded_at,
        confirmations=confirmations,
        columns=columns,
    )


def _senders(patches: list[Patch], current: State) -> dict[str, Patch]:
    """Return the record that gave each field the value of the current version."""
    senders: dict[str, tuple[Any, Patch]] = {}
    was_deleted = False
    for place, patch in enumerate(patches):
        begins_life = place == 0 or patch.whole or (was_deleted and not patch.deleted)
        if begins_life:
            senders = {}
        for name, value in ({**patch.base, **patch.sent} if begins_life else patch.sent).items():
            if name not in senders or senders[name][0] != value:
                senders[name] = (value, patch)
        was_deleted = patch.deleted
        if (patch.object_id, patch.ordinal) == (current.object_id, current.ordinal):
            return {name: sender for name, (_, sender) in senders.items()}
    return {}


def _value(states: list[State], name: str, sender: Patch | None) -> Value:
    """Return the current value of a field with what set it, and the earlier values, the latest first."""
    changes: list[tuple[Any, State]] = []
    for state in states:
        value = state.fields.get(name)
        if not changes or json.dumps(changes[-1][0]) != json.dumps(value):
            changes.append((value, state))
    (value, set_by), *lost = reversed(changes)
    return Value(field=name, value=value, set_by=sender or set_by, lost=lost)
