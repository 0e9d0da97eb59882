"""Records that send only what changed, in any order, and the tables that they make: `folded` says so in plain Python."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise
from typing import Any

from hypothesis import strategies as st

from pipeline_project.datasets.entities import Entity
from pipeline_project.schema.fields import Amount, Day, Label, aliased
from pipeline_project.sources.source import Source
from pipeline_project_tests.landing import BEGINNING

UNSENT = "-"
"""A field that a record does not have."""
MODEL_FIELDS = 14
"""Fields of the model that the quality score counts, with the ID."""


class Changes(Entity):
    """A field in an object, and a field without a column."""

    revenue: Amount | None = aliased("figures.revenue", "revenue")
    founded: Day | None = aliased("founded")


class MendedChanges(Changes):
    """A corrected mapping: it knows what the source calls a name and a time."""

    name: Label | None = aliased("name", "title")
    updated_at: datetime | None = aliased("updated_at", "changed")


FEED = Source(
    name="feed",
    description="A source that sends only what changed",
    records=(Changes,),
    fallbacks={"entity_type": "customer"},
    reject_threshold=0.9,
    partial=("entities",),
)
WHOLE_FEED = Source(**{**vars(FEED), "partial": ()})
MENDED_FEED = Source(**{**vars(FEED), "records": (MendedChanges,)})


@dataclass(frozen=True)
class Change:
    """One record of a partial source."""

    number: int
    updated: int | None
    """Half days before the beginning. None: not sent."""
    deleted: bool = False
    fields: tuple[tuple[str, Any], ...] = ()
    """What else the record sends. None is a null."""
    nested: bool = False
    """Whether the revenue is in an object."""

    @property
    def is_bad(self) -> bool:
        """Return whether the record empties the name of an entity that exists."""
        return not self.deleted and dict(self.fields).get("name", UNSENT) is None

    def text(self) -> dict[str, Any]:
        """Return the record as it is sent."""
        record = {"id": self.number, **dict(self.fields)}
        if self.updated is not None:
            at = (BEGINNING - timedelta(hours=12 * self.updated)).isoformat()
            record["changed" if "title" in record else "updated_at"] = at
        if self.deleted:
            record["_deleted"] = True
        if self.nested and "revenue" in record:
            record["figures"] = {"revenue": record.pop("revenue")}
        return record


@dataclass(frozen=True)
class Delta:
    """One upload of a partial source."""

    name: str
    second: int
    changes: tuple[Change, ...]

    @property
    def modified_at(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.second)

    def content(self) -> bytes:
        return json.dumps([change.text() for change in self.changes]).encode()


def _sends(values: dict[str, list[Any]]) -> st.SearchStrategy[tuple[tuple[str, Any], ...]]:
    choices = {name: st.just(UNSENT) | st.sampled_from(each) for name, each in values.items()}
    return st.fixed_dictionaries(choices).map(
        lambda sent: tuple((name, value) for name, value in sent.items() if value != UNSENT)
    )


SENT = {
    "name": ["A", "A", "B", None],
    "revenue": [None, 0, 1],
    "entity_type": [None, "supplier"],
    "founded": [None, "2001-01-01"],
    "phone": [None, "1", "2"],
    "site": [None, {"city": "X"}, {"zip": None}],
}


MENDABLE = {**SENT, "name": ["A", "B"], "title": ["T"]}
"""A corrected mapping reads `title` as the name."""
REPEATED = {"name": ["A"], "revenue": [0, 1], "phone": [None, "1"]}
"""Few values, so that many records say the same again."""


def deltas(sent: dict[str, list[Any]] = SENT, *, ids: Sequence[int] = (1, 1, 2)) -> st.SearchStrategy[Delta]:
    """Uploads whose records send some of these fields."""
    change = st.builds(
        Change,
        number=st.sampled_from(ids),
        updated=st.none() | st.integers(0, 3),
        deleted=st.sampled_from([False] * 7 + [True]),
        fields=_sends(sent).filter(lambda fields: not {"name", "title"} <= {name for name, _ in fields}),
        nested=st.booleans(),
    )
    return st.builds(
        Delta,
        name=st.sampled_from("abc"),
        second=st.integers(0, 3),
        changes=st.lists(change, min_size=1, max_size=5).map(tuple),
    )


# --- what has to be there afterwards


@dataclass(frozen=True)
class Patch:
    """A record as a mapping read it."""

    position: tuple[datetime, datetime, int, int]
    mapping: int
    deleted: bool
    columns: dict[str, Any]
    attributes: dict[str, Any]
    whole: bool = False


@dataclass
class State:
    """A version of an entity."""

    patch: Patch
    content: tuple[Any, ...]


def patches(object_id: int, delta: Delta, mapping: int = 1) -> Iterator[tuple[str, Patch]]:
    """Return the valid records of an upload with their canonical IDs, as this mapping reads them."""
    for ordinal, change in enumerate(delta.changes, 1):
        if change.is_bad:
            continue
        sent = dict(change.fields)
        if mapping > 1 and "title" in sent:
            title = sent.pop("title")
            sent["name"] = sent.get("name") or title
        at = delta.modified_at
        if change.updated is not None and (mapping > 1 or "title" not in dict(change.fields)):
            at = BEGINNING - timedelta(hours=12 * change.updated)
        elif change.updated is not None:
            sent["changed"] = (BEGINNING - timedelta(hours=12 * change.updated)).isoformat()
        columns = {name: sent.pop(name) for name in ("name", "revenue", "entity_type") if name in sent}
        if columns.get("entity_type", UNSENT) is None:
            columns["entity_type"] = "customer"
        position = (at, delta.modified_at, object_id, ordinal)
        yield f"feed_{change.number}", Patch(position, mapping, change.deleted, columns, sent)


def whole_rows(object_id: int, delta: Delta) -> Iterator[tuple[str, Patch]]:
    """Return what an upload says if its records are whole: of each entity the last valid record, if it has a name."""
    newest: dict[str, Patch] = {}
    for key, patch in patches(object_id, delta):
        if patch.deleted or patch.columns.get("name") is not None:
            newest[key] = max(newest.get(key, patch), patch, key=lambda each: each.position)
    for key, patch in newest.items():
        yield key, replace(patch, whole=True)


def by_entity(uploads: Iterable[tuple[int, Delta, int]]) -> dict[str, list[Patch]]:
    """Return the valid records of uploads by canonical ID."""
    said: dict[str, list[Patch]] = defaultdict(list)
    for upload in uploads:
        for key, patch in patches(*upload):
            said[key].append(patch)
    return said


def folded(of_entity: Sequence[Patch]) -> list[State]:
    """Return the versions of an entity: the states of its patches in their order, without those that say nothing new.

    A state without a name does not count, unless it is a tombstone. Of one object and time only the last state counts.
    """
    states: list[State] = []
    columns: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    was_deleted: bool | None = None
    in_order = sorted(of_entity, key=lambda patch: patch.position)
    for _, of_time in groupby(in_order, lambda patch: patch.position[:3]):
        state: State | None = None
        for patch in of_time:
            if was_deleted is None or patch.whole or (was_deleted and not patch.deleted):
                columns, attributes = {"entity_type": "customer"}, {}
            columns = {**columns, **patch.columns}
            attributes = {
                name: value for name, value in {**attributes, **patch.attributes}.items() if value is not None
            }
            was_deleted = patch.deleted
            name, revenue = columns.get("name"), columns.get("revenue")
            amount = None if revenue is None else Decimal(revenue)
            if patch.deleted or name is not None:
                state = State(patch, (patch.deleted, name, amount, columns["entity_type"], attributes))
        if state is not None and (not states or states[-1].content != state.content):
            states.append(state)
    return states


Tables = dict[str, list[tuple[Any, ...]]]


def model(uploads: Iterable[tuple[int, Delta, int]]) -> Tables:
    """Return what the uploads make, each with its object ID and the newest mapping that has read it."""
    uploads = list(uploads)
    said = by_entity(uploads)
    result: Tables = {"entities": [], "versions": [], "patches": [], "rejects": []}
    for object_id, delta, _ in uploads:
        result["rejects"] += [
            (object_id, ordinal, f"feed_{change.number}", "open")
            for ordinal, change in enumerate(delta.changes, 1)
            if change.is_bad
        ]
    for key, of_entity in sorted(said.items()):
        rows = [
            (key, *state.patch.position, state.patch.mapping, number, *state.content, _quality(state.content))
            for number, state in enumerate(folded(of_entity), 1)
        ]
        result["entities"] += rows[-1:]
        result["versions"] += [(*row, following[1]) for row, following in pairwise(rows)]
        result["patches"] += sorted((key, *patch.position, patch.mapping) for patch in of_entity)
    result["rejects"].sort()
    return result


def _quality(content: tuple[Any, ...]) -> float:
    *columns, attributes = content[1:]
    present = 1 + sum(value is not None for value in columns) + ("founded" in attributes)
    return round(present / MODEL_FIELDS, 2)


_STATE = """
    canonical_id, {row}.source_updated_at, {row}.object_modified_at, {row}.object_id, {row}.ordinal, {row}.mapping_version,
    {row}.version, {row}.deleted, {row}.name, {row}.revenue, {row}.entity_type, {row}.attributes,
    round({row}.quality_score::numeric, 2)::float"""
READ = {
    "entities": f"SELECT {_STATE.format(row='e')} FROM canonical.entities e ORDER BY canonical_id",
    "versions": f"""
        SELECT {_STATE.format(row="v")}, v.valid_to
        FROM canonical.entity_versions v JOIN canonical.entities e USING (entity_id) ORDER BY canonical_id, v.version""",
    "patches": """
        SELECT record_key, source_updated_at, object_modified_at, object_id, ordinal, mapping_version
        FROM ingest.patches ORDER BY 1, 2, 3, 4, 5""",
    "rejects": "SELECT object_id, ordinal, record_key, status FROM ingest.rejects ORDER BY 1, 2",
}
