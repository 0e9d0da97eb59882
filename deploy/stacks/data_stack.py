"""Everything that holds data: PostgreSQL with the passwords of its roles, and the buckets, queue and table of `Storage`; and
the events topic with those who have subscribed to it.

It is kept when the stack is deleted, and changes seldom; what may be made anew at any time is in the other stacks.
"""

# pyright: reportArgumentType=false

import json

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager

from deploy.environments import Environment
from deploy.parts.log_groups import log_group
from deploy.parts.resources import resource
from deploy.parts.storage import Storage, private_bucket
from deploy.parts.topics import events_topic, tell_of_trouble
from deploy.stacks.network_stack import ISOLATED, POSTGRES_PORT, NetworkStack

DATABASE = "pipeline"
DAGSTER_DATABASE = "dagster"
# Role → user and database. `pipeline migrate` makes the users and gives each the password of its secret; the
# administrator is made by RDS.
ROLES = {
    "admin": ("pipeline_admin", "postgres"),
    "owner": ("pipeline_owner", DATABASE),
    "loader": ("pipeline_loader", DATABASE),
    "reader": ("pipeline_reader", DATABASE),
    "dagster": ("dagster", DAGSTER_DATABASE),
}
# What URLs, shells and connection strings would take for something else.
EXCLUDED_FROM_PASSWORDS = " %+~`#$&*()|[]{}:;<>?!'/@\"\\"
KIB_PER_GIB = 1024 * 1024
INSIGHTS = {
    7: (rds.DatabaseInsightsMode.STANDARD, rds.PerformanceInsightRetention.DEFAULT),
    465: (rds.DatabaseInsightsMode.ADVANCED, rds.PerformanceInsightRetention.MONTHS_15),
}
LOGS = ("postgresql", "upgrade")
# A slower statement is left in the log.
SLOW_MILLISECONDS = 2_000


class DataStack(cdk.Stack):
    """`secrets` by role: admin, owner, loader, reader, dagster; each is {"engine", "host", "port", "dbname", "username",
    "password", "sslmode"}. `variables` are the settings that lead a task to all this.
    The stack's name must be lower case: the queue's policy knows the landing bucket by it.
    """

    def __init__(
        self,
        scope: cdk.App,
        construct_id: str,
        *,
        environment: Environment,
        env: cdk.Environment,
        network: NetworkStack,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            env=env,
            description="Data pipeline: database, buckets, queue and table.",
            termination_protection=environment.database.deletion_protection,
        )
        self._environment = environment
        self._network = network
        access_logs = self._log_bucket("AccessLogsBucket", None)
        self.storage = Storage(
            self,
            job_result_days=environment.job_result_days,
            allowed_origins=environment.api.allowed_origins,
            access_logs=access_logs,
        )
        self.compute_logs_bucket = self._log_bucket("ComputeLogsBucket", access_logs)
        self.events_topic = events_topic(self)
        tell_of_trouble(self.events_topic, environment.monitoring.event_emails)
        unattached = {role: self._secret(role) for role in ROLES}
        self.database = self._database(unattached["admin"])
        self.secrets = {role: self._attached(role, secret) for role, secret in unattached.items()}
        instance = resource(self.database, rds.CfnDBInstance)
        for name, value in {
            "LandingBucketName": self.storage.landing_bucket.bucket_name,
            "ResultsBucketName": self.storage.results_bucket.bucket_name,
            "DatabaseAddress": self.database.db_instance_endpoint_address,
            # What a restored database needs to take this one's place (docs/operations-runbook.md).
            "DatabaseSubnetGroupName": str(instance.db_subnet_group_name),
            "DatabaseParameterGroupName": str(instance.db_parameter_group_name),
            "AdminSecretArn": self.secrets["admin"].secret_arn,
            "EventsTopicArn": self.events_topic.topic_arn,
        }.items():
            cdk.CfnOutput(self, name, value=value)
        self.variables = {
            "PIPELINE_LANDING_BUCKET": self.storage.landing_bucket.bucket_name,
            "PIPELINE_RESULTS_BUCKET": self.storage.results_bucket.bucket_name,
            "PIPELINE_LANDING_QUEUE_URL": self.storage.landing_queue.queue_url,
            "PIPELINE_TABLE_NAME": self.storage.table.table_name,
            "PIPELINE_JOB_RETENTION_DAYS": str(self.storage.job_result_days),
            "PIPELINE_EVENTS_TOPIC_ARN": self.events_topic.topic_arn,
            "PIPELINE_LOADER_SECRET": self.secrets["loader"].secret_arn,
            "PIPELINE_READER_SECRET": self.secrets["reader"].secret_arn,
            "PIPELINE_DAGSTER_SECRET": self.secrets["dagster"].secret_arn,
        }

    def _log_bucket(self, name: str, access_logs: s3.IBucket | None) -> s3.Bucket:
        """Logs of requests to the other buckets, or what runs print: kept as long as all logs are."""
        return private_bucket(
            self,
            name,
            access_logs=access_logs,
            access_logs_prefix="compute-logs/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="old",
                    expiration=cdk.Duration.days(self._environment.log_retention_days),
                    noncurrent_version_expiration=cdk.Duration.days(7),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
                )
            ],
        )

    def _secret(self, role: str) -> secretsmanager.Secret:
        user, database = ROLES[role]
        return secretsmanager.Secret(
            self,
            f"{role.title()}Secret",
            description=f"PostgreSQL: {user} ({self._environment.name})",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps({"username": user, "dbname": database, "sslmode": "require"}),
                generate_string_key="password",
                password_length=32,
                exclude_characters=EXCLUDED_FROM_PASSWORDS,
            ),
        )

    def _attached(self, role: str, secret: secretsmanager.Secret) -> secretsmanager.ISecret:
        """The secret with the database's address in it, changed every so many days.

        Not at once: a role's first password is set by the first migration.
        """
        attached = self.database.secret if role == "admin" else secret.attach(self.database)
        if attached is None:
            raise TypeError("the database was given a secret")
        function = f"pipeline-{self._environment.name}-rotate-{role}"
        function_logs = log_group(
            self,
            f"{role.title()}RotationLogs",
            self._environment.log_retention_days,
            log_group_name=f"/aws/lambda/{function}",
        )
        rotation = attached.add_rotation_schedule(
            "Rotation",
            hosted_rotation=secretsmanager.HostedRotation.postgre_sql_single_user(
                function_name=function,
                vpc=self._network.vpc,
                vpc_subnets=ISOLATED,
                security_groups=[self._network.rotation],
                exclude_characters=EXCLUDED_FROM_PASSWORDS,
            ),
            automatically_after=cdk.Duration.days(self._environment.database.rotation_days),
            rotate_immediately_on_update=False,
        )
        rotation.node.add_dependency(function_logs)
        return attached

    def _database(self, admin: secretsmanager.Secret) -> rds.DatabaseInstance:
        sizes = self._environment.database
        key = kms.Key(
            self,
            "DatabaseKey",
            description="Encrypts the database, its backups and its insights",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        # A name of its own, by which its logs are known before it writes them, and by which a restored one takes its place
        # (docs/operations-runbook.md).
        identifier = f"pipeline-{self._environment.name}"
        written = [
            log_group(
                self,
                f"Database{name.title()}Logs",
                self._environment.log_retention_days,
                log_group_name=f"/aws/rds/instance/{identifier}/{name}",
            )
            for name in LOGS
        ]
        engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_18_3)
        mode, retention = INSIGHTS[sizes.insights_days]
        database = rds.DatabaseInstance(
            self,
            "Database",
            instance_identifier=identifier,
            engine=engine,
            instance_type=ec2.InstanceType(sizes.instance),
            # No `database_name`: the migration creates the databases, so that pipeline_owner owns them.
            credentials=rds.Credentials.from_secret(admin),
            vpc=self._network.vpc,
            vpc_subnets=ISOLATED,
            security_groups=[self._network.database],
            publicly_accessible=False,
            port=POSTGRES_PORT,
            multi_az=sizes.multi_az,
            allocated_storage=sizes.storage_gib,
            max_allocated_storage=sizes.most_storage_gib,
            storage_type=rds.StorageType.GP3,
            storage_encrypted=True,
            storage_encryption_key=key,
            parameter_group=rds.ParameterGroup(
                self,
                "DatabaseParameters",
                engine=engine,
                description=f"PostgreSQL 18 of the data pipeline ({self._environment.name})",
                parameters={
                    "rds.force_ssl": "1",
                    "rds.accepted_password_auth_method": "scram",
                    # A query (above all a reader's own) that sorts too much fails before the disk is full.
                    "temp_file_limit": str(sizes.temp_file_gib * KIB_PER_GIB),
                    "shared_preload_libraries": "pg_stat_statements",
                    "track_io_timing": "1",
                    "log_min_duration_statement": str(SLOW_MILLISECONDS),
                    # A slow statement is logged without the values it was given: they can be data.
                    "log_parameter_max_length": "0",
                    "log_parameter_max_length_on_error": "0",
                    "log_lock_waits": "1",
                    "log_temp_files": str(KIB_PER_GIB),
                    "idle_in_transaction_session_timeout": str(10 * 60 * 1000),
                },
            ),
            backup_retention=cdk.Duration.days(sizes.backup_days),
            preferred_backup_window="01:00-02:00",
            preferred_maintenance_window="sun:02:30-sun:03:30",
            auto_minor_version_upgrade=True,
            copy_tags_to_snapshot=True,
            delete_automated_backups=False,
            deletion_protection=sizes.deletion_protection,
            removal_policy=cdk.RemovalPolicy.SNAPSHOT,
            enable_performance_insights=True,
            database_insights_mode=mode,
            performance_insight_retention=retention,
            performance_insight_encryption_key=key,
            monitoring_interval=cdk.Duration.seconds(60),
            monitoring_role=iam.Role(
                self,
                "DatabaseMonitoringRole",
                assumed_by=iam.ServicePrincipal("monitoring.rds.amazonaws.com"),
                managed_policies=[
                    iam.ManagedPolicy.from_aws_managed_policy_name("service-role/AmazonRDSEnhancedMonitoringRole")
                ],
            ),
            cloudwatch_logs_exports=list(LOGS),
        )
        database.node.add_dependency(*written)
        return database
