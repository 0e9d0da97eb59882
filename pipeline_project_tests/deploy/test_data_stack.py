"""The stack that holds data: what is kept for how long, who reads it, and with which passwords."""

import json
import string
from typing import Any
from urllib.parse import unquote_plus, urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

from deploy import environments
from deploy.review import text
from pipeline_project.jobs import cache
from pipeline_project_tests.fix_stacks import Synthesis, Template, refuses_plain_http, statements

pytestmark = pytest.mark.slow

NAMES = environments.NAMES
DAY = 24 * 60 * 60
MISREAD = " %+~`#$&*()|[]{}:;<>?!'/@\"\\"
"""What URLs, shells, connection strings or RDS take for something else than a part of a password."""
BUCKETS = ("AccessLogsBucket", "ComputeLogsBucket", "LandingBucket", "ResultsBucket")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def data(synthesis: Synthesis, name: str) -> Template:
    return synthesis.environment(name)["data"]


def bucket_rules(data: Template, bucket: str) -> list[dict[str, Any]]:
    """The lifecycle rules of a bucket, without their names."""
    rules = data.one("AWS::S3::Bucket", bucket)[1]["LifecycleConfiguration"]["Rules"]
    assert all(rule.pop("Status") == "Enabled" for rule in rules)
    return [{key: value for key, value in rule.items() if key != "Id"} for rule in rules]


# ---- buckets


def test_landed_files_are_never_deleted(data: Template) -> None:
    """A replay reads each version that the ledger names, however old it is."""
    assert bucket_rules(data, "LandingBucket") == [
        {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
        # Read at once, as often as needed: other cheap classes need hours to bring a file back.
        {"Transitions": [{"StorageClass": "INTELLIGENT_TIERING", "TransitionInDays": 30}]},
    ]


def test_results_are_deleted_after_their_jobs(data: Template, name: str) -> None:
    settings = environments.load(name)
    rules = bucket_rules(data, "ResultsBucket")
    expiring = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}
    assert expiring == {"jobs/": settings.job_result_days, cache.PREFIX: 1}
    assert {"NoncurrentVersionExpiration": {"NoncurrentDays": 7}} in rules, "replaced results would be kept for ever"
    assert {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}} in rules
    assert len(rules) == 4


def test_pages_of_the_allowed_origins_read_results_and_nothing_else(data: Template, name: str) -> None:
    buckets = data.all("AWS::S3::Bucket").values()
    [rule] = [rule for each in buckets for rule in each.get("CorsConfiguration", {}).get("CorsRules", [])]
    assert rule["AllowedOrigins"] == environments.load(name).api.allowed_origins
    assert rule["AllowedMethods"] == ["GET", "HEAD"]


@pytest.mark.parametrize("bucket", ["AccessLogsBucket", "ComputeLogsBucket"])
def test_logs_in_buckets_are_kept_as_long_as_other_logs(data: Template, name: str, bucket: str) -> None:
    assert bucket_rules(data, bucket) == [
        {
            "ExpirationInDays": environments.load(name).log_retention_days,
            "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        }
    ]


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_belongs_to_the_account_alone(data: Template, bucket: str) -> None:
    logical_id, found = data.one("AWS::S3::Bucket", bucket)
    assert found["PublicAccessBlockConfiguration"] == dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    assert found["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (encryption,) = found["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (policy,) = [p for p in data.all("AWS::S3::BucketPolicy").values() if p["Bucket"] == {"Ref": logical_id}]
    refused = [each["Condition"] for each in statements(policy) if each["Effect"] == "Deny"]
    assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in refused
    for allowed in (each for each in statements(policy) if each["Effect"] == "Allow"):
        assert bucket == "AccessLogsBucket"
        assert allowed["Principal"] == {"Service": "logging.s3.amazonaws.com"}
        assert allowed["Action"] == "s3:PutObject"


def test_each_bucket_logs_its_requests_below_a_name_of_its_own(data: Template) -> None:
    prefixes = {
        bucket: data.one("AWS::S3::Bucket", bucket)[1]["LoggingConfiguration"]["LogFilePrefix"]
        for bucket in BUCKETS
        if bucket != "AccessLogsBucket"
    }
    assert prefixes == {
        "ComputeLogsBucket": "compute-logs/",
        "LandingBucket": "landing/",
        "ResultsBucket": "results/",
    }


# ---- queues, table, topic


def test_a_landing_event_is_not_lost(data: Template) -> None:
    dead_letters_id, dead_letters = data.one("AWS::SQS::Queue", "LandingDeadLetterQueue")
    queue_id, queue = data.one("AWS::SQS::Queue", "LandingQueue")
    _, bucket = data.one("AWS::S3::Bucket", "LandingBucket")
    assert bucket["NotificationConfiguration"] == {
        "QueueConfigurations": [{"Event": "s3:ObjectCreated:*", "Queue": {"Fn::GetAtt": [queue_id, "Arn"]}}]
    }
    # The age of a message counts from its upload in both queues: a shorter time there deletes what just came there.
    assert queue["MessageRetentionPeriod"] == dead_letters["MessageRetentionPeriod"] == 14 * DAY
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": [dead_letters_id, "Arn"]}
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 5
    assert "RedrivePolicy" not in dead_letters


def test_a_received_event_stays_hidden_until_the_ledger_has_it(synthesis: Synthesis, name: str) -> None:
    stacks = synthesis.environment(name)
    _, queue = stacks["data"].one("AWS::SQS::Queue", "LandingQueue")
    polling = queue["ReceiveMessageWaitTimeSeconds"]
    assert polling == 20, "the longest that SQS takes: fewer empty calls"
    # A sensor takes messages for a few seconds, commits, and deletes. A shorter time gives them to the next tick too.
    assert 4 * polling <= queue["VisibilityTimeout"] == 120
    _, age = stacks["monitoring"].one("AWS::CloudWatch::Alarm", "LandingAgeAlarm")
    attempts = queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"]
    assert attempts < age["Threshold"], "an event that always fails is a dead letter first, and only that"


@pytest.mark.parametrize("queue", ["LandingQueue", "LandingDeadLetterQueue"])
def test_queues_refuse_plain_http(data: Template, queue: str) -> None:
    logical_id, found = data.one("AWS::SQS::Queue", queue)
    assert found["SqsManagedSseEnabled"] is True
    (policy,) = [p for p in data.all("AWS::SQS::QueuePolicy").values() if p["Queues"] == [{"Ref": logical_id}]]
    assert refuses_plain_http(policy)


def test_only_the_landing_bucket_sends_to_the_queue(data: Template) -> None:
    logical_id, _ = data.one("AWS::SQS::Queue", "LandingQueue")
    allowed = [
        each
        for policy in data.all("AWS::SQS::QueuePolicy").values()
        for each in statements(policy)
        if each["Effect"] == "Allow"
    ]
    (sender,) = allowed
    assert sender["Principal"] == {"Service": "s3.amazonaws.com"}
    assert sender["Action"] == "sqs:SendMessage"
    assert sender["Resource"] == {"Fn::GetAtt": [logical_id, "Arn"]}
    assert sender["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    source = text(sender["Condition"]["ArnLike"]["aws:SourceArn"])
    assert source == "arn:<AWS::Partition>:s3:::<AWS::StackName>-landingbucket*"


def test_the_table_grows_by_itself_and_is_found_by_time_and_state(data: Template) -> None:
    logical_id, table = data.one("AWS::DynamoDB::Table")
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert data.deletion(logical_id) == "Retain"

    def key(schema: list[dict[str, str]]) -> list[str]:
        return [each["AttributeName"] for each in sorted(schema, key=lambda each: each["KeyType"])]

    assert key(table["KeySchema"]) == ["pk", "sk"]
    indexes = {each["IndexName"]: each for each in table["GlobalSecondaryIndexes"]}
    assert {index: key(each["KeySchema"]) for index, each in indexes.items()} == {
        "by_time": ["gsi1pk", "gsi1sk"],
        "by_state": ["gsi2pk", "gsi2sk"],
    }
    assert all(each["Projection"] == {"ProjectionType": "ALL"} for each in indexes.values())


def test_the_events_topic_is_encrypted(data: Template) -> None:
    _, topic = data.one("AWS::SNS::Topic", "EventsTopic")
    assert text(topic["KmsMasterKeyId"]).endswith(":alias/aws/sns")
    _, policy = data.one("AWS::SNS::TopicPolicy")
    assert refuses_plain_http(policy)
    assert not [each for each in statements(policy) if each["Effect"] == "Allow"], "only roles of this account publish"


# ---- database


def test_the_database_and_its_insights_are_encrypted_with_a_key_of_the_customer(data: Template) -> None:
    key_id, key = data.one("AWS::KMS::Key")
    _, database = data.one("AWS::RDS::DBInstance")
    key_arn = {"Fn::GetAtt": [key_id, "Arn"]}
    assert database["KmsKeyId"] == database["PerformanceInsightsKMSKeyId"] == key_arn
    assert key["EnableKeyRotation"] is True
    # Without the key no backup can be read.
    assert data.deletion(key_id) == "Retain"
    assert key.get("PendingWindowInDays", 30) == 30


def test_the_database_has_the_size_and_hours_of_its_settings(data: Template, name: str) -> None:
    settings = environments.load(name).database
    _, database = data.one("AWS::RDS::DBInstance")
    assert database["DBInstanceClass"] == f"db.{settings.instance}"
    assert database["AllocatedStorage"] == str(settings.storage_gib)
    assert database["StorageType"] == "gp3"
    assert database["DBInstanceIdentifier"] == f"pipeline-{name}", "logs and the runbook name it"
    assert database["Port"] in (5432, "5432")
    assert database["CopyTagsToSnapshot"] is True
    assert database["AutoMinorVersionUpgrade"] is True
    backup_ends = database["PreferredBackupWindow"].partition("-")[2]
    day, _, maintenance = database["PreferredMaintenanceWindow"].partition(":")
    assert day == "sun"
    assert backup_ends <= maintenance[:5], "a backup comes before what may break"
    (group,) = database["VPCSecurityGroups"]
    assert text(group) == "<DatabaseGroup.GroupId>"


def test_the_database_ends_what_would_fill_or_block_it(data: Template) -> None:
    _, group = data.one("AWS::RDS::DBParameterGroup")
    parameters = group["Parameters"]
    assert int(parameters["idle_in_transaction_session_timeout"]) == 10 * 60 * 1_000
    assert parameters["log_parameter_max_length_on_error"] == "0", "values can be data"
    assert parameters["log_lock_waits"] == "1"
    assert int(parameters["log_min_duration_statement"]) == 2_000
    assert int(parameters["log_temp_files"]) == 1024**2, "in kilobytes"
    assert parameters["track_io_timing"] == "1"
    assert "pg_stat_statements" in parameters["shared_preload_libraries"].split(",")


def test_the_stack_of_a_protected_database_cannot_be_deleted(synthesis: Synthesis, name: str) -> None:
    manifest = json.loads((synthesis.folder / name / "manifest.json").read_text("utf-8"))["artifacts"]
    protected = {
        stack.rpartition("-")[2]
        for stack, each in manifest.items()
        if each["type"] == "aws:cloudformation:stack" and each["properties"].get("terminationProtection")
    }
    assert protected == ({"data"} if environments.load(name).database.deletion_protection else set())


# ---- passwords


def test_no_password_holds_what_a_url_a_shell_or_a_connection_string_misreads(data: Template) -> None:
    generators = [each["GenerateSecretString"] for each in data.all("AWS::SecretsManager::Secret").values()]
    generators += [each["HostedRotationLambda"] for each in data.all("AWS::SecretsManager::RotationSchedule").values()]
    assert len(generators) == 10, "each role's first password, and those that follow"
    for each in generators:
        excluded = set(each["ExcludeCharacters"])
        assert set(MISREAD) <= excluded
        left = [c for c in string.ascii_letters + string.digits + string.punctuation + " " if c not in excluded]
        assert set(string.ascii_letters + string.digits) <= set(left)
        for character in left:
            password = f"{character}a{character}1{character}"
            url = f"postgresql://user:{password}@host:5432/name"
            assert unquote_plus(urlsplit(url).password or "") == password
            assert conninfo_to_dict(url)["password"] == password
            assert conninfo_to_dict(f"host=host password={password} user=user")["password"] == password


def test_passwords_are_long_and_of_all_kinds_of_characters(data: Template) -> None:
    weaker = {"ExcludeLowercase", "ExcludeUppercase", "ExcludeNumbers", "ExcludePunctuation", "IncludeSpace"}
    for secret in data.all("AWS::SecretsManager::Secret").values():
        generated = secret["GenerateSecretString"]
        assert generated["PasswordLength"] >= 32
        assert not [each for each in weaker if generated.get(each)]
        assert generated.get("RequireEachIncludedType", True) is True


def test_passwords_change_inside_of_the_network(data: Template, name: str) -> None:
    days = environments.load(name).database.rotation_days
    functions = set()
    for rotation in data.all("AWS::SecretsManager::RotationSchedule").values():
        assert rotation["RotationRules"] == {"ScheduleExpression": f"rate({days} days)"}
        function = rotation["HostedRotationLambda"]
        assert text(function["VpcSecurityGroupIds"]) == "<RotationGroup.GroupId>"
        assert text(function["VpcSubnetIds"]).count("Subnet") >= 2
        functions.add(function["RotationLambdaName"])
    roles = ("admin", "owner", "loader", "reader", "dagster")
    assert functions == {f"pipeline-{name}-rotate-{role}" for role in roles}


def test_the_database_connects_as_the_administrator_of_its_secret(data: Template) -> None:
    _, database = data.one("AWS::RDS::DBInstance")
    for field in ("username", "password"):
        stored = text(database[f"MasterUser{'name' if field == 'username' else 'Password'}"])
        assert stored == f"{{{{resolve:secretsmanager:<AdminSecret>:SecretString:{field}::}}}}"
