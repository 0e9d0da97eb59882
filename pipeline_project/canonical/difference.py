"""Compares a database with the declaration of the datasets, and finds the statements that add what is missing."""

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from pipeline_project.canonical.catalogue import FoundRelation, catalogue
from pipeline_project.canonical.relations import PLATFORM_VIEWS, SCHEMAS, Column, Relation, relations
from pipeline_project.database import Connection
from pipeline_project.schema.dataset import Dataset, Versioned
from pipeline_project.schema.sql_files import query
from pipeline_project.schema.templates import statement

_FIXED_WIDTH = {"timestamptz": 0, "bigint": 0, "date": 1, "integer": 1, "real": 1, "uuid": 2, "boolean": 3}
"""Order of the types of fixed width. Types with the strictest alignment come first, so that no padding is needed."""


@dataclass
class Difference:
    """Differences between the declaration and the database."""

    statements: list[str]
    """Additions, in the order in which they were executed."""
    by_hand: list[str]
    """Differences that are no additions, each with what to write by hand."""


def difference(connection: Connection, datasets: Iterable[Dataset]) -> Difference:
    """Compare a database with the declaration, and execute what is to be added. The caller rolls the transaction back."""
    return _Comparison(connection).run(datasets)


class _Comparison:
    """One comparison. Additions are executed at once, so that later ones see them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._found = catalogue(connection)
        self._result = Difference([], [])

    def run(self, datasets: Iterable[Dataset]) -> Difference:
        declared = [(dataset, relations(dataset)) for dataset in datasets]
        types = {column.type for _, each in declared for relation in each for column in relation.columns if column.type}
        self._type_names: dict[str, str] = dict(
            self._connection.execute(query("canonical/type_names"), {"types": sorted(types)}).fetchall()
        )
        for dataset, each in declared:
            self._compare_tables(dataset, [relation for relation in each if relation.kind == "table"])
            self._compare_views(dataset, [relation for relation in each if relation.kind == "view"])
        self._found = catalogue(self._connection)
        everything = [*(relation for _, each in declared for relation in each), *PLATFORM_VIEWS]
        for relation in everything:
            self._compare_privileges(relation)
        self._compare_comments(everything)
        return self._result

    def _add(self, dataset: Dataset, *statements: str) -> None:
        for each in statements:
            try:
                with self._connection.transaction():
                    self._connection.execute(each.encode())
            except psycopg.Error as error:
                why = f"PostgreSQL refuses a statement that follows from it: {error.diag.message_primary}."
                self._refuse(_place(dataset), why, f"Correct the declaration. The statement is:\n{each}")
                return
            self._result.statements.append(each)

    def _refuse(self, where: str, what: str, write: str) -> None:
        self._result.by_hand.append(f"{where}: {what} {write}")

    def _compare_tables(self, dataset: Dataset, tables: Sequence[Relation]) -> None:
        if not any(each.full_name in self._found for each in tables):
            if dataset.partition_by is not None:
                self._refuse(
                    _place(dataset),
                    f"{dataset.name} is partitioned by {dataset.partition_by}, and partitions are not made from a declaration.",
                    "Declare the dataset without partition_by. Or write the table and a function for its partitions by hand.",
                )
                return
            self._add(dataset, *_create(dataset, tables))
            return
        for table in tables:
            if (found := self._found.get(table.full_name)) is None:
                write = f"Write its CREATE TABLE by hand, or undo the change of {dataset.name}."
                self._refuse(_place(dataset), f"{table.full_name} is missing, but other tables are there.", write)
                continue
            self._compare_columns(dataset, table, found)
            if (table.primary_key, set(table.unique)) != (found.primary_key, set(found.unique)):
                keys = [", ".join(key) for key in (found.primary_key, *found.unique)]
                self._refuse(
                    _place(dataset),
                    f"The keys of {table.full_name} are ({'), ('.join(keys)}), and the declaration has others.",
                    "A changed key needs a new table: write its migration by hand, and replay the objects.",
                )
            self._compare_checks(dataset, table, found)

    def _compare_columns(self, dataset: Dataset, table: Relation, found: FoundRelation) -> None:
        declared = {column.name: column for column in table.columns}
        for name in found.columns.keys() - declared.keys():
            self._refuse(
                _place(dataset),
                f"{table.full_name} has the column {name}, which the declaration does not have.",
                f"If you renamed it: ALTER TABLE {table.full_name} RENAME COLUMN {name} TO …; if you removed it: "
                f"ALTER TABLE {table.full_name} DROP COLUMN {name}; in a migration by hand, with its views.",
            )
        self._refuse_order(dataset, table, found)
        for column in table.columns:
            name, type_name = column.name, self._type_names[column.type]
            if name not in found.columns:
                self._add_column(dataset, table, column)
            elif found.columns[name].type != type_name:
                self._refuse(
                    _place(dataset, name),
                    f"{table.full_name}.{name} has the type {found.columns[name].type}, and the declaration has {type_name}.",
                    f"Write by hand: ALTER TABLE {table.full_name} ALTER COLUMN {name} TYPE {column.type} USING …; "
                    "with its views dropped before and created after.",
                )
            elif found.columns[name].not_null != column.not_null:
                change = "SET" if column.not_null else "DROP"
                self._refuse(
                    _place(dataset, name),
                    f"{table.full_name}.{name} is {'nullable' if column.not_null else 'NOT NULL'}, and the declaration differs.",
                    f"Write by hand: ALTER TABLE {table.full_name} ALTER COLUMN {name} {change} NOT NULL; "
                    "after every row has a value.",
                )

    def _refuse_order(self, dataset: Dataset, table: Relation, found: FoundRelation) -> None:
        """Refuse a new field above a stored field, because it would change the content hash of each row."""
        names = [column.name for column in dataset.content]
        new = [name for name in names if name not in found.columns]
        last = max((place for place, name in enumerate(names) if name in found.columns), default=-1)
        for name in new:
            if table.name == dataset.table and names.index(name) < last:
                self._refuse(
                    _place(dataset, name),
                    f"The new field {name} is above {names[last]}, so that every stored row would have another content hash.",
                    f"Declare it below {names[last]}.",
                )

    def _add_column(self, dataset: Dataset, table: Relation, column: Column) -> None:
        if column.not_null:
            self._refuse(
                _place(dataset, column.name),
                f"{table.full_name}.{column.name} is NOT NULL, and stored rows have no value for it.",
                f"Declare it nullable. Or write by hand: ALTER TABLE {table.full_name} ADD COLUMN {column.name} {column.type} "
                "NOT NULL DEFAULT …;",
            )
            return
        self._add(dataset, f"ALTER TABLE {table.full_name} ADD COLUMN {_defined(column)};")

    def _compare_checks(self, dataset: Dataset, table: Relation, found: FoundRelation) -> None:
        existing = self._checks(found.oid)
        for check in table.checks:
            normal = self._normal_check(table, found, check)
            if normal is None:
                continue  # about a column that was refused
            if normal in existing.values():
                existing = {name: each for name, each in existing.items() if each != normal}
                continue
            self._refuse(
                _place(dataset),
                f"A rule of {dataset.name} demands CHECK ({check}), which {table.full_name} does not have.",
                f"Write by hand: ALTER TABLE {table.full_name} ADD CHECK ({check}) NOT VALID; then correct the stored rows, "
                "and VALIDATE CONSTRAINT in a second migration.",
            )
        for name, definition in existing.items():
            self._refuse(
                _place(dataset),
                f"{table.full_name} has {definition}, which no rule of {dataset.name} demands.",
                f"Write by hand: ALTER TABLE {table.full_name} DROP CONSTRAINT {name};",
            )

    def _checks(self, oid: int) -> dict[str, str]:
        return dict(self._connection.execute(query("canonical/catalogue_checks"), {"oid": oid}).fetchall())

    def _normal_check(self, table: Relation, found: FoundRelation, check: str) -> str | None:
        """Return the check as PostgreSQL writes it. None if a column of the check is not there."""
        with self._connection.transaction(force_rollback=True):
            try:
                self._connection.execute(
                    f"ALTER TABLE {table.full_name} ADD CONSTRAINT declared CHECK ({check})".encode()
                )
            except psycopg.errors.UndefinedColumn:
                return None
            return self._checks(found.oid)["declared"]

    def _compare_views(self, dataset: Dataset, views: Sequence[Relation]) -> None:
        for view in views:
            if (found := self._found.get(view.full_name)) is None:
                continue  # it was made with its table, or _compare_comments reports it
            names = [column.name for column in view.columns]
            for name in found.columns.keys() - set(names):
                self._refuse(
                    _place(dataset),
                    f"{view.full_name} has the column {name}, which the declaration does not have.",
                    f"Write DROP VIEW and CREATE VIEW of {view.full_name} by hand.",
                )
            if missing := [name for name in names if name not in found.columns]:
                self._extend(dataset, view, found, missing)

    def _extend(self, dataset: Dataset, view: Relation, found: FoundRelation, missing: Sequence[str]) -> None:
        """Put new columns of the shown table after those of the view, in PostgreSQL's own text of the view."""
        head, from_, tail = (found.definition or "").partition("\n   FROM ")
        alias = re.search(rf"\bcanonical\.{view.shows}(?: (?P<alias>[a-z_][a-z0-9_]*))?", tail)
        if alias is None or "\n   FROM " in tail:
            self._refuse(
                _place(dataset),
                f"{view.full_name} does not show {', '.join(missing)}.",
                f"Write CREATE OR REPLACE VIEW {view.full_name} by hand, with the new columns last.",
            )
            return
        prefix = alias["alias"] or f"{view.shows}"
        columns = "".join(f",\n    {prefix}.{name}" for name in missing)
        self._add(dataset, f"CREATE OR REPLACE VIEW {view.full_name} AS\n{head}{columns}{from_}{tail}")

    def _compare_privileges(self, relation: Relation) -> None:
        found = self._found.get(relation.full_name)
        if found and (missing := [each for each in relation.privileges if each not in found.privileges]):
            grant = f"GRANT {', '.join(missing)} ON {relation.full_name} TO pipeline_loader;"
            self._connection.execute(grant.encode())
            self._result.statements.append(grant)

    def _compare_comments(self, declared: Sequence[Relation]) -> None:
        names = {"names": sorted(SCHEMAS)}
        schemas = dict(self._connection.execute(query("canonical/catalogue_schemas"), names).fetchall())
        comments = [_comment(f"SCHEMA {name}", text) for name, text in SCHEMAS.items() if schemas.get(name) != text]
        for relation in declared:
            if (found := self._found.get(relation.full_name)) is None:
                if not self._result.by_hand:  # else a reason for it was given
                    self._refuse(relation.full_name, "The view is missing.", "Write its CREATE VIEW by hand.")
                continue
            if found.comment != relation.description:
                comments.append(_comment(f"{relation.kind.upper()} {relation.full_name}", relation.description))
            comments += [
                _comment(f"COLUMN {relation.full_name}.{column.name}", column.description)
                for column in relation.columns
                if column.name in found.columns and found.columns[column.name].comment != column.description
            ]
        if comments:
            self._connection.execute("\n".join(comments).encode())
            self._result.statements.append("\n".join(comments))


def _create(dataset: Dataset, tables: Sequence[Relation]) -> list[str]:
    """Return the statements that create a dataset's tables, history and views. Templates supply everything that is the same
    for all columns."""
    written = [_create_table(each) for each in tables if each.primary_key]
    if isinstance(dataset.kind, Versioned):
        written.append(statement("canonical/create_history", dataset).decode().strip())
    return [*written, statement("canonical/create_views", dataset).decode().strip()]


def _create_table(table: Relation) -> str:
    lines = [
        *map(_defined, sorted(table.columns, key=_packing)),
        f"PRIMARY KEY ({', '.join(table.primary_key)})",
        *(f"UNIQUE ({', '.join(key)})" for key in table.unique),
        *(f"CHECK ({check})" for check in table.checks),
    ]
    return f"CREATE TABLE {table.full_name} (\n    " + ",\n    ".join(lines) + "\n);"


def _packing(column: Column) -> tuple[bool, int]:
    """Sort never-null columns of fixed width first. PostgreSQL reads these without a walk through the other columns."""
    fixed = column.not_null and column.type in _FIXED_WIDTH
    return (not fixed, _FIXED_WIDTH[column.type] if fixed else not column.not_null)


def _defined(column: Column) -> str:
    not_null = "NOT NULL" if column.not_null else ""
    return " ".join(filter(None, (column.name, column.type, not_null, column.definition)))


def _comment(what: str, text: str) -> str:
    return f"COMMENT ON {what} IS {sql.Literal(text).as_string()};"


def _place(dataset: Dataset, field: str | None = None) -> str:
    """Return the file and line that declare a dataset's record, or one of its fields."""
    for model in dataset.record.__mro__:
        try:
            lines, first = inspect.getsourcelines(model)
            path = inspect.getsourcefile(model)
        except (OSError, TypeError):  # declared where no file is, or in C
            continue
        for number, line in enumerate(lines):
            if field is None or re.match(rf"\s+{re.escape(field)}\s*:", line):
                return f"{path}:{first + number}"
    return f"dataset {dataset.name}"
