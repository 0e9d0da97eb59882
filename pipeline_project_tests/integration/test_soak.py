"""The soak, for a minute: kills of every kind of process, and nothing is lost or loaded twice."""

from pathlib import Path

import pytest

from pipeline_project_tests.live_stack import live_stack
from pipeline_project_tests.soak import soak

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SECONDS = 45


def test_random_kills_change_nothing_in_the_end(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with live_stack(tmp_path / "stack", tmp_path_factory.getbasetemp() / "api.zip") as stack:
        found, wrong = soak(stack, SECONDS, seed=7)
    assert not wrong, (wrong, found.killed)
    assert found.files > SECONDS and found.killed.total() >= 3
