"""Sends events to SNS as CloudEvents, with message attributes to filter subscriptions on."""

from typing import Any

import msgspec

from pipeline_project.jobs.outbox import Event

ATTRIBUTES = ("operation", "state", "owner", "source")
"""What of an event's data becomes a message attribute, beside its type. SNS takes ten."""
LONGEST_ATTRIBUTE = 256


class Notifier:
    """`sns` is a boto3 client."""

    def __init__(self, sns: Any, topic_arn: str) -> None:
        self._sns = sns
        self._topic_arn = topic_arn

    def publish(self, event: Event) -> None:
        attributes = {"type": event["type"]} | {
            name: str(event["data"][name])[:LONGEST_ATTRIBUTE] for name in ATTRIBUTES if event["data"].get(name)
        }
        self._sns.publish(
            TopicArn=self._topic_arn,
            Message=msgspec.json.encode(event).decode(),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
