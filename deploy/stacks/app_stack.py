"""The app stack: buckets, landing queue, table, topics, the API's function and gateway, alarms.

It deploys as it is to AWS and to the local emulator; what only one of them has is a parameter. Network, database and
compute belong to stacks of their own.
"""

# CDK's classes name the parameters of their methods otherwise than the interfaces they implement do.
# pyright: reportArgumentType=false

from typing import TypeVar

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deploy.environments import Environment

Resource = TypeVar("Resource", bound=cdk.CfnResource)

API_STAGE = "v1"
API_HANDLER = "pipeline_project.api.handler.handler"
# API Gateway gives up after 29 seconds: a function that goes on is paid for and heard by nobody.
API_TIMEOUT = cdk.Duration.seconds(29)
LANDING_ATTEMPTS = 5
LANDING_VISIBILITY = cdk.Duration.seconds(120)
JOB_RESULTS_PREFIX = "jobs/"

# API Gateway's own errors: (response type, status, code, title), the codes those of pipeline_project.api.problems.
# The two defaults keep the status of their cause.
GATEWAY_ERRORS = [
    (apigateway.ResponseType.DEFAULT_4_XX, None, "bad_request", "The request was refused"),
    (apigateway.ResponseType.DEFAULT_5_XX, None, "internal_error", "The service failed to answer"),
    (apigateway.ResponseType.ACCESS_DENIED, "403", "forbidden", "Access denied"),
    (apigateway.ResponseType.INVALID_API_KEY, "403", "forbidden", "API key missing or unknown"),
    # What API Gateway says of a path it does not know. No route needs AWS authentication here.
    (apigateway.ResponseType.MISSING_AUTHENTICATION_TOKEN, "404", "not_found", "There is nothing here"),
    (apigateway.ResponseType.RESOURCE_NOT_FOUND, "404", "not_found", "There is nothing here"),
    (apigateway.ResponseType.REQUEST_TOO_LARGE, "413", "request_too_large", "The request body is too large"),
    (apigateway.ResponseType.THROTTLED, "429", "too_many_requests", "Too many requests; try again later"),
    (apigateway.ResponseType.QUOTA_EXCEEDED, "429", "quota_exceeded", "The quota of this API key is used up"),
    (apigateway.ResponseType.INTEGRATION_FAILURE, "504", "timeout", "The service did not answer in time"),
    (apigateway.ResponseType.INTEGRATION_TIMEOUT, "504", "timeout", "The service did not answer in time"),
]


class AppStack(cdk.Stack):
    """Everything that the landing zone and the REST facade need apart from network, database and Dagster."""

    def __init__(self, scope: Construct, construct_id: str, *, environment: Environment) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Data pipeline: landing zone and REST API. The name of the stack must be lower case.",
            # No bootstrap resources are used: the code of the function comes from a bucket given as a parameter.
            synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
        )
        self._parameters(environment)
        self.landing_queue, self.dead_letter_queue = self._queues()
        self.landing_bucket = self._landing_bucket()
        self.results_bucket = self._results_bucket(environment)
        self.table = self._table()
        self.events_topic, self.alarms_topic = self._topics()
        self.api = self._rest_api(environment)
        self.function = self._function(environment)
        self._routes()
        self._alarms()
        self._outputs()

    def _parameters(self, environment: Environment) -> None:
        def text(name: str, description: str, **options: str | list[str]) -> str:
            return cdk.CfnParameter(self, name, type="String", description=description, **options).value_as_string

        self.environment_name = text("EnvironmentName", "Name of the environment", default=environment.name)
        self.code_bucket = text("CodeBucket", "Bucket with the function's code (python -m deploy.bundle)")
        self.code_key = text("CodeKey", "Key of the function's code; a new key deploys new code")
        self.architecture = text(
            "Architecture",
            "Instruction set that the code was bundled for",
            default="arm64",
            allowed_values=["arm64", "x86_64"],
        )
        self.reader_secret = text(
            "ReaderCredentials",
            "Name of the Secrets Manager secret of the database role pipeline_reader",
            default="pipeline/database/reader",
        )
        self.dagster_url = text("DagsterUrl", "Address of the Dagster webserver, seen from the function", default="")
        self.endpoint_url = text("AwsEndpointUrl", "Address of an AWS emulator; empty on AWS", default="")
        self.on_aws = cdk.CfnCondition(self, "OnAws", expression=cdk.Fn.condition_equals(self.endpoint_url, ""))

    def _queues(self) -> tuple[sqs.Queue, sqs.Queue]:
        dead_letters = sqs.Queue(
            self,
            "LandingDeadLetterQueue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(14),
        )
        queue = sqs.Queue(
            self,
            "LandingQueue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            visibility_timeout=LANDING_VISIBILITY,
            retention_period=cdk.Duration.days(14),
            receive_message_wait_time=cdk.Duration.seconds(20),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=LANDING_ATTEMPTS),
        )
        # The bucket cannot be named here by reference: S3 checks, when the bucket is made, that it may send, so this
        # policy comes first. Its name begins as CloudFormation derives it from the stack's name and the logical id.
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LandingBucketMaySend",
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={
                    "StringEquals": {"aws:SourceAccount": self.account},
                    "ArnLike": {"aws:SourceArn": f"arn:{self.partition}:s3:::{cdk.Aws.STACK_NAME}-landingbucket*"},
                },
            )
        )
        return queue, dead_letters

    def _landing_bucket(self) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "LandingBucket",
            versioned=True,
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            removal_policy=cdk.RemovalPolicy.RETAIN,
            lifecycle_rules=[
                s3.LifecycleRule(id="incomplete-uploads", abort_incomplete_multipart_upload_after=cdk.Duration.days(7)),
            ],
        )
        resource = _resource(bucket, s3.CfnBucket)
        # On the bucket itself rather than `add_event_notification`: that needs a function of CDK's own with the right
        # to change the notifications of every bucket.
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(event="s3:ObjectCreated:*", queue=self.landing_queue.queue_arn)
            ]
        )
        resource.node.add_dependency(self.landing_queue.node.find_child("Policy"))
        return bucket

    def _results_bucket(self, environment: Environment) -> s3.Bucket:
        return s3.Bucket(
            self,
            "ResultsBucket",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            removal_policy=cdk.RemovalPolicy.RETAIN,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="job-results",
                    prefix=JOB_RESULTS_PREFIX,
                    expiration=cdk.Duration.days(environment.job_result_days),
                ),
                s3.LifecycleRule(id="incomplete-uploads", abort_incomplete_multipart_upload_after=cdk.Duration.days(1)),
            ],
        )

    def _table(self) -> dynamodb.Table:
        def key(name: str) -> dynamodb.Attribute:
            return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)

        table = dynamodb.Table(
            self,
            "Table",
            partition_key=key("pk"),
            sort_key=key("sk"),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute="expireAt",
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        for index, partition, sort in (("by_time", "gsi1pk", "gsi1sk"), ("by_state", "gsi2pk", "gsi2sk")):
            table.add_global_secondary_index(index_name=index, partition_key=key(partition), sort_key=key(sort))
        return table

    def _topics(self) -> tuple[sns.Topic, sns.Topic]:
        events = sns.Topic(
            self,
            "EventsTopic",
            enforce_ssl=True,
            master_key=kms.Alias.from_alias_name(self, "TopicKey", "alias/aws/sns"),
        )
        # Not encrypted at rest: CloudWatch may not use the AWS-managed key. An alarm names a metric, it holds no data.
        alarms = sns.Topic(self, "AlarmsTopic", enforce_ssl=True)
        # A topic with a policy of its own loses the default one, by which CloudWatch might publish.
        alarms.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsMayPublish",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[alarms.topic_arn],
                conditions={
                    "StringEquals": {"aws:SourceAccount": self.account},
                    "ArnLike": {
                        "aws:SourceArn": f"arn:{self.partition}:cloudwatch:{self.region}:{self.account}:alarm:*"
                    },
                },
            )
        )
        return events, alarms

    def _rest_api(self, environment: Environment) -> apigateway.RestApi:
        # Parameters, as a benchmark on the emulator is held to them too.
        rate = cdk.CfnParameter(
            self,
            "RequestsPerSecond",
            type="Number",
            min_value=0,
            default=environment.requests_per_second,
            description="Steady rate that the API admits",
        )
        burst = cdk.CfnParameter(
            self,
            "RequestBurst",
            type="Number",
            min_value=0,
            default=environment.requests_per_second * 2,
            description="Requests that the API admits at once",
        )
        api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=cdk.Aws.STACK_NAME,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=False,
            deploy_options=apigateway.StageOptions(
                stage_name=API_STAGE,
                throttling_rate_limit=rate.value_as_number,
                throttling_burst_limit=burst.value_as_number,
                tracing_enabled=environment.trace_requests,
            ),
        )
        api.node.try_remove_child("Endpoint")  # an output of CDK's own; ours is right on the emulator as well
        self.api_url = cdk.Fn.condition_if(
            self.on_aws.logical_id,
            f"https://{api.rest_api_id}.execute-api.{self.region}.{self.url_suffix}/{API_STAGE}",
            f"{self.endpoint_url}/_aws/execute-api/{api.rest_api_id}/{API_STAGE}",
        ).to_string()
        for response_type, status, code, title in GATEWAY_ERRORS:
            api.add_gateway_response(
                f"Error{response_type.response_type.title().replace('_', '')}",
                type=response_type,
                status_code=status,
                response_headers={
                    # The template key must be application/json, the only one API Gateway is sure to choose.
                    "Content-Type": "'application/problem+json'",
                    # Any origin may read these: they say what was wrong with a request and hold no data. Data comes
                    # from the function, which answers origins from its allow-list.
                    "Access-Control-Allow-Origin": "'*'",
                },
                templates={"application/json": _problem(status, code, title)},
            )
        return api

    def _function(self, environment: Environment) -> lambda_.Function:
        log_group = logs.LogGroup(
            self,
            "ApiLogs",
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        _resource(log_group, logs.CfnLogGroup).retention_in_days = environment.log_retention_days
        # A role of our own: CDK's default one may write to every log group of the account.
        role = iam.Role(self, "ApiRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        for statement in self._function_rights():
            role.add_to_policy(statement)
        function = lambda_.Function(
            self,
            "ApiFunction",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler=API_HANDLER,
            code=lambda_.Code.from_bucket(
                s3.Bucket.from_bucket_name(self, "Code", self.code_bucket), key=self.code_key
            ),
            role=role,
            timeout=API_TIMEOUT,
            memory_size=512,
            log_group=log_group,
            # Adds xray:Put* on every resource to the role: X-Ray has no resources to name.
            tracing=lambda_.Tracing.ACTIVE if environment.trace_requests else lambda_.Tracing.DISABLED,
            # Fields of pipeline_project.settings.Settings; an empty value counts as unset there.
            environment={
                "PIPELINE_ENVIRONMENT": self.environment_name,
                "PIPELINE_AWS_REGION": self.region,
                "PIPELINE_AWS_ENDPOINT_URL": self.endpoint_url,
                "PIPELINE_LANDING_BUCKET": self.landing_bucket.bucket_name,
                "PIPELINE_RESULTS_BUCKET": self.results_bucket.bucket_name,
                "PIPELINE_LANDING_QUEUE_URL": self.landing_queue.queue_url,
                "PIPELINE_TABLE_NAME": self.table.table_name,
                "PIPELINE_EVENTS_TOPIC_ARN": self.events_topic.topic_arn,
                "PIPELINE_READER_SECRET": self.reader_secret,
                "PIPELINE_DAGSTER_URL": self.dagster_url,
                "PIPELINE_API_URL": self.api_url,
            },
        )
        _resource(function, lambda_.CfnFunction).architectures = [self.architecture]
        return function

    def _function_rights(self) -> list[iam.PolicyStatement]:
        return [
            iam.PolicyStatement(
                sid="Records",
                actions=[
                    "dynamodb:ConditionCheckItem",
                    "dynamodb:GetItem",
                    "dynamodb:PutItem",
                    "dynamodb:Query",
                    "dynamodb:UpdateItem",
                ],
                resources=[self.table.table_arn, f"{self.table.table_arn}/index/*"],
            ),
            iam.PolicyStatement(
                sid="Results",
                actions=["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
                resources=[self.results_bucket.arn_for_objects("*")],
            ),
            # Without it S3 answers 403 for a key that does not exist, where the API must say 404.
            iam.PolicyStatement(
                sid="ResultsExist", actions=["s3:ListBucket"], resources=[self.results_bucket.bucket_arn]
            ),
            iam.PolicyStatement(sid="Events", actions=["sns:Publish"], resources=[self.events_topic.topic_arn]),
            # The health route tells whether the queue can be reached and how much waits in it.
            iam.PolicyStatement(
                sid="Backlog", actions=["sqs:GetQueueAttributes"], resources=[self.landing_queue.queue_arn]
            ),
            # Secrets Manager adds a hyphen and six characters to the name.
            iam.PolicyStatement(
                sid="ReaderSecret",
                actions=["secretsmanager:GetSecretValue"],
                resources=[
                    f"arn:{self.partition}:secretsmanager:{self.region}:{self.account}:secret:{self.reader_secret}-??????"
                ],
            ),
        ]

    def _routes(self) -> None:
        integration = apigateway.LambdaIntegration(self.function, allow_test_invoke=False)
        self.api.root.add_method("ANY", integration)
        self.api.root.add_proxy(any_method=True, default_integration=integration)

    def _alarms(self) -> None:
        minute, five_minutes = cdk.Duration.minutes(1), cdk.Duration.minutes(5)
        stage = self.api.deployment_stage
        for name, description, metric, above in (
            (
                "DeadLettersAlarm",
                f"A landing event failed {LANDING_ATTEMPTS} times and waits in the dead-letter queue",
                self.dead_letter_queue.metric_approximate_number_of_messages_visible(
                    period=minute, statistic="Maximum"
                ),
                0,
            ),
            (
                "LandingAgeAlarm",
                "An uploaded object has waited longer than 15 minutes to be discovered",
                self.landing_queue.metric_approximate_age_of_oldest_message(period=minute, statistic="Maximum"),
                15 * 60,
            ),
            (
                "ApiFunctionErrorsAlarm",
                "The API's function raised an error or ran out of time",
                self.function.metric_errors(period=five_minutes, statistic="Sum"),
                0,
            ),
            (
                "ApiFunctionThrottlesAlarm",
                "Calls of the API's function were refused: the concurrency of the account is used up",
                self.function.metric_throttles(period=five_minutes, statistic="Sum"),
                0,
            ),
            (
                "ApiServerErrorsAlarm",
                "The API answered with a 5xx",
                stage.metric_server_error(period=five_minutes, statistic="Sum"),
                0,
            ),
        ):
            alarm = cloudwatch.Alarm(
                self,
                name,
                alarm_description=description,
                metric=metric,
                threshold=above,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
                evaluation_periods=1,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            action = cloudwatch_actions.SnsAction(self.alarms_topic)
            alarm.add_alarm_action(action)
            alarm.add_ok_action(action)

    def _outputs(self) -> None:
        for name, value in {
            "LandingBucket": self.landing_bucket.bucket_name,
            "ResultsBucket": self.results_bucket.bucket_name,
            "LandingQueueUrl": self.landing_queue.queue_url,
            "LandingDeadLetterQueueUrl": self.dead_letter_queue.queue_url,
            "TableName": self.table.table_name,
            "EventsTopicArn": self.events_topic.topic_arn,
            "AlarmsTopicArn": self.alarms_topic.topic_arn,
            "ApiId": self.api.rest_api_id,
            "ApiUrl": self.api_url,
            "FunctionName": self.function.function_name,
        }.items():
            # An output has the name of its resource, which two constructs of one stack cannot share.
            cdk.CfnOutput(self, f"{name}Output", value=value).override_logical_id(name)


def _problem(status: str | None, code: str, title: str) -> str:
    """A body of RFC 9457. Only where the cause is open does API Gateway's own message (quoted, or null) help."""
    particulars = f'"status":{status}' if status else '"detail":$context.error.messageString'
    return f'{{"type":"about:blank","title":"{title}",{particulars},"code":"{code}","request_id":"$context.requestId"}}'


def _resource(construct: Construct, of_type: type[Resource]) -> Resource:
    """The CloudFormation resource of a construct, for what the construct does not offer."""
    resource = construct.node.default_child
    if not isinstance(resource, of_type):
        raise TypeError(f"{construct.node.path} is not one {of_type.__name__}")
    return resource
