"""Dagster on the real parts: `platform` is what its bodies work with, `instance` a Dagster instance in memory."""

from collections.abc import Iterator

import dagster as dg
import pytest

from pipeline_project.orchestration.resources import Platform
from pipeline_project.settings import Settings


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    """The platform on this test's account and database."""
    found = Platform(settings)
    yield found
    found.close()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found
