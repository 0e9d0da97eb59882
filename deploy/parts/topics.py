"""The two SNS topics: events for whoever uses the platform, alarms for whoever operates it."""

# pyright: reportArgumentType=false

from collections.abc import Iterable

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions

TROUBLE = (
    "pipeline.ingest.failed.v1",
    "pipeline.ingest.rejected.v1",
    "pipeline.ingest.snapshot_waits.v1",
    "pipeline.ingest.columns_vanished.v1",
    "pipeline.run.failed.v1",
)
"""Events that a person reads by e-mail. The ends of jobs concern whoever waits for them, and are many."""


def events_topic(stack: cdk.Stack) -> sns.Topic:
    """Hears of job ends and of objects that failed. Encrypted with the key that AWS keeps for SNS."""
    return sns.Topic(
        stack,
        "EventsTopic",
        enforce_ssl=True,
        master_key=kms.Alias.from_alias_name(stack, "TopicKey", "alias/aws/sns"),
    )


def tell_of_trouble(topic: sns.Topic, addresses: Iterable[str]) -> None:
    """Subscribe e-mail addresses to what went wrong; AWS asks each to confirm."""
    only_trouble = {"type": sns.SubscriptionFilter.string_filter(allowlist=list(TROUBLE))}
    for address in addresses:
        topic.add_subscription(subscriptions.EmailSubscription(address, filter_policy=only_trouble))


def alarms_topic(stack: cdk.Stack) -> sns.Topic:
    """CloudWatch's alarms publish to it, those of this account only.

    Not encrypted at rest: CloudWatch may not use the AWS-managed key. An alarm names a metric, it holds no data.
    """
    topic = sns.Topic(stack, "AlarmsTopic", enforce_ssl=True)
    # A topic with a policy of its own loses the default one, by which CloudWatch might publish.
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            sid="AlarmsMayPublish",
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={
                "StringEquals": {"aws:SourceAccount": stack.account},
                "ArnLike": {
                    "aws:SourceArn": f"arn:{stack.partition}:cloudwatch:{stack.region}:{stack.account}:alarm:*"
                },
            },
        )
    )
    return topic
