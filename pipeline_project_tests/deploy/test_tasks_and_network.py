"""How tasks run and stop on AWS, how they are found, and which ports are open between them."""

import ipaddress
from typing import Any

import pytest

from deploy import environments
from deploy.environments import Environment
from deploy.review import short, text
from pipeline_project_tests.fix_stacks import Synthesis, Template

pytestmark = pytest.mark.slow

NAMES = environments.NAMES
HTTPS, POSTGRES, WEBSERVER, CODE_SERVER, WORKERS = 443, 5432, 3000, 4000, 4001
FARGATE_STOPS_AFTER = 120
"""The longest time, in seconds, that Fargate leaves a container between SIGTERM and SIGKILL."""


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def environment(name: str) -> Environment:
    return environments.load(name)


@pytest.fixture
def tasks(synthesis: Synthesis, name: str) -> dict[str, dict[str, Any]]:
    """The task definitions of all stacks by name."""
    stacks = synthesis.environment(name)
    return {
        short(logical_id): task
        for stack in ("migration", "orchestration")
        for logical_id, task in stacks[stack].all("AWS::ECS::TaskDefinition").items()
    }


@pytest.fixture
def network(synthesis: Synthesis, name: str) -> Template:
    return synthesis.environment(name)["network"]


# ---- tasks


def test_every_container_has_two_minutes_to_end_its_work(tasks: dict[str, dict[str, Any]]) -> None:
    containers = [container for task in tasks.values() for container in task["ContainerDefinitions"]]
    assert len(containers) == 6
    for container in containers:
        assert container["StopTimeout"] == FARGATE_STOPS_AFTER
        # Without init the process is number 1, which ignores SIGTERM unless it asks for it.
        assert container["LinuxParameters"]["InitProcessEnabled"] is True
        assert container["Essential"] is True


def test_containers_write_to_one_volume_of_their_own(tasks: dict[str, dict[str, Any]]) -> None:
    for task in tasks.values():
        assert task["Volumes"] == [{"Name": "temporary"}]
        for container in task["ContainerDefinitions"]:
            assert container["MountPoints"] == [
                {"ContainerPath": "/tmp", "ReadOnly": False, "SourceVolume": "temporary"}  # noqa: S108
            ]
            assert not container.get("Privileged", False)


def test_tasks_have_the_size_of_the_settings(tasks: dict[str, dict[str, Any]], environment: Environment) -> None:
    dagster = environment.dagster
    sizes = {
        "Webserver": dagster.webserver,
        "Daemon": dagster.daemon,
        "CodeServer": dagster.code_server,
        "Run": dagster.run,
    }
    assert {each: (tasks[each]["Cpu"], tasks[each]["Memory"]) for each in sizes} == {
        each: (str(size.cpu), str(size.memory_gib * 1024)) for each, size in sizes.items()
    }
    for task in tasks.values():
        assert task["RuntimePlatform"] == {"CpuArchitecture": "ARM64", "OperatingSystemFamily": "LINUX"}
        assert task["RequiresCompatibilities"] == ["FARGATE"]


def test_a_part_that_hangs_is_started_again(tasks: dict[str, dict[str, Any]]) -> None:
    checks = {
        container["Name"]: container["HealthCheck"]
        for task in tasks.values()
        for container in task["ContainerDefinitions"]
        if "HealthCheck" in container
    }
    bounds = {
        part: (check["Interval"], check["Timeout"], check["Retries"], check["StartPeriod"])
        for part, check in checks.items()
    }
    # `pipeline serve` waits up to five minutes for the database: that is no reason to end it.
    assert bounds == {
        "webserver": (30, 10, 3, 300),
        "code-server": (30, 10, 3, 300),
        "daemon": (120, 60, 3, 300),
    }
    assert f"127.0.0.1:{WEBSERVER}/server_info" in checks["webserver"]["Command"][-1]
    assert f"('127.0.0.1', {CODE_SERVER})" in checks["code-server"]["Command"][-1]
    assert checks["daemon"]["Command"] == ["CMD", "dagster-daemon", "liveness-check"]


def test_containers_listen_where_the_network_lets_others_in(tasks: dict[str, dict[str, Any]]) -> None:
    ports = {
        container["Name"]: [each["ContainerPort"] for each in container["PortMappings"]]
        for task in tasks.values()
        for container in task["ContainerDefinitions"]
        if container.get("PortMappings")
    }
    assert ports == {"webserver": [WEBSERVER], "code-server": [CODE_SERVER], "run-workers": [WORKERS]}


def test_launchers_know_the_task_of_heavy_runs(synthesis: Synthesis, name: str, environment: Environment) -> None:
    stack = synthesis.environment(name)["orchestration"]
    for logical_id, task in stack.all("AWS::ECS::TaskDefinition").items():
        for container in task["ContainerDefinitions"]:
            variables = {each["Name"]: text(each["Value"]) for each in container["Environment"]}
            expected = None if short(logical_id) == "Run" else "<Run>"
            assert variables.get("PIPELINE_RUN_TASK_DEFINITION") == expected
            code_server = f"code-server.pipeline-{name}.internal"
            assert variables["PIPELINE_RUN_WORKERS"] == f"{code_server}:{WORKERS}"
            assert variables["PIPELINE_CODE_SERVER_HOST"] == code_server
            assert variables["PIPELINE_DAGSTER_LOGS_BUCKET"] == "<ComputeLogsBucket>"
            assert variables["PIPELINE_JOB_RETENTION_DAYS"] == str(environment.job_result_days)


def test_services_run_one_task_in_private_subnets_and_are_found_quickly(synthesis: Synthesis, name: str) -> None:
    stack = synthesis.environment(name)["orchestration"]
    for service in stack.all("AWS::ECS::Service").values():
        assert (service["DesiredCount"], service["LaunchType"]) == (1, "FARGATE")
        subnets = service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]
        assert len(subnets) == 2
        # Each part is replaced before the old one stops, but for the daemon, which must not run twice.
        bounds = service["DeploymentConfiguration"]
        is_single = bounds["MaximumPercent"] == 100
        assert bounds["MinimumHealthyPercent"] == (0 if is_single else 100)
        assert bounds["MaximumPercent"] in (100, 200)
        assert (service.get("AvailabilityZoneRebalancing") == "DISABLED") is is_single
    for record in stack.all("AWS::ServiceDiscovery::Service").values():
        assert record["DnsConfig"]["DnsRecords"] == [{"TTL": 10, "Type": "A"}]


def test_only_webservers_are_scaled_by_their_load(synthesis: Synthesis, name: str, environment: Environment) -> None:
    stack = synthesis.environment(name)["orchestration"]
    _, target = stack.one("AWS::ApplicationAutoScaling::ScalableTarget")
    assert "<WebserverService.Name>" in text(target["ResourceId"])
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, environment.dagster.most_webservers)
    _, policy = stack.one("AWS::ApplicationAutoScaling::ScalingPolicy")
    tracked = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracked["PredefinedMetricSpecification"] == {
        "PredefinedMetricType": "ECSServiceAverageCPUUtilization",
    }
    assert tracked["TargetValue"] == 60


# ---- network


def test_both_ends_of_each_connection_name_the_same_port(network: Template) -> None:
    def pairs(kind: str, source: str, target: str) -> set[tuple[str, str, int, int]]:
        return {
            (text(rule[source]), text(rule[target]), rule["FromPort"], rule["ToPort"])
            for rule in network.all(f"AWS::EC2::SecurityGroup{kind}").values()
            if rule["IpProtocol"] == "tcp"
        }

    admitted = pairs("Ingress", "SourceSecurityGroupId", "GroupId")
    assert admitted == {
        (f"<{source}Group.GroupId>", f"<{target}Group.GroupId>", first, last)
        for source, target, first, last in (
            *((source, "Database", POSTGRES, POSTGRES) for source in ("Function", "Dagster", "Rotation")),
            *((source, "Endpoints", HTTPS, HTTPS) for source in ("Function", "Dagster", "Rotation")),
            ("Function", "Dagster", WEBSERVER, WEBSERVER),
            ("Dagster", "Dagster", WEBSERVER, WEBSERVER),
            ("Dagster", "Dagster", CODE_SERVER, WORKERS),
        )
    }
    assert pairs("Egress", "GroupId", "DestinationSecurityGroupId") == admitted


def test_only_s3_and_dynamodb_are_reached_by_address(network: Template) -> None:
    """They have no security group. No route leads to any other address."""
    reached = {
        short(logical_id): [(rule["CidrIp"], rule["FromPort"], rule["ToPort"]) for rule in rules]
        for logical_id, group in network.all("AWS::EC2::SecurityGroup").items()
        if (rules := [each for each in group.get("SecurityGroupEgress", []) if each["IpProtocol"] == "tcp"])
    }
    anywhere = ("0.0.0.0/0", HTTPS, HTTPS)
    assert reached == {"FunctionGroup": [anywhere], "DagsterGroup": [anywhere]}
    everywhere = {
        each["IpProtocol"]
        for group in network.all("AWS::EC2::SecurityGroup").values()
        for each in group.get("SecurityGroupEgress", [])
    }
    assert "-1" not in everywhere


def test_endpoints_are_private_and_have_their_own_group(network: Template) -> None:
    endpoints = network.all("AWS::EC2::VPCEndpoint").values()
    by_kind = {
        kind: [each for each in endpoints if each["VpcEndpointType"] == kind] for kind in ("Interface", "Gateway")
    }
    assert {text(each["ServiceName"]).rpartition(".")[2] for each in by_kind["Gateway"]} == {"s3", "dynamodb"}
    assert all(len(each["RouteTableIds"]) == 2 for each in by_kind["Gateway"])
    for each in by_kind["Interface"]:
        assert each["PrivateDnsEnabled"] is True, "the name of the service would lead to the internet"
        assert [text(group) for group in each["SecurityGroupIds"]] == ["<EndpointsGroup.GroupId>"]
        assert len(each["SubnetIds"]) == 2


def test_each_zone_has_a_quarter_of_the_network(network: Template, environment: Environment) -> None:
    _, vpc = network.one("AWS::EC2::VPC")
    assert vpc["CidrBlock"] == environment.network.cidr
    assert vpc["EnableDnsHostnames"] is vpc["EnableDnsSupport"] is True
    whole = ipaddress.IPv4Network(environment.network.cidr)
    subnets = [ipaddress.IPv4Network(each["CidrBlock"]) for each in network.all("AWS::EC2::Subnet").values()]
    assert all(each.subnet_of(whole) and 4 * each.num_addresses == whole.num_addresses for each in subnets)


def test_all_traffic_and_all_sessions_of_operators_are_logged(network: Template) -> None:
    _, flows = network.one("AWS::EC2::FlowLog")
    assert (flows["TrafficType"], flows["ResourceType"]) == ("ALL", "VPC")
    assert text(flows["LogGroupName"]) == "<FlowLogs>"
    _, cluster = network.one("AWS::ECS::Cluster")
    assert cluster["ClusterSettings"] == [{"Name": "containerInsights", "Value": "enabled"}], "WebserverAlarm needs it"
    session = cluster["Configuration"]["ExecuteCommandConfiguration"]
    assert session["Logging"] == "OVERRIDE"
    assert text(session["LogConfiguration"]["CloudWatchLogGroupName"]) == "<SessionLogs>"


def test_names_of_tasks_are_known_inside_of_the_network_only(network: Template, name: str) -> None:
    _, names = network.one("AWS::ServiceDiscovery::PrivateDnsNamespace")
    assert names["Name"] == f"pipeline-{name}.internal"
