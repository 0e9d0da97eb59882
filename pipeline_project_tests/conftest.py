"""Fixtures live in fix_*.py, by what they stand in for."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A machine that is busy with the other tests is no sign of a bad strategy. CI tries the same examples each time, so that a
# change is judged by what it changed; elsewhere each run tries new ones.
settings.register_profile(
    "tests", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("tests")

pytest_plugins = [
    "pipeline_project_tests.fix_postgres",
    "pipeline_project_tests.fix_aws",
    "pipeline_project_tests.fix_api",
    "pipeline_project_tests.fix_checks",
    "pipeline_project_tests.fix_dagster",
    "pipeline_project_tests.fix_ingest",
    "pipeline_project_tests.fix_live_api",
    "pipeline_project_tests.fix_live_stack",
    "pipeline_project_tests.fix_orchestration",
    "pipeline_project_tests.fix_stacks",
    "pipeline_project_tests.fix_warm_workers",
]


# Fixtures of a session or module that take long to start: a platform, a deployment, a bundle, a code server, a server.
STARTED_ONCE = ("stack", "live_api", "deployment", "host_bundle", "code_server", "conninfo", "server")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make mutate` runs the tests often, and starts the servers once."""
    parser.addoption("--servers", type=Path, help="folder of servers that run already, instead of new ones")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have one worker run all tests of a fixture that takes long to start, so that it starts once and not in each worker."""
    for item in items:
        for name in STARTED_ONCE:
            if name in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(name))
                break


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """Restore the signal handlers after each test: `pipeline local` ignores signals while it stops, in tests too.

    A process that a later test starts would inherit that, and survive a SIGTERM.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
