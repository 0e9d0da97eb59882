"""The container of clients, databases and settings, on a real emulator and a real database."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline_project.database import Database
from pipeline_project.errors import ConfigurationError
from pipeline_project.services import Services
from pipeline_project.settings import PREFIX, Settings


def backend(database: Database) -> int:
    with database.connect() as connection:
        return connection.info.backend_pid


def test_settings_are_loaded_when_they_are_first_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Dagster loads the definitions before there are settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(f"{PREFIX}LANDING_BUCKET", raising=False)
    services = Services()
    with pytest.raises(ConfigurationError, match="PIPELINE_LANDING_BUCKET"):
        _ = services.settings


def test_threads_share_clients_and_databases(settings: Settings) -> None:
    with Services(settings) as services, ThreadPoolExecutor(8) as pool:
        assert len({id(client) for client in pool.map(lambda _: services.s3, range(32))}) == 1
        assert len({id(database) for database in pool.map(lambda _: services.loader, range(32))}) == 1
        assert len({backend(services.loader) for _ in range(2)}) == 2


def test_a_closed_container_makes_everything_again(settings: Settings) -> None:
    services = Services(settings)
    before = services.s3
    services.close()
    assert services.s3 is not before
    services.s3.head_bucket(Bucket=settings.landing_bucket)
    services.close()


def test_a_kept_connection_serves_several_requests_until_the_container_is_closed(settings: Settings) -> None:
    with Services(settings, keeps_connections=True) as services:
        first = backend(services.reader)
        assert backend(services.reader) == first
        with services.reader.connect() as connection:
            pass
        assert not connection.closed
    assert connection.closed


def test_roles_see_what_they_may(settings: Settings) -> None:
    with Services(settings) as services:
        for role in ("loader", "reader"):
            with services.database(role).connect() as connection:
                assert connection.info.user == f"pipeline_{role}"


@pytest.mark.parametrize(("traces", "is_made"), [("none", False), ("x-ray", True)])
def test_traces_have_a_client_if_they_are_on(settings: Settings, traces: str, is_made: bool) -> None:
    changed = Settings.load({**settings.environment_variables(), "PIPELINE_TRACES": traces})
    with Services(changed) as services:
        assert (services.xray is not None) is is_made
