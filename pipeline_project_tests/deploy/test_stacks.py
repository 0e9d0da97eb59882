"""The AWS stacks of all environments: what an auditor would look for, and what an operator relies on."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy import environments
from deploy.review import review, text
from deploy.synthesize import PROD_REVIEW
from pipeline_project.settings import Settings
from pipeline_project_tests.fix_stacks import STACKS, Synthesis, Template, as_list, refuses_plain_http, statements

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NAMES = environments.NAMES
# CDK lets a function depend on its role and on the role's policy; the first of the two is implied by the reference. Zones
# are settings, so that prod's are known before it is deployed.
CFN_LINT = ["--ignore-checks", "W3005", "W3010", "--regions", "eu-central-1", "--"]
TASKS = {**dict.fromkeys(("Webserver", "Daemon", "CodeServer", "Run"), "orchestration"), "Migration": "migration"}
"""And the stacks that have them."""
# Actions that know no resources, each in the one place where it is used.
EVERYWHERE = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "ecr:GetAuthorizationToken",
    "ecs:DescribeTaskDefinition",
    "logs:DescribeLogGroups",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}


def rights_of(template: Template, role: str) -> list[dict[str, Any]]:
    """The statements of the role with that name."""
    return [
        statement
        for policy in template.all("AWS::IAM::Policy").values()
        if any(text(each) == f"<{role}>" for each in policy["Roles"])
        for statement in statements(policy)
    ]


def secrets_of(template: Template, role: str) -> set[str]:
    return {
        text(resource).removeprefix("<").removesuffix("SecretAttachment>").lower()
        for statement in rights_of(template, role)
        if "secretsmanager:GetSecretValue" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


# ---- policy


@pytest.mark.parametrize("name", [*NAMES, "iam", "jwt"])
def test_no_finding_is_left_and_each_exception_says_why(synthesis: Synthesis, name: str) -> None:
    (report,) = [each for each in synthesis.report(name)["pluginReports"] if each["pluginName"] == "AwsSolutions"]
    assert report["conclusion"] == "success"
    assert report["violations"] == []
    assert report["suppressedViolations"], "a plugin that finds nothing at all has not looked"
    assert all(len(each["reason"].split()) >= 5 for each in report["suppressedViolations"])


def test_no_exception_is_left_over(synthesis: Synthesis) -> None:
    assert synthesis.unused_exceptions() == []


def test_cloudformation_has_nothing_to_object(synthesis: Synthesis) -> None:
    templates = [str(synthesis.path(name, stack)) for name in NAMES for stack in STACKS]
    lint = [str(Path(sys.executable).with_name("cfn-lint")), *CFN_LINT, *templates]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prod_is_what_was_reviewed(synthesis: Synthesis) -> None:
    assert review(synthesis.folder / "prod") == PROD_REVIEW.read_text("utf-8"), (
        "run python -m deploy.synthesize; review"
    )


@pytest.mark.parametrize("name", NAMES)
def test_nothing_may_do_everything_or_anything_everywhere(synthesis: Synthesis, name: str) -> None:
    for stack, template in synthesis.environment(name).items():
        for policy in template.any("AWS::IAM::Policy").values():
            for statement in statements(policy):
                actions = as_list(statement["Action"])
                assert not [action for action in actions if "*" in action], (stack, statement)
                if "*" in as_list(statement["Resource"]):
                    assert set(actions) <= EVERYWHERE, (stack, statement)


def test_each_role_reads_its_own_secrets_only(synthesis: Synthesis) -> None:
    prod = synthesis.environment("prod")
    assert secrets_of(prod["app"], "ApiRole") == {"reader"}
    assert {task: secrets_of(prod[stack], f"{task}TaskRole") for task, stack in TASKS.items()} == {
        "Webserver": {"dagster"},
        "Daemon": {"dagster"},
        "CodeServer": {"dagster", "loader", "reader"},
        "Run": {"dagster", "loader", "reader"},
        "Migration": {"admin", "owner", "loader", "reader", "dagster"},
    }
    for task, stack in TASKS.items():
        assert secrets_of(prod[stack], f"{task}ExecutionRole") == set()
    changed = [
        statement
        for task, stack in TASKS.items()
        for statement in rights_of(prod[stack], f"{task}TaskRole")
        if "LandingBucket" in text(statement["Resource"])
        and any(word in action for action in as_list(statement["Action"]) for word in ("Put", "Delete"))
    ]
    assert changed == [], "landed files are evidence"


@pytest.mark.parametrize("name", NAMES)
def test_no_log_is_kept_for_ever(synthesis: Synthesis, name: str) -> None:
    """Neither by a group that has no retention nor by one that a service of AWS makes for lack of ours."""
    stacks = synthesis.environment(name)
    groups = {
        (stack, logical_id): group
        for stack, template in stacks.items()
        for logical_id, group in template.any("AWS::Logs::LogGroup").items()
    }
    assert {each["RetentionInDays"] for each in groups.values()} == {environments.load(name).log_retention_days}
    named = {text(each["LogGroupName"]): where for where, each in groups.items() if "LogGroupName" in each}
    database_id, database = stacks["data"].one("AWS::RDS::DBInstance")
    written_by = {
        f"/aws/rds/instance/{database['DBInstanceIdentifier']}/{each}": ("data", database_id)
        for each in database["EnableCloudwatchLogsExports"]
    }
    for logical_id, rotation in stacks["data"].all("AWS::SecretsManager::RotationSchedule").items():
        function = rotation["HostedRotationLambda"]["RotationLambdaName"]
        written_by[f"/aws/lambda/{function}"] = ("data", logical_id)
    stage_id, stage = stacks["app"].one("AWS::ApiGateway::Stage")
    written_by[f"API-Gateway-Execution-Logs_<Api>/{stage['StageName']}"] = ("app", stage_id)
    assert named.keys() - {f"aws-waf-logs-pipeline-{name}"} == written_by.keys()
    for group, (stack, writer) in written_by.items():
        assert named[group][1] in stacks[stack].depends(writer), "it would make the group before we do"
    for function in (each for stack in stacks.values() for each in stack.any("AWS::Lambda::Function").values()):
        assert "LogGroup" in function["LoggingConfig"]


# ---- network


@pytest.mark.parametrize("name", NAMES)
def test_the_network_has_no_way_to_the_internet(synthesis: Synthesis, name: str) -> None:
    network = synthesis.environment(name)["network"]
    for way in ("NatGateway", "InternetGateway", "VPCGatewayAttachment", "Route", "EIP", "EgressOnlyInternetGateway"):
        assert network.any(f"AWS::EC2::{way}") == {}
    subnets = network.all("AWS::EC2::Subnet").values()
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 2
    assert not any(subnet["MapPublicIpOnLaunch"] for subnet in subnets)
    reached = {text(each["ServiceName"]).rpartition(".")[2] for each in network.all("AWS::EC2::VPCEndpoint").values()}
    needed = {"s3", "dynamodb", "sqs", "sns", "secretsmanager", "logs", "api", "dkr", "ecs", "ec2", "ssmmessages"}
    assert reached == needed | ({"xray"} if environments.load(name).traces else set())
    assert network.all("AWS::EC2::FlowLog")


def test_nobody_outside_the_groups_reaches_anything(synthesis: Synthesis) -> None:
    network = synthesis.environment("prod")["network"]
    for group in network.all("AWS::EC2::SecurityGroup").values():
        assert "SecurityGroupIngress" not in group, "a rule that names addresses"
    admitted = {
        (text(rule["GroupId"]), text(rule["SourceSecurityGroupId"]), rule["FromPort"])
        for rule in network.all("AWS::EC2::SecurityGroupIngress").values()
    }
    to_database = {source for target, source, _ in admitted if target == "<DatabaseGroup.GroupId>"}
    assert to_database == {f"<{group}Group.GroupId>" for group in ("Function", "Dagster", "Rotation")}
    to_dagster = {(source, port) for target, source, port in admitted if target == "<DagsterGroup.GroupId>"}
    assert to_dagster == {
        ("<FunctionGroup.GroupId>", 3000),
        ("<DagsterGroup.GroupId>", 3000),
        ("<DagsterGroup.GroupId>", 4000),
    }


# ---- data


@pytest.mark.parametrize("name", NAMES)
def test_the_database_is_private_encrypted_backed_up_and_kept(synthesis: Synthesis, name: str) -> None:
    settings, data = environments.load(name).database, synthesis.environment(name)["data"]
    logical_id, database = data.one("AWS::RDS::DBInstance")
    assert database["Engine"] == "postgres"
    assert database["EngineVersion"].startswith("18.")
    assert database["PubliclyAccessible"] is False
    assert database["StorageEncrypted"] is True
    assert database["MultiAZ"] is settings.multi_az
    assert database["DeletionProtection"] is settings.deletion_protection
    assert database["BackupRetentionPeriod"] == settings.backup_days
    assert database["MaxAllocatedStorage"] == settings.most_storage_gib
    assert database["EnableCloudwatchLogsExports"] == ["postgresql", "upgrade"]
    assert database["MonitoringInterval"] == 60
    assert database["DeleteAutomatedBackups"] is False
    assert database["EnablePerformanceInsights"] is True
    assert database["PerformanceInsightsRetentionPeriod"] == settings.insights_days
    assert database["DatabaseInsightsMode"] == ("standard" if settings.insights_days == 7 else "advanced")
    assert "DBName" not in database, "the migration makes it, owned by pipeline_owner"
    assert data.deletion(logical_id) == "Snapshot"
    _, key = data.one("AWS::KMS::Key")
    assert key["EnableKeyRotation"] is True
    _, group = data.one("AWS::RDS::DBParameterGroup")
    assert group["Family"] == "postgres18"
    assert group["Parameters"]["rds.force_ssl"] == "1"
    assert group["Parameters"]["rds.accepted_password_auth_method"] == "scram"
    assert group["Parameters"]["log_parameter_max_length"] == "0", "values can be data"
    # kilobytes, as PostgreSQL takes it
    assert group["Parameters"]["temp_file_limit"] == str(settings.temp_file_gib * 1024**2)


def test_each_role_of_the_database_has_a_password_that_is_generated_and_changes(synthesis: Synthesis) -> None:
    data = synthesis.environment("prod")["data"]
    users = {}
    for logical_id, secret in data.all("AWS::SecretsManager::Secret").items():
        generated = secret["GenerateSecretString"]
        assert generated["GenerateStringKey"] == "password"
        assert "SecretString" not in secret
        given = json.loads(generated["SecretStringTemplate"])
        assert given["sslmode"] == "require"
        users[logical_id] = (given["username"], given["dbname"])
    assert sorted(users.values()) == [
        ("dagster", "dagster"),
        ("pipeline_admin", "postgres"),
        ("pipeline_loader", "pipeline"),
        ("pipeline_owner", "pipeline"),
        ("pipeline_reader", "pipeline"),
    ]
    attached = {k: v["SecretId"]["Ref"] for k, v in data.all("AWS::SecretsManager::SecretTargetAttachment").items()}
    assert set(attached.values()) == set(users)
    rotations = data.all("AWS::SecretsManager::RotationSchedule").values()
    assert {rotation["SecretId"]["Ref"] for rotation in rotations} == set(attached)
    for rotation in rotations:
        assert rotation["HostedRotationLambda"]["RotationType"] == "PostgreSQLSingleUser"
        assert rotation["RotationRules"] == {"ScheduleExpression": "rate(30 days)"}
        assert rotation["RotateImmediatelyOnUpdate"] is False, "before the migration there is no such user"


@pytest.mark.parametrize("name", NAMES)
def test_buckets_queue_and_table_are_private_encrypted_and_kept(synthesis: Synthesis, name: str) -> None:
    data = synthesis.environment(name)["data"]
    policies = {policy["Bucket"]["Ref"]: policy for policy in data.all("AWS::S3::BucketPolicy").values()}
    buckets = data.all("AWS::S3::Bucket")
    assert len(buckets) == 4
    for logical_id, bucket in buckets.items():
        assert list(bucket["PublicAccessBlockConfiguration"].values()) == [True] * 4
        assert bucket["BucketEncryption"]
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert bucket["LifecycleConfiguration"]["Rules"]
        assert refuses_plain_http(policies[logical_id])
        assert data.deletion(logical_id) == "Retain"
        if not logical_id.startswith("AccessLogs"):
            assert text(bucket["LoggingConfiguration"]["DestinationBucketName"]) == "<AccessLogsBucket>"
    _, table = data.one("AWS::DynamoDB::Table")
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expireAt", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    dead_letters, _ = data.one("AWS::SQS::Queue", "LandingDeadLetterQueue")
    _, queue = data.one("AWS::SQS::Queue", "LandingQueue")
    assert queue["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead_letters, "Arn"]},
        "maxReceiveCount": 5,
    }
    assert all(each["SqsManagedSseEnabled"] for each in data.all("AWS::SQS::Queue").values())


@pytest.mark.parametrize("name", NAMES)
def test_only_the_data_stack_holds_data(synthesis: Synthesis, name: str) -> None:
    stateful = ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::RDS::DBInstance")
    for stack, template in synthesis.environment(name).items():
        for kind in (*stateful, "AWS::SecretsManager::Secret", "AWS::KMS::Key"):
            assert bool(template.any(kind)) == (stack == "data"), (stack, kind)


# ---- app


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, {"AuthorizationType": "NONE", "ApiKeyRequired": True}) for name in NAMES),
        ("iam", {"AuthorizationType": "AWS_IAM"}),
        ("jwt", {"AuthorizationType": "COGNITO_USER_POOLS"}),
    ],
)
def test_every_method_but_the_preflight_names_its_caller(
    synthesis: Synthesis, name: str, expected: dict[str, Any]
) -> None:
    app = synthesis.environment(name)["app"]
    methods = list(app.all("AWS::ApiGateway::Method").values())
    assert sorted(method["HttpMethod"] for method in methods) == ["ANY", "ANY", "OPTIONS", "OPTIONS"]
    for method in methods:
        given = {k: method[k] for k in ("AuthorizationType", "ApiKeyRequired") if k in method}
        if method["HttpMethod"] == "ANY":
            assert given == expected
        else:
            assert given == {"AuthorizationType": "NONE"}
    if name == "jwt":
        _, authorizer = app.one("AWS::ApiGateway::Authorizer")
        assert authorizer["ProviderARNs"] == [
            "arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_Example"
        ]
    assert bool(app.any("AWS::ApiGateway::UsagePlan")) == (name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_api_is_bounded_logged_and_has_its_firewall(synthesis: Synthesis, name: str) -> None:
    settings, app = environments.load(name), synthesis.environment(name)["app"]
    api, retained = settings.api, settings.log_retention_days
    _, plan = app.one("AWS::ApiGateway::UsagePlan")
    assert plan["Throttle"] == {"RateLimit": api.requests_per_second, "BurstLimit": api.requests_per_second * 2}
    assert plan["Quota"] == {"Limit": api.requests_per_day, "Period": "DAY"}
    _, stage = app.one("AWS::ApiGateway::Stage")
    assert text(stage["AccessLogSetting"]["DestinationArn"]) == "<AccessLogs.Arn>"
    logged = json.loads(stage["AccessLogSetting"]["Format"])
    assert {"request_id", "status", "latency_ms", "api_key_id"} <= set(logged)
    assert not [value for value in logged.values() if "query" in value or "body" in value or value.endswith(".apiKey")]
    (method,) = stage["MethodSettings"]
    assert method["DataTraceEnabled"] is False
    assert method["ThrottlingRateLimit"] == api.requests_per_second
    assert all(each["RetentionInDays"] == retained for each in app.all("AWS::Logs::LogGroup").values())
    firewalls = app.any("AWS::WAFv2::WebACL")
    assert bool(firewalls) == api.firewall
    for logical_id, firewall in firewalls.items():
        rules = [rule["Name"] for rule in firewall["Rules"]]
        assert "Flood" in rules and {"AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"} <= set(
            rules
        )
        # One operation takes SQL, and guards it by itself.
        assert not [rule for rule in rules if "SQL" in rule]
        _, association = app.one("AWS::WAFv2::WebACLAssociation")
        assert association["WebACLArn"] == {"Fn::GetAtt": [logical_id, "Arn"]}
        assert "Stage" in text(association["ResourceArn"])
        assert app.one("AWS::WAFv2::LoggingConfiguration")[1]["RedactedFields"]


@pytest.mark.parametrize("name", NAMES)
def test_the_function_is_in_the_network_and_its_settings_load(synthesis: Synthesis, name: str) -> None:
    app = synthesis.environment(name)["app"]
    _, function = app.one("AWS::Lambda::Function", "ApiFunction")
    assert [text(each) for each in function["VpcConfig"]["SecurityGroupIds"]] == ["<FunctionGroup.GroupId>"]
    assert len(function["VpcConfig"]["SubnetIds"]) == 2
    assert function["Architectures"] == ["arm64"]
    variables = function["Environment"]["Variables"]
    settings = Settings.load({key: text(value) for key, value in variables.items()})
    assert settings.api_authentication == "gateway"
    assert settings.api_allowed_origins == ",".join(environments.load(name).api.allowed_origins)
    assert settings.dagster_url == f"http://webserver.pipeline-{name}.internal:3000"
    assert settings.reader_secret == "<ReaderSecretAttachment>"
    assert settings.aws_endpoint_url is None


# ---- orchestration


def containers(stacks: Mapping[str, Template], task: str) -> list[dict[str, Any]]:
    return stacks[TASKS[task]].one("AWS::ECS::TaskDefinition", task)[1]["ContainerDefinitions"]


@pytest.mark.parametrize("name", NAMES)
def test_containers_know_no_secret_and_have_settings_that_load(synthesis: Synthesis, name: str) -> None:
    stacks = synthesis.environment(name)
    known = {"PIPELINE_" + field.name.upper() for field in msgspec.structs.fields(Settings)}
    images = set()
    for task in TASKS:
        for container in containers(stacks, task):
            assert "Secrets" not in container, "variables from secrets are old after a rotation"
            variables = {each["Name"]: text(each["Value"]) for each in container["Environment"]}
            assert set(variables) - {"AWS_DEFAULT_REGION"} <= known
            assert variables["PIPELINE_TRACES"] == ("x-ray" if environments.load(name).traces else "none")
            assert not [each for each in variables if "PASSWORD" in each]
            settings = Settings.load(variables)
            assert settings.environment == name
            assert settings.loader_secret == "<LoaderSecretAttachment>"
            assert settings.landing_bucket == "<LandingBucket>"
            assert container["User"] == "10001"
            assert container["ReadonlyRootFilesystem"] is (task != "Webserver")
            assert container["LogConfiguration"]["LogDriver"] == "awslogs"
            images.add(text(container["Image"]))
    assert len(images) == 1


def test_each_part_has_its_command(synthesis: Synthesis) -> None:
    stacks = synthesis.environment("prod")
    commands = {each["Name"]: each["Command"] for task in TASKS for each in containers(stacks, task)}
    run = commands.pop("run")
    assert run[:3] == ["dagster", "api", "execute_run"]
    assert commands == {
        "migration": ["pipeline", "migrate"],
        **{part: ["pipeline", "serve", part] for part in ("webserver", "daemon", "code-server", "run-workers")},
    }


@pytest.mark.parametrize("name", NAMES)
def test_function_and_services_follow_the_migration(synthesis: Synthesis, name: str) -> None:
    """Or they would meet a schema that is not theirs, and one that fails would leave them half of a release."""
    migration = synthesis.environment(name)["migration"]
    done, _ = migration.one("Custom::Migration")
    before = migration.depends(done)
    for policy in (
        "MigrationTaskRoleDefaultPolicy",
        "MigrationExecutionRoleDefaultPolicy",
        "MigrationFunctionRoleDefault",
    ):
        assert any(each.startswith(policy) for each in before), "the task would start without its rights"
    follows = synthesis.order(name)
    assert "migration" in follows["app"]
    assert "app" in follows["orchestration"]
    assert follows["migration"] <= {"network", "data"}


@pytest.mark.parametrize("name", NAMES)
def test_services_are_private_and_roll_back(synthesis: Synthesis, name: str) -> None:
    orchestration = synthesis.environment(name)["orchestration"]
    services = orchestration.all("AWS::ECS::Service")
    assert len(services) == 3
    for logical_id, service in services.items():
        deployment = service["DeploymentConfiguration"]
        assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"
        assert [text(each) for each in network["SecurityGroups"]] == ["<DagsterGroup.GroupId>"]
        assert service.get("EnableExecuteCommand", False) is logical_id.startswith("Webserver")
        never_two = (deployment["MinimumHealthyPercent"], deployment["MaximumPercent"]) == (0, 100)
        assert never_two is logical_id.startswith("Daemon")
    assert orchestration.any("AWS::ElasticLoadBalancingV2::LoadBalancer") == {}
    _, scaling = orchestration.one("AWS::ApplicationAutoScaling::ScalableTarget")
    assert (scaling["MinCapacity"], scaling["MaxCapacity"]) == (1, environments.load(name).dagster.most_webservers)
    _, policy = orchestration.one("AWS::ApplicationAutoScaling::ScalingPolicy")
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 60
    names = {each["Name"] for each in orchestration.all("AWS::ServiceDiscovery::Service").values()}
    assert names == {"webserver", "daemon", "code-server"}


def test_the_migrations_function_fits_where_its_text_stands(synthesis: Synthesis) -> None:
    _, function = synthesis.environment("prod")["migration"].one("AWS::Lambda::Function", "MigrationFunction")
    code = function["Code"]["ZipFile"]
    assert len(code) <= 4096
    compile(code, "index.py", "exec")
    assert function["Timeout"] == 900


def test_the_instructions_ask_for_outputs_that_there_are(synthesis: Synthesis) -> None:
    dev = synthesis.environment("dev")
    for instructions, most in ((ROOT / "deploy" / "README.md", 5), (ROOT / "docs" / "operations-runbook.md", 3)):
        asked = re.findall(r"\$\(output (\w+) (\w+)\)", instructions.read_text("utf-8"))
        assert len(asked) >= most
        for stack, output in asked:
            assert output in dev[stack].body["Outputs"], (stack, output)


def test_an_operators_task_may_ask_what_health_and_verify_ask(synthesis: Synthesis) -> None:
    rights = rights_of(synthesis.environment("prod")["orchestration"], "RunTaskRole")
    may = {
        (action, text(resource))
        for statement in rights
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    assert may >= {
        ("s3:ListBucket", "<LandingBucket.Arn>"),  # HeadBucket and listings
        ("s3:ListBucket", "<ResultsBucket.Arn>"),
        ("s3:ListBucketVersions", "<LandingBucket.Arn>"),
        ("dynamodb:GetItem", "<Table.Arn>"),
        ("sqs:GetQueueAttributes", "<LandingQueue.Arn>"),
    }
