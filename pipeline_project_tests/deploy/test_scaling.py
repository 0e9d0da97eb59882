"""docs/scaling.md: its sums add up, it counts what the stacks have, and its figures are those of docs/performance.md."""

import re
from pathlib import Path

import pytest
import yaml

from deploy import environments
from pipeline_project.orchestration.compatibility import pooled_storage
from pipeline_project.orchestration.workers import server as worker_server
from pipeline_project_tests.fix_stacks import Synthesis

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "scaling.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
DAGSTER = ROOT / "deploy" / "dagster"


def table(page: Path, head: str) -> dict[str, list[str]]:
    """The table that begins like this: cells by the row's name."""
    lines = page.read_text("utf-8").partition(f"\n{head}")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]
    return {name: cells for name, *cells in rows}


def costs() -> dict[str, list[str]]:
    """Cells of three sizes."""
    return table(PAGE, "| | small")


def amount(cell: str) -> int:
    return int(cell.rpartition(":")[2].replace(",", ""))


def test_costs_add_up() -> None:
    rows = costs()
    sums = [amount(cell) for cell in rows.pop("sum")]
    assert [sum(amount(cells[size]) for cells in rows.values()) for size in range(3)] == sums


def test_figures_are_those_that_were_measured() -> None:
    page = " ".join(PAGE.read_text("utf-8").split())
    mapping, merge = map(int, table(PERFORMANCE, "| | Python | PostgreSQL |")["new"])
    day = f"{mapping / 6:.0f} core-minutes + {merge / 6:.0f} of the database's"
    assert f"{mapping} + {merge} µs a new row: 10 million/day = {day}" in page
    assert f"100 million rows take {mapping} µs each to map, {mapping / 36:.1f} core-hours" in page

    run = float(table(PERFORMANCE, "| | measured |")["CPU of a run, isolated"][0].removesuffix(" s"))
    assert f"{run:g} CPU-s a run, batches of up to 200 files: 100,000 files/day" in page
    assert f"to {run * 100 / 3.6:.0f} core-hours" in page
    daemon = float(table(PERFORMANCE, "| | before | after |")["daemon"][1].removesuffix(" %"))
    assert f"it uses about {daemon:.0f} % of a core" in page

    revenue = table(PERFORMANCE, "| operation | seconds |")["revenue_analysis"][0]
    assert f"revenue_analysis {revenue} s at a million: 25 s" in page
    assert f"at {25 / float(revenue):.0f} million" in page
    rest = table(PERFORMANCE, "| | p50 | p95 | bound |")
    (not_cached,) = (name for name in rest if name.startswith("handler, not cached"))
    bare = int(re.findall(r"\d+", not_cached)[0])
    said = (
        f"{float(rest['handler, cached'][0]):g} ms cached, {rest[not_cached][0]} ms not, {bare} of them the database's"
    )
    assert f"{said}: a core of it answers {1000 // bare} misses/s" in page


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
