"""The stack that the emulator on a laptop gets: storage, topics, REST facade and alarms of the AWS stacks in one template.

What is known only there is a parameter. No network, no database, no compute: the local stack has processes for these.
"""

# CDK's classes name the parameters of their methods otherwise than the interfaces they implement do.
# pyright: reportArgumentType=false

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3

from deploy.parts.alarms import landing_alarms, rest_alarms
from deploy.parts.rest import Rest
from deploy.parts.storage import Storage
from deploy.parts.topics import alarms_topic, events_topic

LOG_RETENTION_DAYS = 14
JOB_RESULT_DAYS = 30
REQUESTS_PER_SECOND = 50


class LocalStack(cdk.Stack):
    """Its name must be lower case: the queue policy knows the landing bucket by the name derived from it."""

    def __init__(self, scope: cdk.App, construct_id: str) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Data pipeline on an emulator: landing zone and REST API.",
            # No bootstrap resources are used: the code of the function comes from a bucket given as a parameter.
            synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
        )

        def text(name: str, description: str, **options: str | list[str]) -> str:
            return cdk.CfnParameter(self, name, type="String", description=description, **options).value_as_string

        def number(name: str, description: str, default: int) -> float:
            # Zero refuses everything, which a test wants to see.
            return cdk.CfnParameter(
                self, name, type="Number", min_value=0, default=default, description=description
            ).value_as_number

        environment_name = text("EnvironmentName", "Name of the environment", default="local")
        code_bucket = text("CodeBucket", "Bucket with the function's code (python -m deploy.bundle)")
        reader_secret = text(
            "ReaderCredentials",
            "Name of the Secrets Manager secret of the database role pipeline_reader",
            default="pipeline/database/reader",
        )
        allowed_origins = text(
            "AllowedOrigins", "Origins whose pages may call the API and read results, separated by commas", default=""
        )
        # An empty text is an origin that no page has.
        origins = cdk.Fn.split(",", allowed_origins)
        storage = Storage(self, job_result_days=JOB_RESULT_DAYS, allowed_origins=origins)
        events, alarms = events_topic(self), alarms_topic(self)
        rest = Rest(
            self,
            storage=storage,
            events_topic=events,
            code=lambda_.Code.from_bucket(
                s3.Bucket.from_bucket_name(self, "Code", code_bucket),
                key=text("CodeKey", "Key of the function's code; a new key deploys new code"),
            ),
            architecture=text(
                "Architecture",
                "Instruction set that the code was bundled for",
                default="arm64",
                allowed_values=["arm64", "x86_64"],
            ),
            environment_name=environment_name,
            log_retention_days=LOG_RETENTION_DAYS,
            traces=False,
            requests_per_second=number("RequestsPerSecond", "Steady rate that the API admits", REQUESTS_PER_SECOND),
            request_burst=number("RequestBurst", "Requests that the API admits at once", REQUESTS_PER_SECOND * 2),
            reader_secret=reader_secret,
            # Secrets Manager adds a hyphen and six characters to the name.
            reader_secret_arn=(
                f"arn:{self.partition}:secretsmanager:{self.region}:{self.account}:secret:{reader_secret}-??????"
            ),
            dagster_url=text("DagsterUrl", "Address of the Dagster webserver, seen from the function", default=""),
            endpoint_url=text("AwsEndpointUrl", "Address of the emulator"),
            allowed_origins=[allowed_origins],
        )
        for each in [*landing_alarms(self, storage), *rest_alarms(self, rest)]:
            action = cloudwatch_actions.SnsAction(alarms)
            each.add_alarm_action(action)
            each.add_ok_action(action)
        for name, value in {
            "LandingBucket": storage.landing_bucket.bucket_name,
            "ResultsBucket": storage.results_bucket.bucket_name,
            "LandingQueueUrl": storage.landing_queue.queue_url,
            "LandingDeadLetterQueueUrl": storage.dead_letter_queue.queue_url,
            "TableName": storage.table.table_name,
            "EventsTopicArn": events.topic_arn,
            "AlarmsTopicArn": alarms.topic_arn,
            "ApiId": rest.api.rest_api_id,
            "ApiUrl": rest.url,
            "FunctionName": rest.function.function_name,
        }.items():
            # An output has the name of its resource, which two constructs of one stack cannot share.
            cdk.CfnOutput(self, f"{name}Output", value=value).override_logical_id(name)
