"""Settings of the environments: those that are committed hold, and a bad one is refused in a line that names it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy.environments import FOLDER, NAMES, load
from pipeline_project.errors import ConfigurationError

INSTANCE = FOLDER.parent / "dagster" / "aws.yaml"
"""Settings of Dagster on AWS."""


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_settings_hold(name: str) -> None:
    environment = load(name)
    assert environment.name == name
    assert environment.dagster_url == f"http://webserver.pipeline-{name}.internal:3000"


def test_prod_survives_the_loss_of_a_zone_and_of_an_operators_attention() -> None:
    prod = load("prod")
    assert prod.database.multi_az
    assert prod.database.deletion_protection
    assert prod.database.backup_days == 35
    assert prod.api.firewall
    assert len({load(name).network.cidr for name in NAMES}) == len(NAMES), "networks that could not be connected"


@pytest.mark.parametrize("name", NAMES)
def test_temporary_files_leave_the_database_its_disk(name: str) -> None:
    """All analytics runs of a full pool may sort at once. Each may use at least what a session on a laptop may (4 GB)."""
    database = load(name).database
    runs = yaml.safe_load(INSTANCE.read_text("utf-8"))["concurrency"]["pools"]["default_limit"]
    assert database.temp_file_gib >= 4
    assert runs * database.temp_file_gib <= database.storage_gib * 2 / 3
    # Production has the most data, and so the largest sorts.
    assert load("prod").database.temp_file_gib >= 4 * load("staging").database.temp_file_gib


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('region = "eu-central-1"\n', "", "region"),
        ('region = "eu-central-1"', 'region = "Frankfurt"', "region: "),
        ("backup_days = 35", "backup_days = 36", "database.backup_days: "),
        ("most_storage_gib = 2000", "most_storage_gib = 439", r"database: most_storage_gib: .* storage_gib \(400\)"),
        ("multi_az = true", 'multi_az = "yes"', "database.multi_az: "),
        ("multi_az = true", "multi_az = true\nmultiaz = true", "database: .*multiaz"),
        ('"eu-central-1b"]', '"us-east-1b"]', "network.availability_zones: us-east-1b is not in eu-central-1"),
        ('"eu-central-1b"]', '"eu-central-1a"]', "network: .*named twice"),
        ("10.42.0.0/20", "10.42.0.0/33", "network: cidr: "),
        ("10.42.0.0/20", "10.42.0.0/24", "network: cidr: must be a /16 to /22"),
        ("cpu = 1024, memory_gib = 4", "cpu = 1024, memory_gib = 32", r"dagster\.\w+: memory_gib: 1024 CPU units"),
        ('authentication = "api-key"', 'authentication = "none"', "api.authentication: "),
        ('authentication = "api-key"', 'authentication = "jwt"', "api: user_pool_arn: "),
        ('"https://www.example.com"', '"https://www.example.com/"', r"api.allowed_origins\[0\]: "),
        ('emails = ["pipeline-oncall@example.com"]', "emails = []", "monitoring.emails: "),
        ("[network]", "[network", "Expected|expected"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_file_and_setting(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    good = (FOLDER / "prod.toml").read_text("utf-8")
    assert old in good
    (tmp_path / "prod.toml").write_text(good.replace(old, new), "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load("prod", tmp_path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(tmp_path / "prod.toml"))
    assert re.search(message, line), line


@pytest.mark.parametrize(
    ("old", "accepted", "refused"),
    [
        ("10.42.0.0/20", ["10.42.0.0/16", "10.42.0.0/22"], ["10.42.0.0/15", "10.42.0.0/23"]),
        ("backup_days = 35", ["backup_days = 1", "backup_days = 35"], ["backup_days = 0", "backup_days = 36"]),
        ("rotation_days = 30", ["rotation_days = 1", "rotation_days = 365"], ["rotation_days = 0", "rotation_days = 366"]),
        ("job_result_days = 90", ["job_result_days = 30"], ["job_result_days = 29"]),
        ("log_retention_days = 365", ["log_retention_days = 1", "log_retention_days = 3653"], ["log_retention_days = 2"]),
        ("most_storage_gib = 2000", ["most_storage_gib = 440"], ["most_storage_gib = 439"]),
        ("insights_days = 465", ["insights_days = 7"], ["insights_days = 8"]),
        (
            "cpu = 1024, memory_gib = 4",
            [f"cpu = {cpu}, memory_gib = {gib}" for cpu, gib in ((256, 1), (256, 2), (1024, 2), (1024, 8), (8192, 60))],
            [f"cpu = {cpu}, memory_gib = {gib}" for cpu, gib in ((256, 3), (1024, 1), (1024, 9), (8192, 61), (300, 1))],
        ),
        ("requests_per_second = 200", ["requests_per_second = 1"], ["requests_per_second = 0"]),
        ("concurrency = 100", ["concurrency = 1"], ["concurrency = 0"]),
        ("most_webservers = 3", ["most_webservers = 1"], ["most_webservers = 0"]),
    ],
)  # fmt: skip
def test_settings_are_admitted_up_to_their_bounds(
    tmp_path: Path, old: str, accepted: list[str], refused: list[str]
) -> None:
    good = (FOLDER / "prod.toml").read_text("utf-8")
    assert old in good
    file = tmp_path / "prod.toml"
    for each in accepted:
        file.write_text(good.replace(old, each), "utf-8")
        load("prod", tmp_path)
    for each in refused:
        file.write_text(good.replace(old, each), "utf-8")
        with pytest.raises(ConfigurationError):
            load("prod", tmp_path)


def test_a_staging_of_the_release_is_protected_like_prod_and_dev_is_not() -> None:
    protection = {name: load(name).database.deletion_protection for name in NAMES}
    assert protection == {"dev": False, "staging": True, "prod": True}
    firewalls = {name: load(name).api.firewall for name in NAMES}
    assert firewalls == {"dev": False, "staging": True, "prod": True}
    backups = {name: load(name).database.backup_days for name in NAMES}
    assert backups == {"dev": 7, "staging": 7, "prod": 35}
    prod = load("prod")
    assert prod.log_retention_days == 365
    assert prod.database.insights_days == 465
    assert prod.monitoring.lag_seconds == 300
    assert all(load(name).database.rotation_days <= 30 for name in NAMES)


@pytest.mark.parametrize("name", [None, "production", "../prod"])
def test_an_unknown_environment_is_refused(name: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"is not one of dev, staging, prod"):
        load(name)


def test_an_environment_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"dev\.toml: there is no such file"):
        load("dev", tmp_path)


@pytest.mark.slow
def test_synthesis_stops_with_one_line() -> None:
    """`cdk deploy -c environment=nowhere`, as the CDK's CLI passes it on; it wins over the `environment` of cdk.json."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.app"],
        cwd=FOLDER.parents[1],
        env={**os.environ, "CDK_CONTEXT_JSON": '{"environment": "nowhere"}'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "environment: 'nowhere' is not one of dev, staging, prod (cdk -c environment=…)\n"
