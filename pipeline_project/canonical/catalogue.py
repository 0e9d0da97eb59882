"""Reads the relations, columns, keys and comments of a database from the catalogue of PostgreSQL."""

from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline_project.database import Connection
from pipeline_project.schema.sql_files import query


class FoundColumn(NamedTuple):
    """A column of a relation."""

    type: str
    not_null: bool
    comment: str | None


@dataclass
class FoundRelation:
    """A table or view."""

    oid: int
    comment: str | None
    privileges: frozenset[str]
    """What the loader may do."""
    definition: str | None
    """The SELECT of a view."""
    columns: dict[str, FoundColumn] = field(default_factory=dict[str, FoundColumn])
    primary_key: tuple[str, ...] = ()
    unique: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])


def catalogue(connection: Connection) -> dict[str, FoundRelation]:
    """Read the tables and views of the schemas canonical and analytics, by their full names."""
    connection.execute("SET LOCAL search_path = pg_catalog")  # so that definitions of views name each schema
    found: dict[str, FoundRelation] = {}
    for oid, name, comment, privileges, definition in connection.execute(query("canonical/catalogue_relations")):
        found[name] = FoundRelation(oid, comment, frozenset(privileges), definition)
    by_oid = {each.oid: each for each in found.values()}
    for oid, name, *column in connection.execute(query("canonical/catalogue_columns")):
        by_oid[oid].columns[name] = FoundColumn(*column)
    for oid, is_primary, columns in connection.execute(query("canonical/catalogue_keys")):
        if is_primary:
            by_oid[oid].primary_key = tuple(columns)
        else:
            by_oid[oid].unique.append(tuple(columns))
    return found
