"""What each role of the AWS stacks may do: no right less than its work needs, and no right more."""

from typing import Any

import pytest

from deploy import environments
from deploy.review import short, text
from pipeline_project_tests.fix_stacks import Synthesis, Template, as_list, statements

pytestmark = pytest.mark.slow

NAMES = environments.NAMES
Rights = dict[str, set[str]]
"""Actions by the resource that they are allowed on."""

TASKS_OF_THE_CLUSTER = "arn:<AWS::Partition>:ecs:eu-central-1:<AWS::AccountId>:task/<Cluster>/*"
IMAGES = (
    "arn:<AWS::Partition>:ecr:eu-central-1:<AWS::AccountId>:repository/"
    "{Fn::Sub: cdk-hnb659fds-container-assets-${AWS::AccountId}-eu-central-1}"
)
WRITE_LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
RECORDS = {
    "dynamodb:ConditionCheckItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
}
RESULTS = {"s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"}
LOGS_OF_RUNS: Rights = {
    "<ComputeLogsBucket.Arn>/*": {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
    "<ComputeLogsBucket.Arn>": {"s3:ListBucket"},
}
READ_SECRET = {"secretsmanager:GetSecretValue"}

FUNCTION: Rights = {
    "<Table.Arn>": RECORDS | {"dynamodb:DeleteItem"},
    "<Table.Arn>/index/*": RECORDS | {"dynamodb:DeleteItem"},
    "<ResultsBucket.Arn>/*": RESULTS,
    # Without it S3 answers 403, and not 404, for a key that does not exist.
    "<ResultsBucket.Arn>": {"s3:ListBucket"},
    "<LandingQueue.Arn>": {"sqs:GetQueueAttributes"},
    "<ReaderSecretAttachment>": READ_SECRET,
    "<ApiLogs.Arn>": WRITE_LOGS,
    "*": {
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    },
}
DATA: Rights = {
    **LOGS_OF_RUNS,
    **dict.fromkeys(("<DagsterSecretAttachment>", "<LoaderSecretAttachment>", "<ReaderSecretAttachment>"), READ_SECRET),
    # Landed files are evidence: they are read, and never written or deleted.
    "<LandingBucket.Arn>/*": {"s3:GetObject", "s3:GetObjectVersion"},
    "<LandingBucket.Arn>": {"s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketVersions"},
    "<LandingQueue.Arn>": {
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
    },
    "<ResultsBucket.Arn>/*": RESULTS,
    "<ResultsBucket.Arn>": {"s3:ListBucket"},
    "<Table.Arn>": RECORDS,
    "<Table.Arn>/index/*": RECORDS,
    "<EventsTopic>": {"sns:Publish"},
}
LAUNCHER: Rights = {
    **LOGS_OF_RUNS,
    "<DagsterSecretAttachment>": READ_SECRET,
    "<Run>": {"ecs:RunTask"},
    "<RunTaskRole.Arn>": {"iam:PassRole"},
    "<RunExecutionRole.Arn>": {"iam:PassRole"},
    TASKS_OF_THE_CLUSTER: {"ecs:DescribeTasks", "ecs:StopTask", "ecs:TagResource"},
    "<RunLogs.Arn>": {"logs:GetLogEvents"},
    "*": {"ecs:DescribeTaskDefinition", "ec2:DescribeNetworkInterfaces"},
}
SHELL: Rights = {
    "arn:<AWS::Partition>:logs:eu-central-1:<AWS::AccountId>:log-group:<SessionLogs>:*": {
        *WRITE_LOGS,
        "logs:DescribeLogStreams",
    },
    "*": {
        "logs:DescribeLogGroups",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    },
}
"""What ECS Exec needs in the one container that an operator may enter."""
MIGRATION: Rights = {
    f"<{role}SecretAttachment>": READ_SECRET for role in ("Admin", "Owner", "Loader", "Reader", "Dagster")
}
MIGRATION_FUNCTION: Rights = {
    "<Migration>": {"ecs:RunTask"},
    "<MigrationTaskRole.Arn>": {"iam:PassRole"},
    "<MigrationExecutionRole.Arn>": {"iam:PassRole"},
    TASKS_OF_THE_CLUSTER: {"ecs:DescribeTasks"},
    "<MigrationFunctionLogs.Arn>": WRITE_LOGS,
    "<MigrationLogs.Arn>": {"logs:GetLogEvents"},
}


def together(*parts: Rights) -> Rights:
    return {resource: set().union(*(p.get(resource, set()) for p in parts)) for part in parts for resource in part}


def image_and_logs(*groups: str) -> Rights:
    """What ECS itself needs to start a task."""
    return {
        IMAGES: {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
        "*": {"ecr:GetAuthorizationToken"},
        **{f"<{group}.Arn>": WRITE_LOGS for group in groups},
    }


def expected(*, traces: bool) -> dict[str, dict[str, Rights]]:
    """The rights of each role by stack."""
    task_traces: Rights = {"*": {"xray:PutTraceSegments"}} if traces else {}
    function_traces: Rights = {"*": {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}} if traces else {}
    return {
        "network": {
            "FlowLogsRole": {"<FlowLogs.Arn>": {*WRITE_LOGS, "logs:DescribeLogStreams"}},
        },
        "data": {},
        "migration": {
            "MigrationTaskRole": MIGRATION,
            "MigrationExecutionRole": image_and_logs("MigrationLogs"),
            "MigrationFunctionRole": MIGRATION_FUNCTION,
        },
        "app": {"ApiRole": together(FUNCTION, function_traces)},
        "orchestration": {
            "CodeServerTaskRole": together(DATA, task_traces),
            "RunTaskRole": together(DATA, task_traces),
            "DaemonTaskRole": LAUNCHER,
            "WebserverTaskRole": together(LAUNCHER, SHELL),
            "CodeServerExecutionRole": image_and_logs("CodeServerLogs", "RunWorkersLogs"),
            "RunExecutionRole": image_and_logs("RunLogs"),
            "DaemonExecutionRole": image_and_logs("DaemonLogs"),
            "WebserverExecutionRole": image_and_logs("WebserverLogs"),
        },
        "monitoring": {},
    }


def roles(template: Template) -> dict[str, Rights]:
    found: dict[str, Rights] = {}
    for policy in template.any("AWS::IAM::Policy").values():
        for role in policy["Roles"]:
            rights = found.setdefault(text(role).strip("<>"), {})
            for statement in statements(policy):
                assert statement["Effect"] == "Allow"
                for resource in as_list(statement["Resource"]):
                    rights.setdefault(text(resource), set()).update(as_list(statement["Action"]))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_role_has_the_rights_that_its_work_needs_and_no_other(synthesis: Synthesis, name: str) -> None:
    wanted = expected(traces=environments.load(name).traces)
    for stack, template in synthesis.environment(name).items():
        assert roles(template) == wanted[stack]
        assert not [role for role in template.any("AWS::IAM::Role").values() if "Policies" in role]


@pytest.mark.parametrize("name", NAMES)
def test_tasks_are_started_in_the_cluster_and_roles_are_given_to_tasks_only(synthesis: Synthesis, name: str) -> None:
    conditions: dict[str, list[Any]] = {}
    for template in synthesis.environment(name).values():
        for policy in template.any("AWS::IAM::Policy").values():
            for statement in statements(policy):
                for action in as_list(statement["Action"]):
                    if action in ("ecs:RunTask", "iam:PassRole"):
                        conditions.setdefault(action, []).append(statement.get("Condition"))
    assert len(conditions["ecs:RunTask"]) == len(conditions["iam:PassRole"]) == 3
    for each in conditions["ecs:RunTask"]:
        assert text(each) == "{ArnEquals: {ecs:cluster: <Cluster.Arn>}}"
    for each in conditions["iam:PassRole"]:
        assert each == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}


@pytest.mark.parametrize("name", NAMES)
def test_each_role_is_taken_by_one_service(synthesis: Synthesis, name: str) -> None:
    services = {}
    for template in synthesis.environment(name).values():
        for logical_id, role in template.any("AWS::IAM::Role").items():
            (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
            assert (trust["Effect"], trust["Action"]) == ("Allow", "sts:AssumeRole")
            services[short(logical_id)] = trust["Principal"]["Service"]
    tasks = ("CodeServer", "Run", "Daemon", "Webserver", "Migration")
    assert services == {
        "FlowLogsRole": "vpc-flow-logs.amazonaws.com",
        "DatabaseMonitoringRole": "monitoring.rds.amazonaws.com",
        "ApiRole": "lambda.amazonaws.com",
        "ApiCloudWatchRole": "apigateway.amazonaws.com",
        "MigrationFunctionRole": "lambda.amazonaws.com",
        **{f"{task}{role}Role": "ecs-tasks.amazonaws.com" for task in tasks for role in ("Task", "Execution")},
    }
