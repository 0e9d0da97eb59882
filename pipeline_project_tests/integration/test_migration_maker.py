"""The declaration of the datasets and the migrated database have to agree, and the maker writes what is missing."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline_project.canonical.catalogue import catalogue
from pipeline_project.canonical.difference import difference
from pipeline_project.canonical.migration_maker import make
from pipeline_project.canonical.relations import PLATFORM_VIEWS, analytics_views, relations
from pipeline_project.cli import migrations as command
from pipeline_project.cli.main import app
from pipeline_project.datasets.entities import ENTITIES, Entity
from pipeline_project.datasets.metrics import METRICS, Metric
from pipeline_project.datasets.registry import BUILT_IN
from pipeline_project.datasets.relationships import RELATIONSHIPS
from pipeline_project.errors import Permanent
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.fields import Count, Label, field
from pipeline_project.schema.record import Record
from pipeline_project.schema.rules import Rule, required_unless_deleted
from pipeline_project_tests.declared_datasets import CONTACTS, ENTITIES_WITH_NICKNAMES, RATINGS, Rating
from pipeline_project_tests.fix_ingest import Rows
from pipeline_project_tests.fix_postgres import FreshDatabase, SharedServer
from pipeline_project_tests.landing import Landing, ingest

OTHERS = (RELATIONSHIPS, METRICS)


def applied(database: FreshDatabase, datasets: Iterable[Dataset]) -> list[str]:
    """The statements that the maker writes, executed."""
    with database.owner.connect() as connection:
        found = difference(connection, datasets)
        assert found.by_hand == []
        connection.commit()
    return found.statements


def entities(rules: tuple[Rule, ...] = ENTITIES.rules, **fields: Any) -> Dataset:
    """The entities with these fields more, or with these in place of their own."""
    annotations = {name: annotation for name, (annotation, _) in fields.items()}
    namespace = {"__module__": __name__, "__annotations__": annotations}
    model = type("Changed", (Entity,), {**namespace, **{name: value for name, (_, value) in fields.items()}})
    return dataclasses.replace(ENTITIES, record=model, rules=rules)


def test_the_declaration_and_the_migrated_database_agree(database: FreshDatabase) -> None:
    with database.owner.connect() as connection:
        found = difference(connection, BUILT_IN)
        connection.rollback()
    assert (found.statements, found.by_hand) == ([], []), "run `pipeline migrations make NAME`"


def test_every_relation_of_the_database_is_declared_and_described(database: FreshDatabase) -> None:
    with database.owner.connect() as connection:
        found = catalogue(connection)
        connection.rollback()
    of_datasets = [each for dataset in BUILT_IN for each in relations(dataset)]
    declared = {each.full_name: each for each in (*of_datasets, *PLATFORM_VIEWS)}
    assert found.keys() == declared.keys()
    for name, relation in found.items():
        assert set(relation.columns) == {column.name for column in declared[name].columns}, name
        assert relation.comment and all(column.comment for column in relation.columns.values()), name


def test_one_field_more_becomes_a_column_of_table_history_and_views(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    record = {"id": 1, "name": "A", "updated_at": "2024-01-01"}
    ingest(database.loader, landing, landing.put("legacy-data/a", [record]))
    ingest(
        database.loader, landing, landing.put("legacy-data/b", [{**record, "name": "B", "updated_at": "2024-01-02"}])
    )
    before = rows(
        "SELECT to_jsonb(e) FROM canonical.entities e UNION ALL SELECT to_jsonb(v) FROM canonical.entity_versions v"
    )
    statements = applied(database, (ENTITIES_WITH_NICKNAMES, *OTHERS))
    assert [re.sub(r" AS\n.*", "", each, flags=re.DOTALL) for each in statements] == [
        "ALTER TABLE canonical.entities ADD COLUMN nickname text;",
        "ALTER TABLE canonical.entity_versions ADD COLUMN nickname text;",
        "CREATE OR REPLACE VIEW analytics.entities",
        "CREATE OR REPLACE VIEW analytics.entity_versions",
        "\n".join(
            f"COMMENT ON COLUMN {schema}.{table}.nickname IS 'Nickname.';"
            for schema in ("canonical", "analytics")
            for table in ("entities", "entity_versions")
        ),
    ]
    assert applied(database, (ENTITIES_WITH_NICKNAMES, *OTHERS)) == []
    after = rows(
        "SELECT to_jsonb(e) - 'nickname' FROM canonical.entities e UNION ALL "
        "SELECT to_jsonb(v) - 'nickname' FROM canonical.entity_versions v"
    )
    assert after == before
    # The loaded database works on, and views show what the table and the history hold.
    ingest(
        database.loader, landing, landing.put("legacy-data/c", [{**record, "name": "C", "updated_at": "2024-01-03"}])
    )
    rows("UPDATE canonical.entities SET nickname = 'retail' RETURNING 1")
    rows("UPDATE canonical.entity_versions SET nickname = 'v' || version RETURNING 1")
    with database.reader.connect() as connection:
        assert connection.execute("SELECT name, nickname FROM analytics.entities").fetchall() == [("C", "retail")]
        query = "SELECT version, nickname FROM analytics.entity_versions ORDER BY version"
        assert connection.execute(query).fetchall() == [(1, "v1"), (2, "v2")]
    views = analytics_views([ENTITIES_WITH_NICKNAMES])
    assert {"nickname"} < {column.name for column in views["entities"].columns} & {
        column.name for column in views["entity_versions"].columns
    }


def test_a_new_dataset_of_each_kind_gets_everything_that_it_needs(database: FreshDatabase) -> None:
    datasets = (*BUILT_IN, CONTACTS, RATINGS)
    applied(database, datasets)
    assert applied(database, datasets) == []
    with database.owner.connect() as connection:
        found = catalogue(connection)
        connection.rollback()
    assert found["canonical.contacts"].comment == "People at customers."
    written = found["canonical.contacts"].columns["full_name"].comment
    assert written == 'The person\'s name, "as written" in a C:\\path.'
    for table in ("contacts", "contact_versions", "ratings"):
        columns = list(found[f"canonical.{table}"].columns.values())
        fixed = [column.not_null and column.type not in ("text", "jsonb") for column in columns]
        assert fixed == sorted(fixed, reverse=True), f"{table}: never-null columns of one width come first"
    with database.reader.connect() as connection:
        for view in ("contacts", "contact_versions", "ratings"):
            assert connection.execute(f"SELECT * FROM analytics.{view}".encode()).fetchall() == []


class Counted(Record):
    """A base that declares a field before those of the dataset."""

    unit: Label | None = field("What is counted", "unit")


class EarlyMetric(Metric, Counted):
    """A metric whose new field is above those that are stored."""


class Ranking(Rating):
    """A record with a field that no column can be named after."""

    order: Count | None = field("The place in the ranking", "order")


OTHER_RULE = required_unless_deleted("region", "is required")
REFUSED: Mapping[str, tuple[Dataset, str]] = {
    "a retyped column": (
        entities(revenue=(Label | None, field("Annual revenue", "revenue"))),
        "canonical.entities.revenue has the type numeric, and the declaration has text",
    ),
    "a column that is never null": (
        entities(nickname=(Label, field("Nickname", "nickname", required=True))),
        "canonical.entities.nickname is NOT NULL, and stored rows have no value for it",
    ),
    "a column that became NOT NULL": (
        entities(region=(Label | None, field("Sales region", "region", not_null=True))),
        "canonical.entities.region is nullable, and the declaration differs",
    ),
    "a rule that is new": (entities((*ENTITIES.rules, OTHER_RULE)), "demands CHECK (deleted OR region IS NOT NULL)"),
    "a rule that was removed": (entities(()), "has CHECK ((deleted OR (name IS NOT NULL))), which no rule"),
    "a changed key": (
        dataclasses.replace(RELATIONSHIPS, key=RELATIONSHIPS.key[:-1]),
        "The keys of canonical.entity_relationships are",
    ),
    "a field above those that are stored": (
        dataclasses.replace(METRICS, record=EarlyMetric),
        "The new field unit is above deleted",
    ),
    "partitions of a new table": (
        dataclasses.replace(RATINGS, partition_by="first_day"),
        "partitions are not made from a declaration",
    ),
    "a name that PostgreSQL reserves": (
        dataclasses.replace(RATINGS, name="rankings", table="rankings", record=Ranking),
        'PostgreSQL refuses a statement that follows from it: syntax error at or near "order"',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_addition_is_refused_with_what_to_write_by_hand(database: FreshDatabase, name: str) -> None:
    dataset, why = REFUSED[name]
    with database.owner.connect() as connection:
        found = difference(connection, [dataset])
        connection.rollback()
    assert any(why in each for each in found.by_hand), found.by_hand
    for each in found.by_hand:
        assert re.search(r"by hand|Correct the declaration|Declare it below", each)


def test_a_removed_or_renamed_field_is_refused_with_the_place_of_the_declaration(database: FreshDatabase) -> None:
    applied(database, (ENTITIES_WITH_NICKNAMES, *OTHERS))
    with database.owner.connect() as connection:
        found = difference(connection, BUILT_IN)
        connection.rollback()
    assert found.statements == []
    assert len(found.by_hand) == 4  # two tables and two views
    table = found.by_hand[0]
    assert re.match(r".*datasets/entities\.py:\d+: canonical\.entities has the column nickname", table)
    assert "ALTER TABLE canonical.entities DROP COLUMN nickname" in table and "RENAME COLUMN nickname" in table
    assert any("DROP VIEW and CREATE VIEW of analytics.entities" in each for each in found.by_hand)


def test_the_place_of_a_refused_field_is_its_line(database: FreshDatabase) -> None:
    with database.owner.connect() as connection:
        connection.execute("ALTER TABLE canonical.entity_relationships ALTER COLUMN valid_to SET NOT NULL")
        [only] = difference(connection, BUILT_IN).by_hand
        connection.rollback()
    path, line, _ = only.split(":", 2)
    assert "valid_to: Day | None" in Path(path).read_text("utf-8").splitlines()[int(line) - 1]


def test_a_server_with_a_database_of_the_platform_is_refused(postgres: SharedServer, tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="passwords would be changed"):
        make(postgres.admin(), "anything", BUILT_IN, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "Add", "add nickname", "../x", "a" * 62])
def test_a_name_that_no_file_can_have_is_refused_before_anything_starts(name: str, tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="is no name of a migration"):
        make("host=/nowhere", name, BUILT_IN, tmp_path)


def test_a_machine_without_an_embedded_server_needs_one_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["migrations", "make", "anything"])
    assert isinstance(done.exception, Permanent) and "--server" in str(done.exception)


@pytest.mark.slow
def test_the_command_writes_a_file_that_migrates_and_then_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = MappingProxyType({each.name: each for each in (ENTITIES_WITH_NICKNAMES, *OTHERS, CONTACTS)})
    monkeypatch.setattr(command, "datasets", lambda: declared)
    arguments = ["migrations", "make", "contacts", "--folder", str(tmp_path)]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    [path] = tmp_path.iterdir()
    assert re.fullmatch(r"\d{14}_contacts\.sql", path.name) and path.name in first.output
    assert path.read_text("utf-8").startswith("-- migrate:up\n")
    second = CliRunner().invoke(app, arguments)
    assert second.exit_code == 0 and "No file was written" in second.output
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.setattr(command, "datasets", lambda: {"entities": entities(())})
    third = CliRunner().invoke(app, arguments)
    assert isinstance(third.exception, Permanent) and "No migration was written." in str(third.exception)
    assert list(tmp_path.iterdir()) == [path]
