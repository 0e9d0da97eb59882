"""`pipeline migrate` as a one-off task, each time the image or its settings change. The stacks after this one meet the schema
that is theirs: the function's as well as Dagster's.
"""

# pyright: reportArgumentType=false

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from deploy.environments import Environment, Task
from deploy.parts.log_groups import log_group
from deploy.parts.tasks import Tasks, may_read, may_run
from deploy.stacks.data_stack import DataStack
from deploy.stacks.network_stack import ISOLATED, NetworkStack

FUNCTION = Path(__file__).parents[1] / "migration_task.py"
SIZE = Task(cpu=512, memory_gib=2)


class MigrationStack(cdk.Stack):
    """If the task fails so does the deployment, and with it whatever would have come after."""

    def __init__(
        self,
        scope: cdk.App,
        construct_id: str,
        *,
        environment: Environment,
        env: cdk.Environment,
        network: NetworkStack,
        data: DataStack,
        image: ecs.ContainerImage,
    ) -> None:
        super().__init__(scope, construct_id, env=env, description="Data pipeline: database schema.")
        tasks = Tasks(stack=self, environment=environment, image=image, variables=data.variables)
        task = tasks.definition("Migration", SIZE, [may_read(data.secrets.values())])
        output = tasks.log_group("migration")
        tasks.container(
            task,
            "migration",
            ["pipeline", "migrate"],
            log_group=output,
            variables={
                "PIPELINE_OWNER_SECRET": data.secrets["owner"].secret_arn,
                "PIPELINE_ADMIN_SECRET": data.secrets["admin"].secret_arn,
            },
        )
        function_logs = log_group(self, "MigrationFunctionLogs", environment.log_retention_days)
        role = iam.Role(self, "MigrationFunctionRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        function_logs.grant_write(role)
        for statement in may_run(task, network.cluster):
            role.add_to_policy(statement)
        # Why it has failed is told to whoever deploys.
        role.add_to_policy(
            iam.PolicyStatement(sid="SeeOutput", actions=["logs:GetLogEvents"], resources=[output.log_group_arn])
        )
        function = lambda_.Function(
            self,
            "MigrationFunction",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler="index.handler",
            code=lambda_.Code.from_inline(FUNCTION.read_text("utf-8")),
            role=role,
            timeout=cdk.Duration.minutes(15),
            log_group=function_logs,
        )
        migration = cdk.CustomResource(
            self,
            "MigrationDone",
            resource_type="Custom::Migration",
            service_token=function.function_arn,
            properties={
                "Cluster": network.cluster.cluster_arn,
                "TaskDefinition": task.task_definition_arn,
                "Subnets": network.vpc.select_subnets(subnet_type=ISOLATED.subnet_type).subnet_ids,
                "SecurityGroups": [network.dagster.security_group_id],
                "LogGroup": output.log_group_name,
            },
        )
        # The function's rights, and those of the task: it would start before it may read its image.
        migration.node.add_dependency(role, task)
        # With which an operator migrates a restored database (docs/operations-runbook.md).
        cdk.CfnOutput(self, "TaskDefinitionArn", value=task.task_definition_arn)
        cdk.CfnOutput(self, "LogGroupName", value=output.log_group_name)
