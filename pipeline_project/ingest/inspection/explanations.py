"""Explain where the values of an entity come from: object, record and mapping of each, and the values that lost."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline_project.database import Connection
from pipeline_project.errors import Permanent
from pipeline_project.schema.sql_files import query

PROVENANCE = [
    *("entity_id", "canonical_id", "source", "source_id", "version", "valid_to", "attributes", "quality_score"),
    *("source_updated_at", "object_modified_at", "object_id", "ordinal", "mapping_version", "content_hash"),
    *("record_digest", "created_at", "updated_at", "recorded_at"),
]
"""Columns of a version's row that are not fields of the entity."""


@dataclass(frozen=True, kw_only=True)
class State:
    """A version of an entity, as one record described it. `valid_to` is None for the current version."""

    version: int
    fields: dict[str, Any]
    """Columns and attributes that are not null."""
    key: str | None
    """Key of the object. None if the ledger does not have the object."""
    object_id: int
    ordinal: int
    mapping_version: int
    mapping_since: datetime | None
    """Since when that mapping version is used; None if it is older than the table of mapping versions."""
    valid_from: datetime
    valid_to: datetime | None
    recorded_at: datetime
    """Time at which the version was recorded. For a late-arriving version, it is later than for its successor."""
    confirmations: int
    """Number of later records that repeated the version."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """The value of a field, the version that set it, and the earlier values, the latest first."""

    field: str
    value: Any
    set_by: State
    lost: list[tuple[Any, State]]


@dataclass(frozen=True, kw_only=True)
class LostRow:
    """A record of the entity that could not be loaded."""

    reject_id: int
    key: str
    ordinal: int
    line: int | None
    status: str
    reasons: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Everything that is stored about an entity."""

    canonical_id: str
    deleted: bool
    values: list[Value]
    states: list[State]
    rejects: list[LostRow] = field(default_factory=list)


def explain(connection: Connection, canonical_id: str, only: str | None = None) -> Explanation:
    """Explain an entity, or one field of it. Raises Permanent if the entity or field does not exist."""
    states = [
        _state(row)
        for row in connection.execute(query("ingest/inspection/explain_states"), {"canonical_id": canonical_id})
    ]
    rejects = [
        LostRow(
            reject_id=reject_id,
            key=key,
            ordinal=ordinal,
            line=line,
            status=status,
            reasons="; ".join(f"{error['field']} {error['message']}".strip() for error in errors),
        )
        for reject_id, key, ordinal, line, status, errors in connection.execute(
            query("ingest/inspection/explain_rejects"), {"canonical_id": canonical_id}
        )
    ]
    if not states and not rejects:
        raise Permanent(
            f"there is no entity {canonical_id!r}: an id is <source>_<id in the source>, for instance crm_42"
        )
    names = sorted({name for state in states for name in state.fields})
    if only is not None:
        if only not in names:
            raise Permanent(f"{canonical_id} has no field {only!r}; it has {', '.join(names)}")
        names = [only]
    return Explanation(
        canonical_id=canonical_id,
        deleted=bool(states and states[-1].fields.get("deleted")),
        values=[_value(states, name) for name in names if name != "deleted"],
        states=states,
        rejects=rejects,
    )


def _state(row: tuple[Any, ...]) -> State:
    version, valid_to, recorded_at, state, key, confirmations, mapping_since = row
    fields = {name: value for name, value in state.items() if name not in PROVENANCE and value is not None}
    return State(
        version=version,
        fields={**state["attributes"], **fields},
        key=key,
        object_id=state["object_id"],
        ordinal=state["ordinal"],
        mapping_version=state["mapping_version"],
        mapping_since=mapping_since,
        valid_from=datetime.fromisoformat(state["source_updated_at"]),
        valid_to=valid_to,
        recorded_at=recorded_at,
        confirmations=confirmations,
    )


def _value(states: list[State], name: str) -> Value:
    """Return the current value of a field with the version that set it, and the earlier values, the latest first."""
    changes: list[tuple[Any, State]] = []
    for state in states:
        value = state.fields.get(name)
        if not changes or json.dumps(changes[-1][0]) != json.dumps(value):
            changes.append((value, state))
    (value, set_by), *lost = reversed(changes)
    return Value(field=name, value=value, set_by=set_by, lost=lost)
