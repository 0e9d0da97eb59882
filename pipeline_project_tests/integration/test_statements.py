"""Every statement of every dataset is one that PostgreSQL takes, for the role that runs the statement."""

import re

import pytest

from pipeline_project.canonical.difference import difference
from pipeline_project.database import Connection
from pipeline_project.datasets.registry import BUILT_IN
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.sql_files import SQL
from pipeline_project.schema.templates import statement, statements
from pipeline_project_tests.declared_datasets import CONTACTS, RATINGS
from pipeline_project_tests.fix_postgres import FreshDatabase

DECLARED = (*BUILT_IN, CONTACTS, RATINGS)
STAGING = (
    *("ingest/loading/staging", "ingest/loading/staging_timeline", "ingest/loading/staging_members"),
    "ingest/patches/staging",
)
"""These make the temporary tables of all others. They hold several statements, so they are executed."""


def prepare(connection: Connection, text: bytes) -> None:
    """Let PostgreSQL parse and analyse a statement, with the parameters in its own notation."""
    names: dict[bytes, int] = {}
    numbered = re.sub(rb"%\((\w+)\)s", lambda match: b"$%d" % names.setdefault(match[1], len(names) + 1), text)
    result = connection.pgconn.prepare(b"", numbered.replace(b"%%", b"%"))
    assert result.error_message == b"", f"{result.error_message.decode()}\n{text.decode()}"


@pytest.mark.parametrize("dataset", DECLARED, ids=lambda dataset: dataset.name)
def test_every_statement_of_a_dataset_can_be_prepared(database: FreshDatabase, dataset: Dataset) -> None:
    with database.owner.connect() as connection:
        assert difference(connection, DECLARED).by_hand == []
        connection.commit()
    names = statements(dataset)
    assert {"ingest/loading/merge", "ingest/loading/staging"} <= set(names)
    with database.loader.connect() as connection:
        for name in STAGING:
            if name in names:
                connection.execute(statement(name, dataset))
        for name in sorted({*names} - {*STAGING}):
            prepare(connection, statement(name, dataset))


def test_every_template_of_ingestion_belongs_to_a_dataset() -> None:
    found = {
        f"{name}{kind}.sql" for each in DECLARED for name in statements(each) for kind in ("", f"_{each.kind_name}")
    }
    templates = {
        path.relative_to(SQL).as_posix()
        for path in SQL.glob("ingest/**/*.sql")
        if re.search(r"\{[a-z]", path.read_text("utf-8"))
    }
    assert templates <= found


def test_a_statement_with_an_error_is_not_prepared(database: FreshDatabase) -> None:
    with database.loader.connect() as connection, pytest.raises(AssertionError, match="no_such_column"):
        prepare(connection, b"SELECT no_such_column FROM canonical.entities WHERE canonical_id = %(id)s")
