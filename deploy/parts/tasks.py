"""Tasks of the one image: what each container is given, the rights of the roles they run under, and of who starts them."""

# pyright: reportArgumentType=false

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager

from deploy.environments import Environment, Task
from deploy.parts.log_groups import log_group

USER = "10001"
MIB_PER_GIB = 1024
TEMPORARY = "/tmp"  # noqa: S108 the only place that containers write to: a volume of the task's own


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Makes task definitions that differ in command, size and rights only."""

    stack: cdk.Stack
    environment: Environment
    image: ecs.ContainerImage
    variables: dict[str, str]
    """Settings of pipeline_project/settings.py, beside the environment's own. Names of secrets only: each process reads them
    by itself."""

    def definition(self, name: str, size: Task, statements: Sequence[iam.PolicyStatement]) -> ecs.FargateTaskDefinition:
        task = ecs.FargateTaskDefinition(
            self.stack,
            name,
            cpu=size.cpu,
            memory_limit_mib=size.memory_gib * MIB_PER_GIB,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.ARM64, operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
        )
        task.add_volume(name="temporary")
        for statement in statements:
            task.task_role.add_to_principal_policy(statement)
        return task

    def log_group(self, name: str) -> logs.LogGroup:
        return log_group(self.stack, f"{_identifier(name)}Logs", self.environment.log_retention_days)

    def container(
        self,
        task: ecs.FargateTaskDefinition,
        name: str,
        command: Sequence[str],
        *,
        log_group: logs.ILogGroup | None = None,
        variables: dict[str, str] | None = None,
        health_check: ecs.HealthCheck | None = None,
        port: int | None = None,
        writable: bool = False,
    ) -> None:
        """`writable` only where ECS Exec is to get in: its agent writes to the root file system."""
        container = task.add_container(
            name,
            container_name=name,
            image=self.image,
            command=list(command),
            environment={
                "AWS_DEFAULT_REGION": self.stack.region,
                "PIPELINE_ENVIRONMENT": self.environment.name,
                "PIPELINE_AWS_REGION": self.stack.region,
                "PIPELINE_TRACES": "x-ray" if self.environment.traces else "none",
                **self.variables,
                **(variables or {}),
            },
            health_check=health_check,
            port_mappings=[ecs.PortMapping(container_port=port)] if port else None,
            readonly_root_filesystem=not writable,
            user=USER,
            # Reaps what a run leaves behind, and passes signals on.
            linux_parameters=ecs.LinuxParameters(self.stack, f"{_identifier(name)}Init", init_process_enabled=True),
            # Two minutes are what Fargate gives: runs and sensors end or give back what they hold.
            stop_timeout=cdk.Duration.seconds(120),
            logging=ecs.LogDriver.aws_logs(stream_prefix=name, log_group=log_group or self.log_group(name)),
        )
        container.add_mount_points(ecs.MountPoint(container_path=TEMPORARY, source_volume="temporary", read_only=False))


def may_read(secrets: Iterable[secretsmanager.ISecret]) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="Secrets",
        actions=["secretsmanager:GetSecretValue"],
        resources=[secret.secret_arn for secret in secrets],
    )


def may_run(task: ecs.FargateTaskDefinition, cluster: ecs.Cluster) -> list[iam.PolicyStatement]:
    """Start and see that task in the cluster; it may be given its two roles."""
    execution_role = task.obtain_execution_role()
    return [
        iam.PolicyStatement(
            sid="StartTask",
            actions=["ecs:RunTask"],
            resources=[task.task_definition_arn],
            conditions={"ArnEquals": {"ecs:cluster": cluster.cluster_arn}},
        ),
        iam.PolicyStatement(sid="SeeTasks", actions=["ecs:DescribeTasks"], resources=[cluster.arn_for_tasks("*")]),
        iam.PolicyStatement(
            sid="GiveTaskItsRoles",
            actions=["iam:PassRole"],
            resources=[task.task_role.role_arn, execution_role.role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
    ]


def _identifier(name: str) -> str:
    return name.title().replace("-", "")


def alive(python: str, *, seconds: int = 30) -> ecs.HealthCheck:
    """Healthy as long as this line of Python raises nothing."""
    return ecs.HealthCheck(
        command=["CMD", "python", "-c", python],
        interval=cdk.Duration.seconds(seconds),
        timeout=cdk.Duration.seconds(10),
        retries=3,
        # As long as `pipeline serve` waits for the database.
        start_period=cdk.Duration.seconds(300),
    )
