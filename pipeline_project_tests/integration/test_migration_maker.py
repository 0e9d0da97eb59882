"""The declaration of the datasets and the migrated database have to agree, and the maker writes what is missing."""

from pipeline_project.canonical.difference import difference
from pipeline_project.datasets.registry import BUILT_IN
from pipeline_project_tests.fix_postgres import FreshDatabase


def test_the_declaration_and_the_migrated_database_agree(database: FreshDatabase) -> None:
    with database.owner.connect() as connection:
        found = difference(connection, BUILT_IN)
        connection.rollback()
    assert (found.statements, found.by_hand) == ([], []), "run `pipeline migrations make NAME`"
