"""What an operator is shown and told: dashboard, alarms, budget, and the runbook that belongs to them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy import environments
from deploy.review import short, text
from pipeline_project.notify import metrics
from pipeline_project_tests.fix_stacks import Synthesis, Template, refuses_plain_http, statements

pytestmark = pytest.mark.slow

NAMES = environments.NAMES
RUNBOOK = Path(__file__).parents[2] / "docs" / "operations-runbook.md"
QUEUE, FUNCTION, STAGE = [{"QueueName"}], [{"FunctionName"}], [{"ApiName", "Stage"}]
INSTANCE = [{"DBInstanceIdentifier"}]
OF_AWS = {
    "AWS/SQS": dict.fromkeys(("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"), QUEUE),
    "AWS/Lambda": dict.fromkeys(("Errors", "Throttles", "Duration", "ConcurrentExecutions"), FUNCTION),
    "AWS/ApiGateway": dict.fromkeys(("Latency", "Count", "4XXError", "5XXError"), STAGE),
    "AWS/RDS": dict.fromkeys(
        (
            "CPUUtilization",
            "FreeableMemory",
            "FreeStorageSpace",
            "DatabaseConnections",
            "DBLoad",
            "DBLoadNonCPU",
        ),
        INSTANCE,
    ),
    "ECS/ContainerInsights": {"RunningTaskCount": [{"ClusterName", "ServiceName"}]},
}
"""What the services document: metrics, and the dimensions that they are kept by."""


def metrics_of(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """One, or those of its expression."""
    if "MetricName" in alarm:
        return [alarm]
    return [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]


def dimensions(metric: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((each["Name"], text(each["Value"])) for each in metric["Dimensions"]))


def body(monitoring: Template) -> str:
    """The dashboard's JSON, with what it refers to as `<Name>`."""
    _, dashboard = monitoring.one("AWS::CloudWatch::Dashboard")
    return text(dashboard["DashboardBody"]).replace('\\\\"', '"').replace('\\"', '"')


def shown_metrics(monitoring: Template) -> Iterator[tuple[str, str, tuple[tuple[str, str], ...]]]:
    _, dashboard = monitoring.one("AWS::CloudWatch::Dashboard")
    for widget in json.loads(text(dashboard["DashboardBody"]))["widgets"]:
        for metric in widget["properties"]["metrics"]:
            named = [each for each in metric if isinstance(each, str)]
            if named:
                namespace, name, *of = named
                yield namespace, name, tuple(sorted(zip(of[::2], of[1::2], strict=True)))


@pytest.mark.parametrize("name", NAMES)
def test_every_alarm_is_part_of_one_fault_and_every_fault_reaches_people(synthesis: Synthesis, name: str) -> None:
    monitoring = synthesis.environment(name)["monitoring"]
    topic, _ = monitoring.one("AWS::SNS::Topic", "AlarmsTopic")
    alarms = monitoring.all("AWS::CloudWatch::Alarm")
    faults = monitoring.all("AWS::CloudWatch::CompositeAlarm")
    parts = [alarm for alarm in alarms for fault in faults.values() if f"'{alarm}'" in str(fault["AlarmRule"])]
    assert sorted(parts) == sorted(alarms), "an alarm that nobody hears, or that is heard twice"
    assert not [alarm for alarm in alarms.values() if alarm.get("AlarmActions")], "one fault is one message"
    for logical_id, fault in faults.items():
        assert fault["AlarmActions"] == fault["OKActions"] == [{"Ref": topic}]
        suppressor = text(fault.get("ActionsSuppressor", ""))
        assert suppressor == ("" if logical_id.startswith("Database") else "<DatabaseGoneAlarm.Arn>"), (
            "a database that is slow or full must not hide that files are not loaded"
        )
    heard = [each for each in monitoring.all("AWS::SNS::Subscription").values() if each["TopicArn"] == {"Ref": topic}]
    assert [each["Endpoint"] for each in heard] == environments.load(name).monitoring.emails
    _, policy = monitoring.one("AWS::SNS::TopicPolicy")
    senders = {each["Principal"]["Service"] for each in statements(policy) if each["Effect"] == "Allow"}
    assert senders == {"cloudwatch.amazonaws.com", "budgets.amazonaws.com"}
    assert refuses_plain_http(policy)


def test_a_part_that_is_gone_raises_its_alarm(synthesis: Synthesis) -> None:
    """No figure at all is how the death of what would write it shows."""
    alarms = synthesis.environment("prod")["monitoring"].all("AWS::CloudWatch::Alarm")
    silent = {k.removesuffix(k[-8:]) for k, alarm in alarms.items() if alarm["TreatMissingData"] == "breaching"}
    assert silent == {"DatabaseGoneAlarm", "SensorsAlarm", "WebserverAlarm"}


@pytest.mark.parametrize("name", NAMES)
def test_the_storage_alarm_waits_for_rds_to_have_enlarged_it(synthesis: Synthesis, name: str) -> None:
    """Which it does when a tenth is free; of storage that it has enlarged already, the threshold is less."""
    stacks = synthesis.environment(name)
    _, database = stacks["data"].one("AWS::RDS::DBInstance")
    _, alarm = stacks["monitoring"].one("AWS::CloudWatch::Alarm", "DatabaseStorageAlarm")
    assert alarm["Threshold"] == int(database["AllocatedStorage"]) * 1024**3 / 20


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_and_watched_is_what_is_measured(synthesis: Synthesis, name: str) -> None:
    """By name, dimensions and environment: a metric that is asked for wrongly has no data, and no alarm ever goes off."""
    monitoring = synthesis.environment(name)["monitoring"]
    watched = {
        (metric["Namespace"], metric["MetricName"], dimensions(metric))
        for alarm in monitoring.all("AWS::CloudWatch::Alarm").values()
        for metric in metrics_of(alarm)
    }
    shown = set(shown_metrics(monitoring))
    for namespace, metric, given in watched | shown:
        if namespace == metrics.NAMESPACE:
            assert metric in metrics.UNITS
            assert given == (("Environment", name),)
        else:
            assert {each for each, _ in given} in OF_AWS[namespace][metric], (namespace, metric, given)
            assert all(value.startswith("<") for each, value in given if each != "Stage"), "a resource of these stacks"
    searched = set(
        re.findall(r"SEARCH\('{(\w+),Environment,(\w+)} MetricName=\"(\w+)\" Environment=\"(\w+)\"", body(monitoring))
    )
    assert len(searched) >= 5
    for namespace, dimension, metric, environment in searched:
        assert (namespace, environment) == (metrics.NAMESPACE, name)
        assert metric in metrics.DIMENSIONS[dimension.lower()]
    own = {metric for namespace, metric, _ in watched | shown if namespace == metrics.NAMESPACE}
    assert own | {metric for _, _, metric, _ in searched} == set(metrics.UNITS), "measured, and never looked at"
    # The environment's name is the one that tasks and function write with.
    for stack, kind in (("orchestration", "AWS::ECS::TaskDefinition"), ("app", "AWS::Lambda::Function")):
        said = json.dumps(synthesis.environment(name)[stack].all(kind))
        assert f'"{name}"' in said.partition("PIPELINE_ENVIRONMENT")[2][:40]


def test_the_runbook_says_what_to_do_for_every_alarm_and_what_each_figure_tells(synthesis: Synthesis) -> None:
    runbook = RUNBOOK.read_text("utf-8")
    sections = re.findall(r"^### (.+)\n((?:.+\n)+)", runbook, re.M)
    answered = {alarm: what for headings, what in sections for alarm in headings.split(", ")}
    monitoring = synthesis.environment("prod")["monitoring"]
    alarms = {short(each) for each in monitoring.all("AWS::CloudWatch::Alarm")}
    assert len(alarms) > 15
    assert alarms == {each for each in answered if each.endswith("Alarm")}
    assert all(len(what.split()) >= 8 for what in answered.values())
    for fault in monitoring.all("AWS::CloudWatch::CompositeAlarm").values():
        assert f"`{fault['AlarmName'].replace('prod', '…')}`" in runbook
    for metric in metrics.UNITS:
        assert f"`{metric}`" in runbook


@pytest.mark.parametrize("name", NAMES)
def test_the_budget_tells_the_same_people(synthesis: Synthesis, name: str) -> None:
    monitoring = synthesis.environment(name)["monitoring"]
    topic, _ = monitoring.one("AWS::SNS::Topic", "AlarmsTopic")
    _, budget = monitoring.one("AWS::Budgets::Budget")
    limit = budget["Budget"]["BudgetLimit"]
    assert limit == {"Amount": environments.load(name).monitoring.monthly_budget_usd, "Unit": "USD"}
    for notification in budget["NotificationsWithSubscribers"]:
        assert notification["Subscribers"] == [{"Address": {"Ref": topic}, "SubscriptionType": "SNS"}]
