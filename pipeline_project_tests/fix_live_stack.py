"""A whole platform for the tests that need one: started once a session, since that takes half a minute."""

from collections.abc import Iterator

import pytest

from pipeline_project_tests.live_stack import LiveStack, live_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """Nothing is loaded but by the tests that use it: each uploads under keys of its own."""
    with live_stack(tmp_path_factory.mktemp("stack"), tmp_path_factory.getbasetemp() / "api.zip") as found:
        yield found
