"""Which part is away is said, and why: by `/health`, and by services that wait before they start."""

import json
from contextlib import closing
from itertools import count

import msgspec
import pytest

from pipeline_project.api.handler import of_function
from pipeline_project.errors import Transient
from pipeline_project.health import checks, faults, landing_checks
from pipeline_project.operate.serve import LONGEST_PAUSE_SECONDS, Part, needed, wait_for
from pipeline_project.services import Services
from pipeline_project.settings import Settings
from pipeline_project_tests.fix_api import Caller
from pipeline_project_tests.fix_aws import Account

NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("changes", "part", "why"),
    [
        ({"reader_secret": "not/there"}, "database", "the secret not/there does not exist, or has no value"),
        ({"reader_secret": "bad"}, "database", "the secret bad is not a JSON object"),
        ({"reader_secret": "poor"}, "database", "the secret poor lacks port, dbname, username, password"),
        ({"results_bucket": "not-a-bucket"}, "bucket not-a-bucket", "does not exist"),
        ({"table_name": "not-a-table"}, "table not-a-table", "does not exist"),
        ({"landing_queue_url": "http://127.0.0.1:9/0/not-a-queue"}, "queue not-a-queue", "does not exist"),
    ],
)
def test_health_says_which_part_and_why(
    settings: Settings, aws: Account, changes: dict[str, str], part: str, why: str
) -> None:
    for name, value in (("bad", "[not json"), ("poor", '{"host": "127.0.0.1"}')):
        aws.secretsmanager.create_secret(Name=name, SecretString=value)
    with closing(of_function(msgspec.structs.replace(settings, **changes))) as services:
        answer = Caller(services)("GET", "/health")
    assert (answer.status, answer.json["code"], answer.json["detail"]) == (503, "unavailable", f"{part}: {why}")
    assert "Retry-After" in answer.headers


def test_a_refused_password_is_told_from_a_server_that_is_away(settings: Settings, aws: Account) -> None:
    secret = json.loads(aws.secretsmanager.get_secret_value(SecretId=settings.reader_secret)["SecretString"])
    for changes, why in (
        ({"password": "old"}, "database: PostgreSQL refuses the password of pipeline-reader"),
        ({"port": 9}, "database: PostgreSQL cannot be reached; it is tried again"),
    ):
        aws.secretsmanager.put_secret_value(SecretId=settings.reader_secret, SecretString=json.dumps(secret | changes))
        with closing(of_function(settings)) as services:
            assert Caller(services)("GET", "/health").json["detail"] == why


def test_webserver_and_daemon_wait_for_what_they_may_see(settings: Settings) -> None:
    """Their tasks may read Dagster's secret only: waiting for another database they would never start."""
    for part in Part:
        with Services(settings) as services:
            databases, others = needed(part, services)
        if part in (Part.WEBSERVER, Part.DAEMON):
            assert (set(databases), others) == ({"Dagster's database"}, {})
        else:
            assert set(databases) == {"Dagster's database", "database"}
            assert {f"bucket {settings.landing_bucket}", f"table {settings.table_name}"} < others.keys()


@pytest.mark.usefixtures("without_pauses")
def test_no_aws_at_all(settings: Settings) -> None:
    with closing(of_function(msgspec.structs.replace(settings, aws_endpoint_url=NOBODY))) as services:
        answer = Caller(services)("GET", "/health")
    assert answer.status == 503
    assert answer.json["detail"].count("cannot be reached (EndpointConnectionError)") == 4


def test_the_landing_bucket_is_ingestions(aws: Account) -> None:
    settings = msgspec.structs.replace(aws.settings, landing_bucket="not-a-bucket")
    assert faults(landing_checks(settings, aws.client)) == {"bucket not-a-bucket": "does not exist"}
    assert faults(landing_checks(aws.settings, aws.client)) == {}


def test_services_wait_with_growing_pauses_and_say_why(caplog: pytest.LogCaptureFixture) -> None:
    tries, pauses = count(), []

    def check() -> None:
        if next(tries) < 7:
            raise Transient("PostgreSQL cannot be reached")

    wait_for({"database": check}, clock=lambda: sum(pauses), sleep=pauses.append)
    assert pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]
    assert caplog.messages[0] == "waiting 1 s: database: PostgreSQL cannot be reached"
    assert len(caplog.messages) == len(pauses)


def test_services_give_up_in_the_end_and_say_why() -> None:
    pauses: list[float] = []

    def check() -> None:
        raise Transient("the secret a/b does not exist")

    with pytest.raises(Transient, match="given up after 300 s: database: the secret a/b does not exist"):
        wait_for({"database": check}, clock=lambda: sum(pauses), sleep=pauses.append)
    assert sum(pauses) < 300


def test_every_part_is_looked_at(settings: Settings) -> None:
    with closing(of_function(settings)) as services:
        found = checks(settings, services.reader, services.client)
        assert [name.split()[0] for name in found] == ["database", "table", "bucket", "queue"]
        assert faults(found) == {}
