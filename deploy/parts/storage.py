"""What holds data beside the database: landing bucket and its queue, results bucket, table. The same on AWS and locally."""

# CDK's classes name the parameters of their methods otherwise than the interfaces they implement do.
# pyright: reportArgumentType=false

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deploy.parts.resources import resource

LANDING_ATTEMPTS = 5
LANDING_VISIBILITY = cdk.Duration.seconds(120)
JOB_RESULTS_PREFIX = "jobs/"
CACHED_ANSWERS_PREFIX = "cache/"


def private_bucket(
    scope: Construct,
    name: str,
    *,
    access_logs: s3.IBucket | None,
    access_logs_prefix: str,
    lifecycle_rules: list[s3.LifecycleRule],
    cors: list[s3.CorsRule] | None = None,
) -> s3.Bucket:
    """A bucket as all of them are: versioned, encrypted, over TLS only, the account's alone, kept when its stack goes."""
    return s3.Bucket(
        scope,
        name,
        versioned=True,
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        removal_policy=cdk.RemovalPolicy.RETAIN,
        server_access_logs_bucket=access_logs,
        server_access_logs_prefix=access_logs_prefix if access_logs else None,
        lifecycle_rules=lifecycle_rules,
        cors=cors,
    )


class Storage:
    """Its resources are direct children of the stack, so that their names are alike wherever it is used.

    The queue is here and not beside its consumer: the bucket names it, and messages are data. `access_logs` is where S3
    writes who read and wrote; an emulator has no need of it. Pages of `allowed_origins` may read results by presigned links.
    """

    def __init__(
        self,
        stack: cdk.Stack,
        *,
        job_result_days: int,
        allowed_origins: Sequence[str],
        access_logs: s3.IBucket | None = None,
    ) -> None:
        self._stack = stack
        self._access_logs = access_logs
        self.landing_queue, self.dead_letter_queue = self._queues()
        self.landing_bucket = self._landing_bucket()
        self.job_result_days = job_result_days
        self.results_bucket = self._results_bucket(job_result_days, list(allowed_origins))
        self.table = self._table()

    def _queues(self) -> tuple[sqs.Queue, sqs.Queue]:
        stack = self._stack
        dead_letters = sqs.Queue(
            stack,
            "LandingDeadLetterQueue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(14),
        )
        queue = sqs.Queue(
            stack,
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
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    "ArnLike": {"aws:SourceArn": f"arn:{stack.partition}:s3:::{cdk.Aws.STACK_NAME}-landingbucket*"},
                },
            )
        )
        return queue, dead_letters

    def _landing_bucket(self) -> s3.Bucket:
        bucket = private_bucket(
            self._stack,
            "LandingBucket",
            access_logs=self._access_logs,
            access_logs_prefix="landing/",
            lifecycle_rules=[
                s3.LifecycleRule(id="incomplete-uploads", abort_incomplete_multipart_upload_after=cdk.Duration.days(7)),
                # Nothing is expired, older versions included: the ledger names each by its version, and a replay reads it.
                s3.LifecycleRule(
                    id="rarely-read",
                    transitions=[
                        s3.Transition(
                            storage_class=s3.StorageClass.INTELLIGENT_TIERING,
                            transition_after=cdk.Duration.days(30),
                        )
                    ],
                ),
            ],
        )
        cfn_bucket = resource(bucket, s3.CfnBucket)
        # On the bucket itself rather than `add_event_notification`: that needs a function of CDK's own with the right
        # to change the notifications of every bucket.
        cfn_bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(event="s3:ObjectCreated:*", queue=self.landing_queue.queue_arn)
            ]
        )
        cfn_bucket.node.add_dependency(self.landing_queue.node.find_child("Policy"))
        return bucket

    def _results_bucket(self, job_result_days: int, allowed_origins: list[str]) -> s3.Bucket:
        return private_bucket(
            self._stack,
            "ResultsBucket",
            access_logs=self._access_logs,
            access_logs_prefix="results/",
            # The link is what admits a reader. The rule lets a browser hand the file to a page that has the link.
            cors=[
                s3.CorsRule(
                    allowed_methods=[s3.HttpMethods.GET, s3.HttpMethods.HEAD],
                    allowed_origins=allowed_origins,
                    allowed_headers=["*"],
                    exposed_headers=["Accept-Ranges", "Content-Disposition", "Content-Range", "ETag"],
                    max_age=3_600,
                )
            ]
            if allowed_origins
            else None,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="job-results", prefix=JOB_RESULTS_PREFIX, expiration=cdk.Duration.days(job_result_days)
                ),
                s3.LifecycleRule(id="cached-answers", prefix=CACHED_ANSWERS_PREFIX, expiration=cdk.Duration.days(1)),
                # Results can be computed again: what was replaced or deleted is kept for as long as a mistake takes to show.
                s3.LifecycleRule(id="replaced", noncurrent_version_expiration=cdk.Duration.days(7)),
                s3.LifecycleRule(id="incomplete-uploads", abort_incomplete_multipart_upload_after=cdk.Duration.days(1)),
            ],
        )

    def _table(self) -> dynamodb.Table:
        def key(name: str) -> dynamodb.Attribute:
            return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)

        table = dynamodb.Table(
            self._stack,
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
