"""Each alarm by its meaning: what it measures, when it goes off, and what it does when there is no data."""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from deploy import environments
from deploy.review import short, text
from pipeline_project_tests.fix_stacks import Synthesis

pytestmark = pytest.mark.slow

NAMES = environments.NAMES
ALARM, COMPOSITE = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"
COMPARISONS = {"GreaterThanThreshold": operator.gt, "LessThanThreshold": operator.lt}
OPERATORS: Mapping[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
MINUTE, FIVE_MINUTES = 60, 300


@dataclass(frozen=True)
class Expected:
    """What an alarm must be. `periods` are whole periods in a row."""

    metric: str
    statistic: str
    period: int
    periods: int
    goes_off: str
    silence: str = "notBreaching"


def evaluate(expression: str, figures: Mapping[str, float | None]) -> float | None:
    """Compute one point of a metric math expression as CloudWatch does: a missing figure leaves no point, unless filled."""

    def value(node: ast.AST) -> float | None:
        match node:
            case ast.Constant(value=int() | float() as number):
                return number
            case ast.Name(id=name):
                return figures[name]
            case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise]):
                decided = value(condition)
                return None if decided is None else value(then if decided else otherwise)
            case ast.Call(func=ast.Name(id="FILL"), args=[series, filler]):
                known = value(series)
                return value(filler) if known is None else known
            case ast.BinOp(left=left, op=sign, right=right) | ast.Compare(left=left, ops=[sign], comparators=[right]):
                first, second = value(left), value(right)
                return None if first is None or second is None else OPERATORS[type(sign)](first, second)
        raise AssertionError(f"not read: {ast.dump(node)}")

    return value(ast.parse(expression, mode="eval").body)


def goes_off(alarm: Mapping[str, Any], figures: Mapping[str, float | None]) -> bool:
    """Whether an alarm on an expression goes off after periods with these figures."""
    (expression,) = [each["Expression"] for each in alarm["Metrics"] if each.get("ReturnData")]
    point = evaluate(expression, figures)
    if point is None:
        return alarm["TreatMissingData"] == "breaching"
    return COMPARISONS[alarm["ComparisonOperator"]](point, alarm["Threshold"])


def alarms_of(synthesis: Synthesis, name: str) -> dict[str, dict[str, Any]]:
    return {short(each): alarm for each, alarm in synthesis.environment(name)["monitoring"].all(ALARM).items()}


def expected(name: str) -> dict[str, Expected]:
    """The alarms on one metric each. The rest of this module looks at those on an expression."""
    settings = environments.load(name)
    told, database = settings.monitoring, settings.database
    return {
        "ApiFunctionErrorsAlarm": Expected("Errors", "Sum", FIVE_MINUTES, 1, "> 0"),
        "ApiFunctionThrottlesAlarm": Expected("Throttles", "Sum", FIVE_MINUTES, 1, "> 0"),
        "ApiServerErrorsAlarm": Expected("5XXError", "Sum", FIVE_MINUTES, 1, "> 0"),
        "ApiSlowAlarm": Expected("Latency", "p95", FIVE_MINUTES, 3, f"> {told.api_p95_milliseconds}"),
        "DatabaseConnectionsAlarm": Expected("DatabaseConnections", "Maximum", FIVE_MINUTES, 1, "> 300"),
        "DatabaseCpuAlarm": Expected("CPUUtilization", "Average", FIVE_MINUTES, 3, "> 85"),
        "DatabaseGoneAlarm": Expected("CPUUtilization", "SampleCount", MINUTE, 3, "< 1", "breaching"),
        "DatabaseMemoryAlarm": Expected("FreeableMemory", "Average", FIVE_MINUTES, 3, f"< {256 * 1024**2}"),
        "DatabaseStorageAlarm": Expected(
            "FreeStorageSpace", "Minimum", FIVE_MINUTES, 1, f"< {database.storage_gib * 1024**3 // 20}"
        ),
        "DeadLettersAlarm": Expected("ApproximateNumberOfMessagesVisible", "Maximum", MINUTE, 1, "> 0"),
        "IngestFailuresAlarm": Expected("IngestFailures", "Sum", FIVE_MINUTES, 1, "> 0"),
        "JobsSlowAlarm": Expected("JobDurationSeconds", "p95", FIVE_MINUTES, 3, f"> {told.job_p95_seconds}"),
        "LandingAgeAlarm": Expected("ApproximateAgeOfOldestMessage", "Maximum", MINUTE, 1, "> 900"),
        "SensorsAlarm": Expected("ObjectsWaiting", "SampleCount", MINUTE, 10, "< 1", "breaching"),
        "WaitingAlarm": Expected("OldestWaitingSeconds", "Maximum", FIVE_MINUTES, 2, f"> {told.lag_seconds}"),
        "WebserverAlarm": Expected("RunningTaskCount", "Minimum", MINUTE, 5, "< 1", "breaching"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_alarm_measures_the_right_figure_for_the_right_time(synthesis: Synthesis, name: str) -> None:
    signs = {"GreaterThanThreshold": ">", "LessThanThreshold": "<"}
    found = {
        each: Expected(
            alarm["MetricName"],
            alarm.get("Statistic") or alarm["ExtendedStatistic"],
            alarm["Period"],
            alarm["EvaluationPeriods"],
            f"{signs[alarm['ComparisonOperator']]} {alarm['Threshold']}",
            alarm["TreatMissingData"],
        )
        for each, alarm in alarms_of(synthesis, name).items()
        if "MetricName" in alarm
    }
    assert found == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_no_alarm_needs_fewer_or_more_bad_periods_than_it_looks_at(synthesis: Synthesis, name: str) -> None:
    for alarm in alarms_of(synthesis, name).values():
        assert alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]) == alarm["EvaluationPeriods"]
        assert alarm.get("ActionsEnabled", True) is True


@pytest.mark.parametrize("name", NAMES)
def test_alarms_look_at_the_queue_that_their_name_says(synthesis: Synthesis, name: str) -> None:
    alarms = alarms_of(synthesis, name)
    watched = {
        each: [text(dimension["Value"]) for dimension in alarms[each]["Dimensions"]]
        for each in ("DeadLettersAlarm", "LandingAgeAlarm")
    }
    assert watched == {
        "DeadLettersAlarm": ["<LandingDeadLetterQueue.QueueName>"],
        "LandingAgeAlarm": ["<LandingQueue.QueueName>"],
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("loaded", "rejected", "alarms"),
    [
        (94, 6, True),
        (95, 5, False),  # exactly five in a hundred
        (949, 51, True),
        (0, 1, True),
        (100, 0, False),
        (0, 0, False),
        (None, None, False),  # no run in this period
    ],
)
def test_the_rejects_alarm_goes_off_above_five_in_a_hundred(
    synthesis: Synthesis, name: str, loaded: float | None, rejected: float | None, alarms: bool
) -> None:
    alarm = alarms_of(synthesis, name)["RejectsAlarm"]
    assert goes_off(alarm, {"loaded": loaded, "rejected": rejected}) is alarms


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("failed", "succeeded", "alarms"),
    [
        (3, 11, True),
        (3, 12, False),  # exactly a fifth
        (2, 0, False),  # one or two callers made a mistake
        (2, None, False),
        (3, None, True),  # no job succeeds: nothing writes that figure
        (None, 50, False),
        (None, None, False),
    ],
)
def test_the_jobs_alarm_goes_off_above_a_fifth_and_three_jobs(
    synthesis: Synthesis, name: str, failed: float | None, succeeded: float | None, alarms: bool
) -> None:
    alarm = alarms_of(synthesis, name)["JobsFailedAlarm"]
    assert goes_off(alarm, {"failed": failed, "succeeded": succeeded}) is alarms


@pytest.mark.parametrize("name", NAMES)
def test_expressions_sum_the_figures_of_the_same_five_minutes(synthesis: Synthesis, name: str) -> None:
    computed = {each: alarm for each, alarm in alarms_of(synthesis, name).items() if "Metrics" in alarm}
    read = {
        each: {
            part["Id"]: (part["MetricStat"]["Metric"]["MetricName"], part["MetricStat"]["Stat"])
            for part in alarm["Metrics"]
            if "MetricStat" in part
        }
        for each, alarm in computed.items()
    }
    assert read == {
        "RejectsAlarm": {"loaded": ("RecordsLoaded", "Sum"), "rejected": ("RecordsRejected", "Sum")},
        "JobsFailedAlarm": {"failed": ("JobsFailed", "Sum"), "succeeded": ("JobsSucceeded", "Sum")},
    }
    for alarm in computed.values():
        assert alarm["EvaluationPeriods"] == 1
        assert alarm["TreatMissingData"] == "notBreaching"
        for part in alarm["Metrics"]:
            if "MetricStat" in part:
                assert part["MetricStat"]["Period"] == FIVE_MINUTES
                assert part["ReturnData"] is False


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_is_reported_when_any_of_its_alarms_goes_off(synthesis: Synthesis, name: str) -> None:
    faults = synthesis.environment(name)["monitoring"].all(COMPOSITE)
    parts = {
        fault["AlarmName"].removeprefix(f"pipeline-{name}-"): {
            part.removeprefix('ALARM("<').removesuffix('.Arn>")')
            for part in text(fault["AlarmRule"]).removeprefix("(").removesuffix(")").split(" OR ")
        }
        for fault in faults.values()
    }
    assert parts == {
        "database": {
            *("DatabaseGoneAlarm", "DatabaseCpuAlarm", "DatabaseStorageAlarm"),
            *("DatabaseMemoryAlarm", "DatabaseConnectionsAlarm"),
        },
        "ingestion": {
            *("DeadLettersAlarm", "LandingAgeAlarm", "WaitingAlarm"),
            *("IngestFailuresAlarm", "RejectsAlarm"),
        },
        "api": {"ApiFunctionErrorsAlarm", "ApiFunctionThrottlesAlarm", "ApiServerErrorsAlarm", "ApiSlowAlarm"},
        "jobs": {"JobsFailedAlarm", "JobsSlowAlarm"},
        "dagster": {"SensorsAlarm", "WebserverAlarm"},
    }


@pytest.mark.parametrize("name", NAMES)
def test_other_faults_wait_longer_than_the_loss_of_the_database_takes_to_show(synthesis: Synthesis, name: str) -> None:
    monitoring = synthesis.environment(name)["monitoring"]
    gone = alarms_of(synthesis, name)["DatabaseGoneAlarm"]
    shows_after = gone["Period"] * gone["EvaluationPeriods"]
    waiting = [fault for fault in monitoring.all(COMPOSITE).values() if "ActionsSuppressor" in fault]
    assert len(waiting) == 4
    for fault in waiting:
        for period in ("ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod"):
            assert shows_after < fault[period] <= 2 * shows_after, "a fault of its own must not wait for long"


@pytest.mark.parametrize("name", NAMES)
def test_the_budget_of_a_month_is_reported_when_it_is_spent_and_when_it_will_be(
    synthesis: Synthesis, name: str
) -> None:
    _, found = synthesis.environment(name)["monitoring"].one("AWS::Budgets::Budget")
    budget = found["Budget"]
    assert (budget["BudgetType"], budget["TimeUnit"]) == ("COST", "MONTHLY")
    assert budget["CostFilters"] == {"TagKeyValue": [f"user:environment${name}"]}
    assert [each["Notification"] for each in found["NotificationsWithSubscribers"]] == [
        {
            "NotificationType": kind,
            "ComparisonOperator": "GREATER_THAN",
            "Threshold": 100,
            "ThresholdType": "PERCENTAGE",
        }
        for kind in ("ACTUAL", "FORECASTED")
    ]


@pytest.mark.parametrize("name", NAMES)
def test_only_alarms_and_budgets_of_this_account_publish_to_the_topic(synthesis: Synthesis, name: str) -> None:
    _, policy = synthesis.environment(name)["monitoring"].one("AWS::SNS::TopicPolicy")
    conditions = {
        each["Principal"]["Service"]: each["Condition"]
        for each in policy["PolicyDocument"]["Statement"]
        if each["Effect"] == "Allow"
    }
    account = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert all(each["StringEquals"] == account for each in conditions.values())
    alarm = text(conditions["cloudwatch.amazonaws.com"]["ArnLike"]["aws:SourceArn"])
    assert alarm == "arn:<AWS::Partition>:cloudwatch:eu-central-1:<AWS::AccountId>:alarm:*"
