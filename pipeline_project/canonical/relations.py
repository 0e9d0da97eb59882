"""The relations that the database has for each dataset: its table, its history and its views, described column by column.

Migrations and the list of what a query may read are made from them (migration_maker.py, analytics/allowed.py). The API imports
this module, so the import must be cheap. Nothing here connects to a database.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pipeline_project.schema.dataset import CANONICAL_ID, Dataset, Latest, Versioned
from pipeline_project.schema.dataset import Column as DatasetColumn
from pipeline_project.schema.fields import Declared, Role

SCHEMAS = {
    "analytics": "Views of the current data, for operations and for queries of people.",
    "canonical": "Tables of the datasets, and their history.",
    "ingest": "The ledger of objects, the rejected records, and the state of the loader.",
}
"""The schemas with their descriptions."""


class Column(NamedTuple):
    """A column of a table or view."""

    name: str
    description: str
    type: str = ""
    """The type as the declaration has it. Empty in a view, whose columns have the types of the table."""
    not_null: bool = False
    definition: str = ""
    """What follows in CREATE TABLE: a default or a generation expression."""


@dataclass(frozen=True, kw_only=True)
class Relation:
    """A table or view, with what the declaration demands of it."""

    schema: Literal["canonical", "analytics"]
    name: str
    kind: Literal["table", "view"]
    description: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    checks: tuple[str, ...] = ()
    """Conditions of the rules, as CHECK has them."""
    privileges: tuple[str, ...] = ("SELECT",)
    """What the loader may do."""
    shows: str | None = None
    """The name of the table whose columns a view shows. None for a view that is written by hand."""

    @property
    def full_name(self) -> str:
        """The name with its schema."""
        return f"{self.schema}.{self.name}"


def relations(dataset: Dataset) -> tuple[Relation, ...]:
    """Return the tables and views of a dataset, in the order in which they can be made."""
    if isinstance(dataset.kind, Versioned):
        return (
            _versioned_table(dataset, dataset.kind),
            _versions_table(dataset, dataset.kind),
            _blocks_table(dataset.kind),
            _confirmations_view(dataset.kind),
            _versioned_view(dataset),
            _versions_view(dataset, dataset.kind),
        )
    return (_latest_table(dataset, dataset.kind), _latest_view(dataset))


def analytics_views(declared: Iterable[Dataset]) -> dict[str, Relation]:
    """Return every view of the schema `analytics` by name: those of the datasets, and those of the platform."""
    found = [each for dataset in declared for each in relations(dataset) if each.schema == "analytics"]
    return {each.name: each for each in (*found, *PLATFORM_VIEWS)}


_POSITION = (
    Column("source_updated_at", "When the source last changed the record.", "timestamptz", True),
    Column("object_modified_at", "When the object with the record was uploaded.", "timestamptz", True),
    Column("object_id", "The object with the record, a row of ingest.objects.", "bigint", True),
    Column("ordinal", "Number of the record in its object, from 1.", "integer", True),
)
_HASH = Column("content_hash", "Hash of the content. Rows with equal hashes have equal content.", "uuid", True)
_SOURCE = Column("source", "The source system.", "text", True)
_CREATED = Column("created_at", "When the row was inserted.", "timestamptz", True, "DEFAULT now()")
_UPDATED = Column("updated_at", "When the content last changed.", "timestamptz", True, "DEFAULT now()")
_MAPPING_VERSION = Column("mapping_version", "Version of the mapping that read the record.", "integer", True)
_QUALITY = Column("quality_score", "Share of the fields that the record sent, from 0 to 1.", "real", True)
_DIGEST = Column(
    "record_digest", "Digest of the record as it was sent, and of the mapping version. Equal digests need no mapping.",
    "uuid", True,
)  # fmt: skip
_METADATA = Column("metadata", "Provenance: object, record, ID in the source, mapping version and quality score.")


def _described(dataset: Dataset, column: DatasetColumn) -> str:
    """Return the description as a sentence. A canonical ID is described by the ID that it is made of."""
    text = column.description.removesuffix(".")
    if column.field in (None, "deleted"):
        return f"{text}."
    if Declared.of(dataset.record, column.field or "").role in (Role.OWN_ID, Role.REFERENCE):
        text += ", after the name of the source and an underscore"
    return f"{text}."


def _own(dataset: Dataset, columns: Iterable[DatasetColumn], *, key: bool = False) -> list[Column]:
    return [Column(each.name, _described(dataset, each), each.type, each.not_null or key) for each in columns]


def _shown(dataset: Dataset) -> list[Column]:
    """Return the columns of the content that a view shows. The view has no tombstones, so `deleted` is left out."""
    return [each for each in _own(dataset, dataset.content) if each.name != "deleted"]


def _key(dataset: Dataset) -> list[Column]:
    columns = {each.name: each for each in _own(dataset, dataset.key_columns, key=True)}
    return [_SOURCE if name == "source" else columns[name] for name in dataset.key]


def _key_and_source(dataset: Dataset) -> list[Column]:
    key = _key(dataset)
    return key if _SOURCE in key else [*key, _SOURCE]


def _checks(dataset: Dataset) -> tuple[str, ...]:
    return tuple(rule.check for rule in dataset.rules)


def _versioned_table(dataset: Dataset, kind: Versioned) -> Relation:
    identity = Column(
        kind.id, "Surrogate key. It never changes.", "bigint", True, "GENERATED ALWAYS AS IDENTITY"
    )  # fmt: skip
    source_id = Column(
        "source_id", _source_id(dataset), "text", False,
        f"GENERATED ALWAYS AS (substr({CANONICAL_ID}, length(source) + 2)) VIRTUAL",
    )  # fmt: skip
    version = Column("version", "Number of the current version, from 1.", "integer", True)
    return Relation(
        schema="canonical",
        name=dataset.table,
        kind="table",
        description=dataset.description,
        columns=(
            *(identity, *_POSITION, _CREATED, _UPDATED, _MAPPING_VERSION, _DIGEST, _HASH, version, _QUALITY),
            *(*_key_and_source(dataset), source_id, *_own(dataset, dataset.content)),
        ),
        primary_key=(kind.id,),
        unique=(dataset.key,),
        checks=_checks(dataset),
        privileges=("SELECT", "INSERT", "UPDATE"),
    )


def _source_id(dataset: Dataset) -> str:
    """Return the description of the ID that the source sends."""
    return next(f"{each.description}." for each in dataset.columns if each.name == CANONICAL_ID)


def _versions_table(dataset: Dataset, kind: Versioned) -> Relation:
    return Relation(
        schema="canonical",
        name=_bare(kind.versions),
        kind="table",
        description=f"Earlier versions: {dataset.description[0].lower()}{dataset.description[1:]}",
        columns=(
            Column(kind.id, f"The row of canonical.{dataset.table}.", "bigint", True),
            *_POSITION,
            Column("valid_to", "When the next version begins. The version itself begins at source_updated_at.",
                   "timestamptz", True),
            Column("recorded_at", "When the row was inserted.", "timestamptz", True, "DEFAULT now()"),
            *(_MAPPING_VERSION, _DIGEST, _HASH),
            Column("version", "Number of the version, from 1.", "integer", True),
            *(_QUALITY, *_own(dataset, dataset.content)),
        ),
        primary_key=(kind.id, "version"),
        privileges=("SELECT", "INSERT", "UPDATE", "DELETE"),
    )  # fmt: skip


def _blocks_table(kind: Versioned) -> Relation:
    return Relation(
        schema="canonical",
        name=_bare(kind.blocks),
        kind="table",
        description="Confirmations, many to a row: records that found their content already stored.",
        columns=(
            Column("block", f"canonical.confirmation_block of each {kind.id}.", "bigint", True),
            *(each for each in _POSITION if each.name in ("object_id", "object_modified_at")),
            *(_SOURCE, _MAPPING_VERSION),
            Column("latest_updated_at", "The greatest of source_updated_ats.", "timestamptz", True),
            Column(f"{kind.id}s", "What was confirmed. The three arrays have the same length.", "bigint[]", True),
            Column("source_updated_ats", "When the source last changed each record.", "timestamptz[]", True),
            Column("ordinals", "Number of each record in its object, from 1.", "integer[]", True),
        ),
        privileges=("SELECT", "INSERT", "UPDATE", "DELETE"),
    )


def _confirmations_view(kind: Versioned) -> Relation:
    return Relation(
        schema="canonical",
        name=_bare(kind.confirmations),
        kind="view",
        description="Confirmations, one to a row. Filter by block too: the index begins with it.",
        columns=(
            Column("block", f"canonical.confirmation_block of the {kind.id}."),
            Column(kind.id, "What was confirmed."),
            *(Column(each.name, each.description) for each in (*_POSITION, _MAPPING_VERSION)),
        ),
    )


def _versioned_view(dataset: Dataset) -> Relation:
    return _analytics_view(
        dataset.table,
        dataset.description,
        *(*_key_and_source(dataset), Column("source_id", _source_id(dataset)), *_shown(dataset), _METADATA),
        *(_QUALITY, Column("version", "Number of the version, from 1.")),
        *(_POSITION[0], _CREATED, _UPDATED),
        shows=dataset.table,
    )


def _versions_view(dataset: Dataset, kind: Versioned) -> Relation:
    return _analytics_view(
        _bare(kind.versions),
        f"Earlier versions, tombstones included: {dataset.description[0].lower()}{dataset.description[1:]}",
        *_key_and_source(dataset),
        Column("version", "Number of the version, from 1."),
        *_own(dataset, dataset.content),
        Column("valid_from", "When the version begins: when the source changed the record."),
        Column("valid_to", "When the next version begins."),
        Column("recorded_at", "When the version became an earlier one."),
        shows=_bare(kind.versions),
    )


def _latest_table(dataset: Dataset, kind: Latest) -> Relation:
    return Relation(
        schema="canonical",
        name=dataset.table,
        kind="table",
        description=dataset.description,
        columns=(
            *(*_key_and_source(dataset), *_POSITION, _HASH),
            *((_CREATED, _UPDATED) if kind.timestamps else ()),
            *_own(dataset, dataset.content),
        ),
        primary_key=dataset.key,
        checks=_checks(dataset),
        privileges=("SELECT", "INSERT", "UPDATE"),
    )


def _latest_view(dataset: Dataset) -> Relation:
    columns = (*_key_and_source(dataset), *_shown(dataset))
    return _analytics_view(dataset.table, dataset.description, *columns, shows=dataset.table)


def _analytics_view(name: str, description: str, *columns: Column, shows: str | None = None) -> Relation:
    """Return a view of the schema `analytics`. Its columns have the types of the table, so only their descriptions count."""
    return Relation(
        schema="analytics",
        name=name,
        kind="view",
        description=description,
        columns=tuple(Column(each.name, each.description) for each in columns),
        shows=shows,
    )


def _bare(name: str) -> str:
    """Return the name of a relation without its schema."""
    return name.partition(".")[2]


PLATFORM_VIEWS = (
    _analytics_view(
        "data_version",
        "The version of all data. Each load raises it.",
        Column("data_version", "A number that grows with each load that changed a row."),
        Column("changed_at", "When it was last raised."),
    ),
    _analytics_view(
        "objects",
        "The ledger: every object that was discovered, and its state.",
        Column("object_id", "Hash of bucket, key and version."),
        Column("key", "Key in the landing bucket."),
        Column("source", "The source system. Null: no source has this folder."),
        Column("dataset", "The dataset of its records."),
        Column("state", "discovered, claimed, loaded, loaded_with_rejects, failed, unroutable or superseded."),
        Column("size", "Size in bytes."),
        Column("records", "Number of records."),
        Column("inserted", "Records that became new rows."),
        Column("updated", "Records that changed a row."),
        Column("unchanged", "Records whose content was already stored."),
        Column("stale", "Records that are older than what is stored."),
        Column("rejected", "Records that could not be loaded."),
        Column("deleted", "Records that are tombstones."),
        Column("discovered_at", "When the object was discovered."),
        Column("started_at", "When loading last began."),
        Column("finished_at", "When loading last ended."),
    ),
    _analytics_view(
        "object_columns",
        "The columns that files had, and what each was read as.",
        Column("object_id", "Hash of bucket, key and version."),
        Column("key", "Key in the landing bucket."),
        Column("source", "The source system."),
        Column("dataset", "The dataset of the records."),
        Column("last_modified", "When the file was uploaded."),
        Column("place", "Number of the column, from 1."),
        Column("column_name", "Name of the column as it was sent."),
        Column("field", "The field that the column was read as. Null: it became an attribute."),
        Column("filled", "How many of the records that were looked at fill the column."),
        Column("looked_at", "How many records were looked at. Of stored records, some are."),
    ),
    _analytics_view(
        "reject_counts",
        "Rejected records, counted by source, dataset and status.",
        Column("source", "The source system."),
        Column("dataset", "The dataset of the records."),
        Column("status", "open, resolved, superseded or discarded."),
        Column("rejects", "Number of rejected records."),
        Column("latest", "When the latest of them was rejected."),
    ),
    _analytics_view(
        "snapshots",
        "Exports that contain everything, and what became of them.",
        Column("source", "The source system."),
        Column("dataset", "The dataset of the records."),
        Column("scope", "What the snapshot is about, for example a country. Empty: everything."),
        Column("name", "Name of the snapshot, from the keys of its objects."),
        Column("state", "open, held, closed or discarded."),
        Column("as_of", "When the exporter read. Null: not known yet."),
        Column("reason", "Why it is open or held."),
        Column("parts", "Number of loaded parts."),
        Column("members", "Number of records that it has."),
        Column("deletes", "Number of records that it deletes, or would delete if it is held."),
        Column("restores", "Number of records that it brings back."),
        Column("opened_at", "When its first part was loaded."),
        Column("settled_at", "When it was last closed, held or discarded."),
    ),
    _analytics_view(
        "schema_version",
        "The version of the schema.",
        Column("schema_version", "Timestamp of the latest migration."),
    ),
)
"""Views that show no dataset. Migrations that are written by hand make them."""
