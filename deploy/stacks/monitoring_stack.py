"""What the operator sees and is told: a dashboard, alarms of which one fault raises one, and a budget.

    metric ──► alarm ─┐
    metric ──► alarm ─┴─► alarm of a part ──► topic ──► e-mail       while the database is gone, the other parts keep silent:
                                                                     without it nothing works
Metrics of the namespace `Pipeline` are written by the platform itself (pipeline_project/notify); the rest is AWS' own.
"""

# pyright: reportArgumentType=false

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns_subscriptions as subscriptions

from deploy.environments import Environment
from deploy.parts.alarms import alarm, landing_alarms, rest_alarms
from deploy.parts.topics import alarms_topic
from deploy.stacks.app_stack import AppStack
from deploy.stacks.data_stack import DataStack
from deploy.stacks.network_stack import NetworkStack
from deploy.stacks.orchestration_stack import OrchestrationStack

NAMESPACE = "Pipeline"
MINUTE, FIVE_MINUTES = cdk.Duration.minutes(1), cdk.Duration.minutes(5)
GIB = 1024**3
SHARE_OF_STORAGE = 0.05
"""RDS enlarges what has a tenth left. Of the storage that the database began with: of a larger one, it is less."""
LEAST_MEMORY_BYTES = 256 * 1024**2
MOST_CONNECTIONS = 300
"""docs/scaling.md has the sum."""
BUSY_PERCENT = 85
REJECT_PERCENT = 5
FAILED_PERCENT = 20
DELAY_SECONDS = 300
"""How long the others wait for DatabaseGoneAlarm before they speak, and after it before they speak again."""
SILENCE_IS_BAD = cloudwatch.TreatMissingData.BREACHING


class MonitoringStack(cdk.Stack):
    """Changes nothing about the platform: it can be deployed, and deleted, at any time."""

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
        orchestration: OrchestrationStack,
    ) -> None:
        super().__init__(scope, construct_id, env=env, description="Data pipeline: dashboard, alarms and budget.")
        self._environment = environment
        self._network = network
        self._data = data
        self._app = app
        self._orchestration = orchestration
        self.topic = alarms_topic(self)
        for address in environment.monitoring.emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(address))
        self._alarms()
        self._dashboard()
        self._budget()
        cdk.CfnOutput(self, "AlarmsTopicArn", value=self.topic.topic_arn)

    def own(
        self, name: str, statistic: str, *, period: cdk.Duration = FIVE_MINUTES, label: str | None = None
    ) -> cloudwatch.Metric:
        """A metric that the platform writes, over all sources and operations."""
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map={"Environment": self._environment.name},
            statistic=statistic,
            period=period,
            label=label,
        )

    def each(self, name: str, dimension: str, statistic: str) -> cloudwatch.MathExpression:
        """The same, a line for each source, operation or state that there is."""
        search = f'{{{NAMESPACE},Environment,{dimension}}} MetricName="{name}" Environment="{self._environment.name}"'
        return cloudwatch.MathExpression(
            expression=f"SEARCH('{search}', '{statistic}', 300)", label="", using_metrics={}, period=FIVE_MINUTES
        )

    # ---- alarms

    def _alarms(self) -> None:
        gone = self._database_gone()
        self._fault("Database", "the database", [gone, *self._database_alarms()])
        for name, what, alarms in (
            ("Ingestion", "ingestion: files wait, or are not loaded", self._ingestion_alarms()),
            ("Api", "the REST API", [*rest_alarms(self, self._app.rest), self._slow_api()]),
            ("Jobs", "jobs of the REST API", self._job_alarms()),
            ("Dagster", "Dagster: a part of it does not run", self._dagster_alarms()),
        ):
            self._fault(name, what, alarms, suppressor=gone)

    def _fault(
        self,
        name: str,
        what: str,
        alarms: Sequence[cloudwatch.Alarm],
        suppressor: cloudwatch.Alarm | None = None,
    ) -> cloudwatch.CompositeAlarm:
        """One message when the first of them goes off, and one when the last has ended."""
        fault = cloudwatch.CompositeAlarm(
            self,
            f"{name}Fault",
            composite_alarm_name=f"pipeline-{self._environment.name}-{name.lower()}",
            alarm_description=f"Something is wrong with {what}. docs/operations-runbook.md says what to do.",
            alarm_rule=cloudwatch.AlarmRule.any_of(
                *(cloudwatch.AlarmRule.from_alarm(each, cloudwatch.AlarmState.ALARM) for each in alarms)
            ),
            actions_suppressor=suppressor,
            actions_suppressor_wait_period=cdk.Duration.seconds(DELAY_SECONDS) if suppressor else None,
            actions_suppressor_extension_period=cdk.Duration.seconds(DELAY_SECONDS) if suppressor else None,
        )
        action = cloudwatch_actions.SnsAction(self.topic)
        fault.add_alarm_action(action)
        fault.add_ok_action(action)
        return fault

    def _database_gone(self) -> cloudwatch.Alarm:
        return alarm(
            self,
            "DatabaseGoneAlarm",
            "The database has told nothing of itself for 3 minutes",
            self._data.database.metric_cpu_utilization(period=MINUTE, statistic="SampleCount"),
            1,
            below=True,
            periods=3,
            missing=SILENCE_IS_BAD,
        )

    def _database_alarms(self) -> list[cloudwatch.Alarm]:
        database = self._data.database
        sizes = self._environment.database
        return [
            alarm(
                self,
                "DatabaseCpuAlarm",
                f"The database has been more than {BUSY_PERCENT} % busy for 15 minutes",
                database.metric_cpu_utilization(period=FIVE_MINUTES, statistic="Average"),
                BUSY_PERCENT,
                periods=3,
            ),
            alarm(
                self,
                "DatabaseStorageAlarm",
                f"Less than {SHARE_OF_STORAGE:.0%} of the storage is free, and RDS has not enlarged it",
                database.metric_free_storage_space(period=FIVE_MINUTES, statistic="Minimum"),
                SHARE_OF_STORAGE * sizes.storage_gib * GIB,
                below=True,
            ),
            alarm(
                self,
                "DatabaseMemoryAlarm",
                "The database has hardly any memory left",
                database.metric_freeable_memory(period=FIVE_MINUTES, statistic="Average"),
                LEAST_MEMORY_BYTES,
                below=True,
                periods=3,
            ),
            alarm(
                self,
                "DatabaseConnectionsAlarm",
                f"More than {MOST_CONNECTIONS} connections are open",
                database.metric_database_connections(period=FIVE_MINUTES, statistic="Maximum"),
                MOST_CONNECTIONS,
            ),
        ]

    def _ingestion_alarms(self) -> list[cloudwatch.Alarm]:
        lag = self._environment.monitoring.lag_seconds
        rejected = cloudwatch.MathExpression(
            expression="IF(loaded + rejected > 0, 100 * rejected / (loaded + rejected), 0)",
            using_metrics={
                "loaded": self.own("RecordsLoaded", "Sum"),
                "rejected": self.own("RecordsRejected", "Sum"),
            },
            period=FIVE_MINUTES,
            label="rejected, %",
        )
        return [
            *landing_alarms(self, self._data.storage),
            alarm(
                self,
                "WaitingAlarm",
                f"An object has waited longer than {lag} s to be loaded",
                self.own("OldestWaitingSeconds", "Maximum"),
                lag,
                periods=2,
            ),
            alarm(
                self,
                "IngestFailuresAlarm",
                "An object could not be loaded: it cannot be read, or its source is not known",
                self.own("IngestFailures", "Sum"),
                0,
            ),
            alarm(
                self,
                "RejectsAlarm",
                f"More than {REJECT_PERCENT} % of the records were rejected",
                rejected,
                REJECT_PERCENT,
            ),
        ]

    def _slow_api(self) -> cloudwatch.Alarm:
        most = self._environment.monitoring.api_p95_milliseconds
        return alarm(
            self,
            "ApiSlowAlarm",
            f"One answer in twenty has taken longer than {most} ms for 15 minutes",
            self._app.rest.api.deployment_stage.metric_latency(period=FIVE_MINUTES, statistic="p95"),
            most,
            periods=3,
        )

    def _job_alarms(self) -> list[cloudwatch.Alarm]:
        most = self._environment.monitoring.job_p95_seconds
        # One job may fail because of its own parameters, and its caller is told so. If all jobs fail, nothing writes
        # `succeeded`: without FILL the expression would have no value, and no alarm would go off.
        failed = cloudwatch.MathExpression(
            expression="IF(failed >= 3, 100 * failed / (failed + FILL(succeeded, 0)), 0)",
            using_metrics={"failed": self.own("JobsFailed", "Sum"), "succeeded": self.own("JobsSucceeded", "Sum")},
            period=FIVE_MINUTES,
            label="failed, %",
        )
        return [
            alarm(
                self,
                "JobsFailedAlarm",
                f"More than {FAILED_PERCENT} % of the jobs failed or ran out of time, and not just one or two",
                failed,
                FAILED_PERCENT,
            ),
            alarm(
                self,
                "JobsSlowAlarm",
                f"One job in twenty has taken longer than {most} s for 15 minutes",
                self.own("JobDurationSeconds", "p95"),
                most,
                periods=3,
            ),
        ]

    def _dagster_alarms(self) -> list[cloudwatch.Alarm]:
        return [
            alarm(
                self,
                "SensorsAlarm",
                "No sensor has run for 10 minutes: daemon or code server hangs, or cannot start",
                # One of them measures the backlog each minute. A task that runs is no sign of life: those that wait for what they
                # need run, too.
                self.own("ObjectsWaiting", "SampleCount", period=MINUTE),
                1,
                below=True,
                periods=10,
                missing=SILENCE_IS_BAD,
            ),
            alarm(
                self,
                "WebserverAlarm",
                "No task of the webserver has run for 5 minutes",
                self._running("webserver"),
                1,
                below=True,
                periods=5,
                missing=SILENCE_IS_BAD,
            ),
        ]

    def _running(self, name: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="ECS/ContainerInsights",
            metric_name="RunningTaskCount",
            dimensions_map={
                "ClusterName": self._network.cluster.cluster_name,
                "ServiceName": self._orchestration.services[name].service_name,
            },
            statistic="Minimum",
            period=MINUTE,
        )

    # ---- dashboard

    def _dashboard(self) -> None:
        storage, api, function = self._data.storage, self._app.rest.api.deployment_stage, self._app.rest.function
        database, own, each = self._data.database, self.own, self.each
        rows: list[list[tuple[str, list[cloudwatch.IMetric], list[cloudwatch.IMetric]]]] = [
            [
                (
                    "Lag: upload to loaded, s",
                    [own("IngestLagSeconds", s) for s in ("p50", "p95", "Maximum")],
                    [],
                ),
                (
                    "Backlog",
                    [
                        own("ObjectsWaiting", "Maximum"),
                        storage.landing_queue.metric_approximate_number_of_messages_visible(),
                    ],
                    [
                        own("OldestWaitingSeconds", "Maximum"),
                        storage.landing_queue.metric_approximate_age_of_oldest_message(),
                    ],
                ),
                (
                    "Ledger: objects settled, by state; ignored; dead letters",
                    [each("ObjectsSettled", "State", "Sum"), own("ObjectsIgnored", "Sum")],
                    [storage.dead_letter_queue.metric_approximate_number_of_messages_visible()],
                ),
            ],
            [
                ("Records loaded, by source", [each("RecordsLoaded", "Source", "Sum")], []),
                (
                    "Records rejected, and objects that failed, by source",
                    [each("RecordsRejected", "Source", "Sum")],
                    [each("IngestFailures", "Source", "Sum")],
                ),
                (
                    "Batches: objects and bytes",
                    [own("BatchObjects", "Average"), own("BatchObjects", "Maximum")],
                    [own("BatchBytes", "Average"), own("BatchBytes", "Maximum")],
                ),
            ],
            [
                ("Jobs", [own("JobsSucceeded", "Sum"), own("JobsFailed", "Sum")], []),
                ("Job duration by operation, p95, s", [each("JobDurationSeconds", "Operation", "p95")], []),
                ("Cache", [own("CacheHits", "Sum"), own("CacheMisses", "Sum")], []),
            ],
            [
                (
                    "API latency, ms",
                    [api.metric_latency(statistic=s, period=FIVE_MINUTES) for s in ("p50", "p95", "p99")],
                    [],
                ),
                (
                    "API requests and errors",
                    [api.metric_count(statistic="Sum")],
                    [api.metric_client_error(statistic="Sum"), api.metric_server_error(statistic="Sum")],
                ),
                (
                    "Function",
                    [function.metric_errors(), function.metric_throttles()],
                    [
                        function.metric_duration(statistic="p95"),
                        function.metric("ConcurrentExecutions", statistic="Maximum"),
                    ],
                ),
            ],
            [
                (
                    "Database: load (sessions that work or wait), CPU",
                    [
                        database.metric("DBLoad", statistic="Average"),
                        database.metric("DBLoadNonCPU", statistic="Average"),
                    ],
                    [database.metric_cpu_utilization()],
                ),
                (
                    "Database: connections, free storage",
                    [database.metric_database_connections()],
                    [database.metric_free_storage_space()],
                ),
                (
                    "Dagster: running tasks",
                    [self._running(name).with_(label=name) for name in self._orchestration.services],
                    [],
                ),
            ],
        ]
        dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=f"pipeline-{self._environment.name}",
            default_interval=cdk.Duration.hours(12),
        )
        for row in rows:
            dashboard.add_widgets(
                *(
                    cloudwatch.GraphWidget(title=title, left=left, right=right, width=8, height=6, period=FIVE_MINUTES)
                    for title, left, right in row
                )
            )

    # ---- budget

    def _budget(self) -> None:
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="BudgetMayPublish",
                principals=[iam.ServicePrincipal("budgets.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        subscriber = budgets.CfnBudget.SubscriberProperty(address=self.topic.topic_arn, subscription_type="SNS")
        budget = budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(
                    amount=self._environment.monitoring.monthly_budget_usd, unit="USD"
                ),
                # The tag that all stacks carry; it must be activated once as a cost allocation tag.
                cost_filters={"TagKeyValue": [f"user:environment${self._environment.name}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=100,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for kind in ("ACTUAL", "FORECASTED")
            ],
        )
        # It tries the topic when it is made.
        if policy := self.topic.node.try_find_child("Policy"):
            budget.node.add_dependency(policy)
