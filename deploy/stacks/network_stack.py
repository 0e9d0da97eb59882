"""The network: a VPC that has no way to the internet, in either direction, who may talk to whom in it, and where tasks run.

AWS' services are reached through endpoints. All security groups and their rules are here, in one place to audit; what
runs in them is in the other stacks.
"""

# pyright: reportArgumentType=false

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_servicediscovery as servicediscovery

from deploy.environments import Environment
from deploy.parts.log_groups import log_group

ISOLATED = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
POSTGRES_PORT = 5432
WEBSERVER_PORT = 3000
CODE_SERVER_PORT = 4000
WORKERS_PORT = 4001
HTTPS = 443
SERVICES = {
    "Sqs": ec2.InterfaceVpcEndpointAwsService.SQS,
    "Sns": ec2.InterfaceVpcEndpointAwsService.SNS,
    "SecretsManager": ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
    "Logs": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
    # Pulling the image (its layers come from S3).
    "EcrApi": ec2.InterfaceVpcEndpointAwsService.ECR,
    "EcrDocker": ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
    # Starting heavy runs as tasks: what task, in which subnets.
    "Ecs": ec2.InterfaceVpcEndpointAwsService.ECS,
    "Ec2": ec2.InterfaceVpcEndpointAwsService.EC2,
    # Port forwarding to the webserver, the only way to it from outside.
    "SsmMessages": ec2.InterfaceVpcEndpointAwsService.SSM_MESSAGES,
}


class NetworkStack(cdk.Stack):
    """VPC, endpoints, security groups; the cluster of all tasks, and the names by which they find each other."""

    def __init__(self, scope: cdk.App, construct_id: str, *, environment: Environment, env: cdk.Environment) -> None:
        super().__init__(scope, construct_id, env=env, description="Data pipeline: private network and endpoints.")
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(environment.network.cidr),
            availability_zones=environment.network.availability_zones,
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="private", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=_subnet_mask(environment)
                )
            ],
        )
        self._flow_logs(environment)
        self.function = self._group("FunctionGroup", "The function of the REST API")
        self.dagster = self._group("DagsterGroup", "Webserver, daemon, code server and runs of Dagster")
        self.rotation = self._group("RotationGroup", "The functions that change the passwords of the database")
        self.database = self._group("DatabaseGroup", "PostgreSQL")
        self.endpoints = self._group("EndpointsGroup", "Endpoints of the services of AWS")
        self._rules()
        self._endpoints(environment)
        self.namespace = servicediscovery.PrivateDnsNamespace(
            self, "Names", name=environment.internal_domain, vpc=self.vpc
        )
        self.cluster = ecs.Cluster(
            self,
            "Cluster",
            vpc=self.vpc,
            container_insights_v2=ecs.ContainerInsights.ENABLED,
            execute_command_configuration=self._logged_sessions(environment),
        )
        cdk.CfnOutput(self, "ClusterName", value=self.cluster.cluster_name)
        cdk.CfnOutput(self, "DatabaseGroupId", value=self.database.security_group_id)

    def _flow_logs(self, environment: Environment) -> None:
        flows = log_group(self, "FlowLogs", environment.log_retention_days)
        role = iam.Role(self, "FlowLogsRole", assumed_by=iam.ServicePrincipal("vpc-flow-logs.amazonaws.com"))
        self.vpc.add_flow_log("Flows", destination=ec2.FlowLogDestination.to_cloud_watch_logs(flows, role))

    def _logged_sessions(self, environment: Environment) -> ecs.ExecuteCommandConfiguration:
        """What an operator does in a container by ECS Exec is kept."""
        sessions = log_group(self, "SessionLogs", environment.log_retention_days)
        return ecs.ExecuteCommandConfiguration(
            logging=ecs.ExecuteCommandLogging.OVERRIDE,
            log_configuration=ecs.ExecuteCommandLogConfiguration(cloud_watch_log_group=sessions),
        )

    def _group(self, name: str, description: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self, name, vpc=self.vpc, description=description, allow_all_outbound=False, disable_inline_rules=False
        )

    def _rules(self) -> None:
        """Each rule is written at both of its ends."""
        for peer, what in (
            (self.function, "queries"),
            (self.dagster, "ingestion, jobs, Dagster's storage"),
            (self.rotation, "new passwords"),
        ):
            self.database.connections.allow_from(peer, ec2.Port.tcp(POSTGRES_PORT), what)
            self.endpoints.connections.allow_from(peer, ec2.Port.tcp(HTTPS), "services of AWS")
        self.dagster.connections.allow_from(self.function, ec2.Port.tcp(WEBSERVER_PORT), "jobs are launched")
        self.dagster.connections.allow_internally(ec2.Port.tcp(WEBSERVER_PORT), "jobs that were left are launched")
        self.dagster.connections.allow_internally(
            ec2.Port.tcp_range(CODE_SERVER_PORT, WORKERS_PORT), "definitions, sensors and runs"
        )
        # S3 and DynamoDB have no security group; there is no route to any other address.
        for group in (self.function, self.dagster):
            group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(HTTPS), "S3 and DynamoDB")

    def _endpoints(self, environment: Environment) -> None:
        self.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        self.vpc.add_gateway_endpoint("DynamoDb", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        traces = {"XRay": ec2.InterfaceVpcEndpointAwsService.XRAY} if environment.traces else {}
        for name, service in {**SERVICES, **traces}.items():
            self.vpc.add_interface_endpoint(
                name, service=service, subnets=ISOLATED, security_groups=[self.endpoints], open=False
            )


def _subnet_mask(environment: Environment) -> int:
    """A quarter of the VPC for each zone: a heavy day's tasks and endpoints need some hundred addresses."""
    return int(environment.network.cidr.rpartition("/")[2]) + 2
