"""Reaches the CloudFormation resource behind a CDK construct, for what the construct does not offer."""

from typing import TypeVar

import aws_cdk as cdk
from constructs import Construct

Resource = TypeVar("Resource", bound=cdk.CfnResource)


def resource(construct: Construct, of_type: type[Resource]) -> Resource:
    found = construct.node.default_child
    if not isinstance(found, of_type):
        raise TypeError(f"{construct.node.path} is not one {of_type.__name__}")
    return found
