"""Dagster on the real parts: `platform` is what its bodies work with, `instance` a Dagster instance in memory."""

from collections.abc import Iterator

import dagster as dg
import pytest

from pipeline_project.services import Services
from pipeline_project.settings import Settings


@pytest.fixture
def platform(settings: Settings) -> Iterator[Services]:
    """The platform on this test's account and database."""
    found = Services(settings)
    yield found
    found.close()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found
