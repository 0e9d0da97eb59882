"""Settings of pytest for one mutation: the order of the tests, and hypothesis stops at the first example that fails."""

import inspect
import json
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import HealthCheck, Phase, settings

from pipeline_project_tests.mutate.observed import AT_IMPORT, Observed
from pipeline_project_tests.mutate.trial import OURS, is_ours

settings.register_profile(
    "mutation",
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the files that the driver and its tests exchange."""
    parser.addoption("--observe", type=Path, help="write there what each test executes")
    parser.addoption("--first", type=Path, help="JSON: the tests that run first, and whether no others do")


def pytest_configure(config: pytest.Config) -> None:
    """Take the profile after conftest.py has taken its own, and before any test module is imported."""
    settings.load_profile("mutation")
    if path := config.getoption("observe"):
        config.pluginmanager.register(_Observer(path))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the tests of the list first, in its order."""
    if path := config.getoption("first"):
        tests, complete = json.loads(path.read_text("utf-8"))
        place = {test: number for number, test in enumerate(tests)}
        items.sort(key=lambda item: place.get(item.nodeid, len(place)))
        if complete:
            items[:] = [item for item in items if item.nodeid in place]


class _Observer:
    """Records which lines each test executes, how long it takes, and what is imported."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seconds: dict[str, float] = {}
        self._texts: list[str] = []
        sources = [name for name in OURS if Path(name).is_dir()]
        self._coverage = Coverage(data_file=None, config_file=False, source=sources, messages=False)
        self._coverage.set_option("run:disable_warnings", ["no-data-collected", "module-not-imported"])
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, bool, bool]:
        """Count what is executed from here on as the test's."""
        began = time.monotonic()
        self._texts.append(inspect.getsource(item.function) if isinstance(item, pytest.Function) else "")
        self._coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self._seconds[item.nodeid] = time.monotonic() - began

    def pytest_unconfigure(self) -> None:
        """Write all down."""
        self._coverage.stop()
        data = self._coverage.get_data()
        root = Path.cwd()
        tests = list(self._seconds)
        numbers = {"": AT_IMPORT, **{test: number for number, test in enumerate(tests)}}
        lines = {
            Path(file).relative_to(root).as_posix(): {
                line: sorted(numbers[test] for test in found if test in numbers)
                for line, found in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        modules = [name for name in sys.modules if not is_ours(name)]
        Observed(tests, self._texts, list(self._seconds.values()), lines, modules).write(self._path)
