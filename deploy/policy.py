"""The policy that stacks are held to (cdk-nag's AwsSolutions), and each exception to it with its reason.

A finding that is not here stops the synthesis. Reviewed as a whole: what is acknowledged is nowhere else.
"""

# pyright: reportArgumentType=false

from collections.abc import Iterator
from fnmatch import fnmatch

import aws_cdk as cdk
import cdk_nag
from constructs import IConstruct

RUNTIME = "Python 3.13: the newest for which all pinned packages have wheels; raised together with them"
EVERY_OBJECT = "All objects of one bucket that the component reads or writes; nothing else of S3"
EVERY_INDEX = "All indexes of one table: jobs are listed by time and by state"
TASKS = "Tasks get their ids when they start; the cluster is named, and it has tasks of this environment only"
IMAGE = "ecr:GetAuthorizationToken has no resources; the repository itself is named"
VARIABLES = "Names and addresses only: passwords are read from Secrets Manager by the process, and are in no variable"
NO_RESOURCES = "Actions that have no resources to name; each is listed, and beside them stands what they are for"
MANAGED = (
    "The policy that AWS documents for this service's role and keeps up to date; nothing of this project's uses it"
)
GATEWAY = "The gateway asks for an API key or a signature; `authentication` of the settings admits user pools too"
PREFLIGHT = "A browser's preflight request has no credentials by design; the function answers it from the list of allowed origins"

MANAGED_POLICY = "Policy::arn:<AWS::Partition>:iam::aws:policy/service-role"
DATA_OBJECTS = (
    "Resource::{data}:ExportsOutputFnGetAttComputeLogsBucketCFCF2944Arn36620456/*",
    "Resource::{data}:ExportsOutputFnGetAttLandingBucket23FE90FBArn93E520C7/*",
    "Resource::{data}:ExportsOutputFnGetAttResultsBucketA95A2103ArnC89E3319/*",
)
TABLE_INDEXES = "Resource::{data}:ExportsOutputFnGetAttTableCD117FA1ArnE2C8C204/index/*"
CLUSTER_TASKS = (
    "Resource::arn:<AWS::Partition>:ecs:{region}:<AWS::AccountId>:task/"
    "{network}:ExportsOutputRefClusterEB0386A796A0E3FE/*"
)
SESSION_LOGS = (
    "Resource::arn:<AWS::Partition>:logs:{region}:<AWS::AccountId>:log-group:"
    "{network}:ExportsOutputRefSessionLogsABAF303F75CE27C8:*"
)

# (path of the constructs below their environment, finding, reason); `{network}` and `{data}` are the names of those stacks.
EXCEPTIONS = (
    ("data/Database", "RDS11", "The port is reached from the security groups of the network stack only; another hides nothing"),
    ("data/DatabaseMonitoringRole", f"IAM4[{MANAGED_POLICY}/AmazonRDSEnhancedMonitoringRole]", MANAGED),
    ("app/Api", "APIG2", "The function validates: its answers name field and rule, and are the same on a laptop"),
    ("app/Api/CloudWatchRole", f"IAM4[{MANAGED_POLICY}/AmazonAPIGatewayPushToCloudWatchLogs]", MANAGED),
    ("app/Api/Default/*ANY", "APIG4", GATEWAY),
    ("app/Api/Default/*ANY", "COG4", GATEWAY),
    ("app/Api/Default/*OPTIONS", "APIG4", PREFLIGHT),
    ("app/ApiFunction", "L1", RUNTIME),
    ("app/ApiRole/DefaultPolicy", "IAM5[Resource::*]", NO_RESOURCES),
    ("app/ApiRole/DefaultPolicy", f"IAM5[{DATA_OBJECTS[2]}]", EVERY_OBJECT),
    ("app/ApiRole/DefaultPolicy", f"IAM5[{TABLE_INDEXES}]", EVERY_INDEX),
    ("migration/Migration", "ECS2", VARIABLES),
    ("migration/Migration/ExecutionRole/DefaultPolicy", "IAM5[Resource::*]", IMAGE),
    ("migration/MigrationFunction", "L1", RUNTIME),
    ("migration/MigrationFunctionRole/DefaultPolicy", f"IAM5[{CLUSTER_TASKS}]", TASKS),
    ("orchestration/*/ExecutionRole/DefaultPolicy", "IAM5[Resource::*]", IMAGE),
    *((f"orchestration/{task}", "ECS2", VARIABLES) for task in ("CodeServer", "Daemon", "Run", "Webserver")),
    *(
        (f"orchestration/{task}/TaskRole/DefaultPolicy", f"IAM5[{objects}]", EVERY_OBJECT)
        for task in ("CodeServer", "Run")
        for objects in DATA_OBJECTS
    ),
    *((f"orchestration/{task}/TaskRole/DefaultPolicy", "IAM5[Resource::*]", NO_RESOURCES) for task in ("CodeServer", "Run")),
    *((f"orchestration/{task}/TaskRole/DefaultPolicy", f"IAM5[{TABLE_INDEXES}]", EVERY_INDEX) for task in ("CodeServer", "Run")),
    *(
        (f"orchestration/{task}/TaskRole/DefaultPolicy", f"IAM5[{resource}]", reason)
        for task in ("Daemon", "Webserver")
        for resource, reason in (
            (DATA_OBJECTS[0], EVERY_OBJECT),
            (CLUSTER_TASKS, TASKS),
            ("Resource::*", NO_RESOURCES),
        )
    ),
    ("orchestration/Webserver/TaskRole/DefaultPolicy", f"IAM5[{SESSION_LOGS}]", "The streams of one log group"),
)  # fmt: skip

NOT_IN_PROD = (
    ("data/Database", "RDS3", "Outside prod a restart may take its minutes: nothing is waiting for it"),
    ("data/Database", "RDS10", "dev may be deleted as a whole: the data are examples, and a last snapshot is taken"),
    ("app/Api/DeploymentStage.v1", "APIG3", "dev has no firewall: whoever has a key of it is a developer"),
)  # fmt: skip


def enforce(app: cdk.App) -> None:
    """Hold all stacks of the app to the policy."""
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    for stack in app.node.children:
        if isinstance(stack, cdk.Stack):
            _acknowledge(stack)


def _acknowledge(stack: cdk.Stack) -> None:
    environment, _, part = stack.stack_name.rpartition("-")
    names = {"{network}": f"{environment}-network", "{data}": f"{environment}-data", "{region}": stack.region}
    constructs = list(_descendants(stack, part))
    for pattern, finding, reason in EXCEPTIONS if environment.endswith("-prod") else EXCEPTIONS + NOT_IN_PROD:
        for name, value in names.items():
            finding = finding.replace(name, value)  # noqa: PLW2901 braces of both kinds are in the findings
        for path, construct in constructs:
            if fnmatch(path, pattern):
                acknowledgment = cdk.Acknowledgment(id=f"AwsSolutions::AwsSolutions-{finding}", reason=reason)
                cdk.Validations.of(construct).acknowledge(acknowledgment)


def _descendants(construct: IConstruct, path: str) -> Iterator[tuple[str, IConstruct]]:
    for child in construct.node.children:
        below = f"{path}/{child.node.id}"
        yield below, child
        yield from _descendants(child, below)
