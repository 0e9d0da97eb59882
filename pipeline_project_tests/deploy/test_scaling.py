"""docs/scaling.md: its sums add up, and it counts what the stacks have."""

import re
from pathlib import Path

import pytest
import yaml

from deploy import environments
from pipeline_project.orchestration import pooled_storage, worker_server
from pipeline_project_tests.fix_stacks import Synthesis

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "scaling.md"
DAGSTER = ROOT / "deploy" / "dagster"


def costs() -> dict[str, list[str]]:
    """The table of costs: cells of three sizes by the row's name."""
    table = PAGE.read_text("utf-8").partition("| | small")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {name: cells for name, *cells in rows}


def amount(cell: str) -> int:
    return int(cell.rpartition(":")[2].replace(",", ""))


def test_costs_add_up() -> None:
    rows = costs()
    sums = [amount(cell) for cell in rows.pop("sum")]
    assert [sum(amount(cells[size]) for cells in rows.values()) for size in range(3)] == sums


@pytest.mark.slow
def test_the_connections_of_prod_are_those_of_its_settings_and_stay_below_the_alarm(synthesis: Synthesis) -> None:
    prod = environments.load("prod")
    aws, instance = (yaml.safe_load((DAGSTER / name).read_bytes()) for name in ("aws.yaml", "instance.yaml"))
    runs, sensors = aws["run_coordinator"]["config"]["max_concurrent_runs"], instance["sensors"]["num_workers"]
    webservers, concurrency = prod.dagster.most_webservers, prod.api.concurrency
    assert concurrency
    processes = webservers + 2 + runs + worker_server.MOST_SPARE
    said = (
        f"`concurrency` {concurrency}, {pooled_storage.KEPT} kept by each of Dagster's {processes} processes ({webservers} "
        f"webservers, daemon, code server, {runs} runs, {worker_server.MOST_SPARE} spare workers), 1 for each of {runs} runs and "
        f"{sensors} sensors: "
    )
    terms = concurrency, processes * pooled_storage.KEPT, runs + sensors
    _, alarm = synthesis.environment("prod")["monitoring"].one("AWS::CloudWatch::Alarm", "DatabaseConnectionsAlarm")
    added = f"{' + '.join(map(str, terms))} = {sum(terms)}, below the {alarm['Threshold']} of DatabaseConnectionsAlarm"
    assert said + added in PAGE.read_text("utf-8")
    assert sum(terms) < alarm["Threshold"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "column"), [("dev", 0), ("prod", 1)])
def test_endpoints_and_tasks_are_those_of_the_stacks(synthesis: Synthesis, name: str, column: int) -> None:
    stacks, rows = synthesis.environment(name), costs()
    endpoints = stacks["network"].all("AWS::EC2::VPCEndpoint").values()
    interfaces = [each for each in endpoints if each["VpcEndpointType"] == "Interface"]
    assert rows["interface endpoints in two zones"][column].startswith(f"{len(interfaces)}: ")
    tasks = stacks["orchestration"].all("AWS::ECS::TaskDefinition").items()
    running = [task for id_, task in tasks if id_.startswith(("Webserver", "Daemon", "CodeServer"))]
    cpu, memory = (sum(int(task[size]) for task in running) for size in ("Cpu", "Memory"))
    assert re.match(rf"{cpu // 1024} vCPU, {memory // 1024} GB: ", rows["Fargate services"][column])
    instance = stacks["data"].one("AWS::RDS::DBInstance")[1]
    assert rows["RDS instance"][column].startswith(instance["DBInstanceClass"].removeprefix("db."))
    assert rows["RDS storage"][column].startswith(f"{instance['AllocatedStorage']} GB")
