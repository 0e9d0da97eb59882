"""Groups of logs, each kept as long as the environment says and gone with its stack."""

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.parts.resources import resource


def log_group(scope: Construct, name: str, retention_days: int, *, log_group_name: str | None = None) -> logs.LogGroup:
    """`log_group_name` where a service of AWS writes to a group of that name: it would make one that is kept for ever."""
    group = logs.LogGroup(scope, name, log_group_name=log_group_name, removal_policy=cdk.RemovalPolicy.DESTROY)
    resource(group, logs.CfnLogGroup).retention_in_days = retention_days
    return group
