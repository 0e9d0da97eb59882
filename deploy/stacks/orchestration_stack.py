"""Dagster on ECS Fargate: webserver, daemon, code server with its warm workers, and heavy runs.

    function ──jobs──► webserver ──┐                     ┌──► workers (in the code server's task): light runs
                       daemon ─────┴── launch a run ─────┴──► a task of its own: heavy runs

All of one image. Nobody reaches any of it from outside of the VPC; an operator forwards a port (deploy/README.md).
"""

# pyright: reportArgumentType=false

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_servicediscovery as servicediscovery

from deploy.environments import Environment
from deploy.parts.tasks import Tasks, alive, may_read, may_run
from deploy.stacks.app_stack import AppStack
from deploy.stacks.data_stack import DataStack
from deploy.stacks.network_stack import CODE_SERVER_PORT, ISOLATED, WEBSERVER_PORT, WORKERS_PORT, NetworkStack

WEBSERVER_IS_ALIVE = (
    f"import urllib.request as r; r.urlopen('http://127.0.0.1:{WEBSERVER_PORT}/server_info', timeout=8)"
)
CODE_SERVER_IS_ALIVE = f"import socket; socket.create_connection(('127.0.0.1', {CODE_SERVER_PORT}), 8)"
BUSY_PERCENT = 60


class OrchestrationStack(cdk.Stack):
    """`services` by name are what monitoring asks for."""

    def __init__(
        self,
        scope: cdk.App,
        construct_id: str,
        *,
        environment: Environment,
        env: cdk.Environment,
        network: NetworkStack,
        data: DataStack,
        app: AppStack,
        image: ecs.ContainerImage,
    ) -> None:
        super().__init__(scope, construct_id, env=env, description="Data pipeline: Dagster.")
        self._environment = environment
        self._network = network
        self._data = data
        self._app = app
        code_server = f"code-server.{environment.internal_domain}"
        self._tasks = Tasks(
            stack=self,
            environment=environment,
            image=image,
            variables={
                **data.variables,
                "PIPELINE_DAGSTER_URL": environment.dagster_url,
                "PIPELINE_API_URL": app.rest.url,
                "PIPELINE_DAGSTER_LOGS_BUCKET": data.compute_logs_bucket.bucket_name,
                "PIPELINE_CODE_SERVER_HOST": code_server,
                "PIPELINE_RUN_WORKERS": f"{code_server}:{WORKERS_PORT}",
            },
        )
        self._run_logs = self._tasks.log_group("run")
        run = self._run()
        self.services = {
            "webserver": self._webserver(run),
            "daemon": self._daemon(run),
            "code-server": self._code_server(run),
        }
        for name, value in {
            "WebserverServiceName": self.services["webserver"].service_name,
            "DaemonServiceName": self.services["daemon"].service_name,
            "CodeServerServiceName": self.services["code-server"].service_name,
            # In which an operator runs `pipeline health` and the like, too (docs/operations-runbook.md).
            "TaskDefinitionArn": run.task_definition_arn,
            "LogGroupName": self._run_logs.log_group_name,
        }.items():
            cdk.CfnOutput(self, name, value=value)

    def _run(self) -> ecs.FargateTaskDefinition:
        """A heavy run; the command comes from Dagster."""
        task = self._tasks.definition("Run", self._environment.dagster.run, self._data_rights())
        self._tasks.container(task, "run", ["dagster", "api", "execute_run", "--help"], log_group=self._run_logs)
        return task

    def _webserver(self, run: ecs.FargateTaskDefinition) -> ecs.FargateService:
        sizes = self._environment.dagster
        task = self._tasks.definition("Webserver", sizes.webserver, self._launcher_rights(run))
        self._tasks.container(
            task,
            "webserver",
            ["pipeline", "serve", "webserver"],
            variables={"PIPELINE_RUN_TASK_DEFINITION": run.task_definition_arn},
            health_check=alive(WEBSERVER_IS_ALIVE),
            port=WEBSERVER_PORT,
            writable=True,
        )
        service = self._service("Webserver", task, name="webserver", is_reachable=True)
        scaling = service.auto_scale_task_count(min_capacity=1, max_capacity=sizes.most_webservers)
        scaling.scale_on_cpu_utilization("Busy", target_utilization_percent=BUSY_PERCENT)
        return service

    def _daemon(self, run: ecs.FargateTaskDefinition) -> ecs.FargateService:
        task = self._tasks.definition("Daemon", self._environment.dagster.daemon, self._launcher_rights(run))
        self._tasks.container(
            task,
            "daemon",
            ["pipeline", "serve", "daemon"],
            variables={"PIPELINE_RUN_TASK_DEFINITION": run.task_definition_arn},
            health_check=ecs.HealthCheck(
                command=["CMD", "dagster-daemon", "liveness-check"],
                interval=cdk.Duration.seconds(120),
                timeout=cdk.Duration.seconds(60),
                retries=3,
                start_period=cdk.Duration.seconds(300),
            ),
        )
        # Never two: schedules and sensors would tick twice. For a minute of a deployment there is none.
        return self._service("Daemon", task, name="daemon", is_single=True)

    def _code_server(self, run: ecs.FargateTaskDefinition) -> ecs.FargateService:
        """One task, not scaled out: Dagster asks the very server that it gave a run to. Heavy runs are what grows."""
        task = self._tasks.definition("CodeServer", self._environment.dagster.code_server, self._data_rights())
        for name, port, check in (
            ("code-server", CODE_SERVER_PORT, alive(CODE_SERVER_IS_ALIVE)),
            ("run-workers", WORKERS_PORT, None),
        ):
            self._tasks.container(
                task,
                name,
                ["pipeline", "serve", name],
                variables={"PIPELINE_RUN_TASK_DEFINITION": run.task_definition_arn},
                health_check=check,
                port=port,
            )
        return self._service("CodeServer", task, name="code-server")

    def _service(
        self,
        construct_id: str,
        task: ecs.FargateTaskDefinition,
        *,
        name: str,
        is_single: bool = False,
        is_reachable: bool = False,
    ) -> ecs.FargateService:
        """Found by `name`. `is_single`: the old task ends before the new one starts. `is_reachable`: by ECS Exec."""
        return ecs.FargateService(
            self,
            f"{construct_id}Service",
            cluster=self._network.cluster,
            task_definition=task,
            desired_count=1,
            min_healthy_percent=0 if is_single else 100,
            max_healthy_percent=100 if is_single else 200,
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED if is_single else None,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            security_groups=[self._network.dagster],
            vpc_subnets=ISOLATED,
            assign_public_ip=False,
            enable_execute_command=is_reachable,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
            cloud_map_options=ecs.CloudMapOptions(
                cloud_map_namespace=self._network.namespace,
                name=name,
                dns_record_type=servicediscovery.DnsRecordType.A,
                dns_ttl=cdk.Duration.seconds(10),
            ),
        )

    def _launcher_rights(self, run: ecs.FargateTaskDefinition) -> list[iam.PolicyStatement]:
        """Of those who launch runs: no data of the platform, only Dagster's own."""
        return [
            may_read([self._data.secrets["dagster"]]),
            *self._compute_logs(),
            *may_run(run, self._network.cluster),
            iam.PolicyStatement(
                sid="StopRuns",
                actions=["ecs:StopTask", "ecs:TagResource"],
                resources=[self._network.cluster.arn_for_tasks("*")],
            ),
            # Why a run's task has failed.
            iam.PolicyStatement(
                sid="SeeOutputOfRuns",
                actions=["logs:GetLogEvents"],
                resources=[self._run_logs.log_group_arn],
            ),
            iam.PolicyStatement(
                sid="SeeDefinitions",
                # Neither knows resources. What is seen is no secret: no variable holds one.
                actions=["ecs:DescribeTaskDefinition", "ec2:DescribeNetworkInterfaces"],
                resources=["*"],
            ),
        ]

    def _compute_logs(self) -> list[iam.PolicyStatement]:
        bucket = self._data.compute_logs_bucket
        return [
            iam.PolicyStatement(
                sid="ComputeLogs",
                actions=["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                resources=[bucket.arn_for_objects("*")],
            ),
            iam.PolicyStatement(sid="ListComputeLogs", actions=["s3:ListBucket"], resources=[bucket.bucket_arn]),
        ]

    def _data_rights(self) -> list[iam.PolicyStatement]:
        """Of those who run sensors and runs: ingestion, analytics and jobs."""
        storage, secrets = self._data.storage, self._data.secrets
        return [
            may_read([secrets["dagster"], secrets["loader"], secrets["reader"]]),
            *self._compute_logs(),
            # Landed files are read and never changed.
            iam.PolicyStatement(
                sid="Landing",
                actions=["s3:GetObject", "s3:GetObjectVersion"],
                resources=[storage.landing_bucket.arn_for_objects("*")],
            ),
            iam.PolicyStatement(
                sid="ListLanding",
                actions=["s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketVersions"],
                resources=[storage.landing_bucket.bucket_arn],
            ),
            iam.PolicyStatement(
                sid="LandingEvents",
                actions=[
                    "sqs:ChangeMessageVisibility",
                    "sqs:DeleteMessage",
                    "sqs:GetQueueAttributes",
                    "sqs:ReceiveMessage",
                ],
                resources=[storage.landing_queue.queue_arn],
            ),
            iam.PolicyStatement(
                sid="Results",
                actions=["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
                resources=[storage.results_bucket.arn_for_objects("*")],
            ),
            iam.PolicyStatement(
                sid="ListResults", actions=["s3:ListBucket"], resources=[storage.results_bucket.bucket_arn]
            ),
            iam.PolicyStatement(
                sid="Records",
                actions=[
                    "dynamodb:ConditionCheckItem",
                    "dynamodb:GetItem",
                    "dynamodb:PutItem",
                    "dynamodb:Query",
                    "dynamodb:UpdateItem",
                ],
                resources=[storage.table.table_arn, f"{storage.table.table_arn}/index/*"],
            ),
            iam.PolicyStatement(sid="Events", actions=["sns:Publish"], resources=[self._data.events_topic.topic_arn]),
            *self._traces(),
        ]

    def _traces(self) -> list[iam.PolicyStatement]:
        """X-Ray has no resources to name."""
        if not self._environment.traces:
            return []
        return [iam.PolicyStatement(sid="Traces", actions=["xray:PutTraceSegments"], resources=["*"])]
