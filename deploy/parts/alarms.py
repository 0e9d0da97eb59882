"""Alarms on what landing zone and REST facade measure by themselves. The same on AWS and locally; whom they tell is the
stack's affair.
"""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from deploy.parts.rest import Rest
from deploy.parts.storage import LANDING_ATTEMPTS, Storage


def alarm(
    stack: cdk.Stack,
    name: str,
    description: str,
    metric: cloudwatch.IMetric,
    above: float,
    *,
    below: bool = False,
    periods: int = 1,
    missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
) -> cloudwatch.Alarm:
    """An alarm that goes off when the metric was above (or `below`) the threshold for so many `periods` in a row."""
    comparison = cloudwatch.ComparisonOperator
    return cloudwatch.Alarm(
        stack,
        name,
        alarm_description=description,
        metric=metric,
        threshold=above,
        comparison_operator=comparison.LESS_THAN_THRESHOLD if below else comparison.GREATER_THAN_THRESHOLD,
        evaluation_periods=periods,
        treat_missing_data=missing,
    )


def landing_alarms(stack: cdk.Stack, storage: Storage) -> list[cloudwatch.Alarm]:
    minute = cdk.Duration.minutes(1)
    return [
        alarm(
            stack,
            "DeadLettersAlarm",
            f"A landing event failed {LANDING_ATTEMPTS} times and waits in the dead-letter queue",
            storage.dead_letter_queue.metric_approximate_number_of_messages_visible(period=minute, statistic="Maximum"),
            0,
        ),
        alarm(
            stack,
            "LandingAgeAlarm",
            "An uploaded object has waited longer than 15 minutes to be discovered",
            storage.landing_queue.metric_approximate_age_of_oldest_message(period=minute, statistic="Maximum"),
            15 * 60,
        ),
    ]


def rest_alarms(stack: cdk.Stack, rest: Rest) -> list[cloudwatch.Alarm]:
    five_minutes = cdk.Duration.minutes(5)
    return [
        alarm(
            stack,
            "ApiFunctionErrorsAlarm",
            "The API's function raised an error or ran out of time",
            rest.function.metric_errors(period=five_minutes, statistic="Sum"),
            0,
        ),
        alarm(
            stack,
            "ApiFunctionThrottlesAlarm",
            "Calls of the API's function were refused: the concurrency it may have is used up",
            rest.function.metric_throttles(period=five_minutes, statistic="Sum"),
            0,
        ),
        alarm(
            stack,
            "ApiServerErrorsAlarm",
            "The API answered with a 5xx",
            rest.api.deployment_stage.metric_server_error(period=five_minutes, statistic="Sum"),
            0,
        ),
    ]
