"""Contract tests: what the platform expects of the sources, datasets, operations and checks of a company. They need pytest.

A company runs them with three lines in a test module of its own:

    from pipeline_project.testing import ContractTests

    class TestContract(ContractTests): ...

They look at everything that is registered: what the platform has, and what the plug-ins add. Samples are files as the sources
send them, in the folder `samples/` of the plug-ins, each under the key that it would have in the landing bucket.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, NamedTuple

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pipeline_project import plugins
from pipeline_project.analytics.catalogue import InvalidParameters, Operation, operations
from pipeline_project.analytics.execution import execute
from pipeline_project.analytics.sql_parser import SqlSyntaxError, statements
from pipeline_project.canonical.checks import checks, run
from pipeline_project.canonical.migrations import migrate
from pipeline_project.database import Database, Role
from pipeline_project.datasets.registry import datasets
from pipeline_project.ingest.inspection import contract
from pipeline_project.local.postgres import throw_away_server
from pipeline_project.sources.registry import sources

SECONDS = 60
"""The longest time for one statement."""
PARAMETER = re.compile(r"%\((\w+)\)s")
NAME = re.compile("[a-z][a-z0-9_]{0,62}")


class Databases(NamedTuple):
    """A migrated database, as each of the roles that use it."""

    loader: Database
    reader: Database


@contextmanager
def migrated_database() -> Iterator[Databases]:
    """Start a PostgreSQL of its own with all migrations, those of plug-ins too. It is gone after the block."""
    roles: tuple[Role, ...] = ("owner", "loader", "reader")
    passwords: dict[Role, str] = {role: secrets.token_urlsafe(16) for role in roles}
    with throw_away_server() as server:
        migrate(make_conninfo(server, dbname="contract"), passwords)

        def of(role: Role) -> Database:
            login = {"dbname": "contract", "user": f"pipeline_{role}", "password": passwords[role]}
            return Database(lambda: make_conninfo(server, **login), f"pipeline-{role}")

        yield Databases(of("loader"), of("reader"))


class ContractTests:
    """The contract. A subclass whose name begins with `Test` runs it. `samples` names another folder of samples."""

    samples: ClassVar[Path | None] = None

    @pytest.fixture(scope="class")
    @classmethod
    def databases(cls) -> Iterator[Databases]:
        """A database with all migrations."""
        with migrated_database() as found:
            yield found

    def test_names_are_valid_and_unique(self) -> None:
        named = [*sources(), *datasets(), *operations(), *(check.name for check in checks())]
        assert [name for name in named if not NAME.fullmatch(name)] == []

    def test_no_alias_has_two_meanings(self) -> None:
        """A name that a source sends is one field."""
        assert [fault for source in sources().values() for fault in contract.alias_faults(source)] == []

    def test_totals_are_numeric_fields(self) -> None:
        assert [fault for source in sources().values() for fault in contract.total_faults(source)] == []

    def test_every_process_computes_the_same_fingerprints(self) -> None:
        assert contract.fingerprint_faults(sources().values()) == []

    def test_the_fast_path_maps_samples_as_the_models_do(self) -> None:
        """Each sample belongs to a source, too."""
        found = [fault for key, path in self._samples().items() for fault in contract.mapping_faults(key, path)]
        assert found == []

    def test_samples_load(self, databases: Databases) -> None:
        """Each sample is loaded and undone. A record that a sample holds as a bad example may be rejected."""
        with databases.loader.connect(autocommit=True) as connection:
            for key, path in self._samples().items():
                assert contract.loading_faults(connection, key, path) == []

    def test_every_operation_takes_its_example(self) -> None:
        for each in operations().values():
            try:
                normal = each.validate(each.example).as_json()
            except InvalidParameters as error:
                pytest.fail(f"{each.name}: its example is refused: {error}")
            assert each.validate(normal).as_json() == normal, each.name

    def test_the_sql_of_an_operation_is_one_select_of_its_parameters(self) -> None:
        for each in _own_sql():
            text = each.statement.decode()
            named, declared = set(PARAMETER.findall(text)), set(each.parameters.model_fields)
            assert named == declared, f"{each.name}: SQL has the parameters {sorted(named)}, not {sorted(declared)}."
            try:
                found = statements(PARAMETER.sub("$1", text).replace("%%", "%"))
            except SqlSyntaxError as error:
                pytest.fail(f"{each.name}: its SQL cannot be parsed: {error}")
            assert [[*each] for each in found] == [["SelectStmt"]], f"{each.name}: SQL must be one SELECT."

    def test_every_operation_runs_as_the_reader(self, databases: Databases) -> None:
        """With its example, in a read-only transaction of the role that sees only the schema `analytics`."""
        for each in _own_sql():
            try:
                with execute(databases.reader, each, each.validate(each.example), timeout_seconds=SECONDS) as rows:
                    assert rows.columns, each.name
                    for _ in rows:
                        pass
            except InvalidParameters:  # the SQL ran, and nothing is there that the example could name
                assert each.must_exist, each.name

    def test_every_check_runs_and_finds_nothing_in_an_empty_database(self, databases: Databases) -> None:
        for check in checks():
            try:
                found = run(databases.loader, check)
            except psycopg.Error as error:
                pytest.fail(f"{check.file}: {error}")
            assert found.count == 0, f"{check.file}: it finds rows in an empty database."

    def _samples(self) -> dict[str, Path]:
        """The samples by their keys."""
        return plugins.samples(self.samples)


def _own_sql() -> list[Operation]:
    """The operations whose SQL is a file. A person's own query has none."""
    return [each for each in operations().values() if each.name != "custom_complex_query"]
