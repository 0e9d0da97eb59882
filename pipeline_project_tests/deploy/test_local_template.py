"""The local stack's committed template: what an auditor would look for, and that it is what the CDK app says."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.cloudformation import LOCAL_TEMPLATE
from pipeline_project.api.http.problems import STATUS_OF, document
from pipeline_project.client import BUSY
from pipeline_project.jobs import cache
from pipeline_project.settings import Settings

ROOT = LOCAL_TEMPLATE.parents[2]
# CDK lets the function depend on its role and on the role's policy; the first of the two is implied by the reference.
CFN_LINT = ["cfn-lint", "--ignore-checks", "W3005", "--regions", "eu-central-1", "us-east-1", "--"]

TEMPLATE: dict[str, Any] = json.loads(LOCAL_TEMPLATE.read_text("utf-8"))


def resources(resource_type: str) -> dict[str, dict[str, Any]]:
    """Properties by logical id; there is at least one."""
    found = {k: v.get("Properties", {}) for k, v in TEMPLATE["Resources"].items() if v["Type"] == resource_type}
    assert found, f"no {resource_type}"
    return found


def one(resource_type: str, prefix: str) -> tuple[str, dict[str, Any]]:
    """The one resource of the type whose logical id is `prefix` and the eight digits of CDK's hash."""
    (match,) = [
        (k, v) for k, v in resources(resource_type).items() if k.startswith(prefix) and len(k) == len(prefix) + 8
    ]
    return match


def statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    return policy["PolicyDocument"]["Statement"]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def references(value: Any) -> set[str]:
    """Logical ids that a value refers to."""
    if isinstance(value, dict):
        if "Ref" in value:
            return {value["Ref"]}
        if "Fn::GetAtt" in value:
            return {value["Fn::GetAtt"][0]}
        return set().union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def refuses_plain_http(policy: dict[str, Any]) -> bool:
    return any(
        s["Effect"] == "Deny"
        and s["Principal"] in ("*", {"AWS": "*"})
        and s["Condition"].get("Bool") == {"aws:SecureTransport": "false"}
        for s in statements(policy)
    )


@pytest.mark.slow
def test_the_committed_template_is_a_fresh_synthesis_and_clean(tmp_path: Path) -> None:
    # A process of its own gives back the 237 MB that CDK takes.
    synthesize = "import sys; from deploy.synthesize import local_template; sys.stdout.write(local_template())"
    done = subprocess.run([sys.executable, "-c", synthesize], cwd=ROOT, check=True, timeout=120, stdout=subprocess.PIPE)
    assert done.stdout == LOCAL_TEMPLATE.read_bytes(), "run python -m deploy.synthesize"
    lint = subprocess.run(
        [str(Path(sys.executable).with_name(CFN_LINT[0])), *CFN_LINT[1:], str(LOCAL_TEMPLATE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_the_template_knows_no_account_no_path_and_no_asset() -> None:
    text = LOCAL_TEMPLATE.read_text("utf-8")
    assert str(ROOT) not in text
    assert "cdk-hnb659fds" not in text, "an asset of the CDK bootstrap"
    assert "aws:cdk:path" not in text
    assert "aws:asset" not in text
    assert not [p for p in TEMPLATE["Resources"].values() if p["Type"].startswith("Custom::")]
    # CloudFormation takes this many bytes in the call itself; more would have to go through a bucket.
    assert len(text.encode()) <= 51_200


def test_physical_names_are_left_to_cloudformation() -> None:
    for name, properties in (
        ("AWS::S3::Bucket", "BucketName"),
        ("AWS::SQS::Queue", "QueueName"),
        ("AWS::DynamoDB::Table", "TableName"),
        ("AWS::SNS::Topic", "TopicName"),
        ("AWS::Lambda::Function", "FunctionName"),
        ("AWS::IAM::Role", "RoleName"),
    ):
        assert not [k for k, v in resources(name).items() if properties in v]


def test_buckets_are_private_encrypted_tls_only_and_kept() -> None:
    buckets = resources("AWS::S3::Bucket")
    assert len(buckets) == 2
    policies = {p["Bucket"]["Ref"]: p for p in resources("AWS::S3::BucketPolicy").values()}
    for name, bucket in buckets.items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert refuses_plain_http(policies[name])
        assert not [s for s in statements(policies[name]) if s["Effect"] == "Allow"]
        assert TEMPLATE["Resources"][name]["DeletionPolicy"] == "Retain"
    assert all(b["VersioningConfiguration"] == {"Status": "Enabled"} for b in buckets.values())
    landing = one("AWS::S3::Bucket", "LandingBucket")[1]["LifecycleConfiguration"]["Rules"]
    assert not [r for r in landing if "Expiration" in str(r)], "the ledger names versions that would be gone"
    lifecycle = one("AWS::S3::Bucket", "ResultsBucket")[1]["LifecycleConfiguration"]["Rules"]
    expiring = {r["Prefix"]: r["ExpirationInDays"] for r in lifecycle if "ExpirationInDays" in r}
    assert expiring.keys() == {"jobs/", cache.PREFIX}
    # A job's file comes after its record, and so goes after it.
    ((_, function),) = resources("AWS::Lambda::Function").items()
    variables = function["Environment"]["Variables"]
    assert variables["PIPELINE_JOB_RETENTION_DAYS"] == str(expiring["jobs/"])


def test_every_created_object_reaches_the_queue_and_only_the_landing_bucket_may_send() -> None:
    bucket_name, bucket = one("AWS::S3::Bucket", "LandingBucket")
    queue_name, queue = one("AWS::SQS::Queue", "LandingQueue")
    dead_letters_name, dead_letters = one("AWS::SQS::Queue", "LandingDeadLetterQueue")
    (notification,) = bucket["NotificationConfiguration"]["QueueConfigurations"]
    assert notification == {"Event": "s3:ObjectCreated:*", "Queue": {"Fn::GetAtt": [queue_name, "Arn"]}}
    assert queue["VisibilityTimeout"] == 120
    assert queue["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead_letters_name, "Arn"]},
        "maxReceiveCount": 5,
    }
    assert queue["SqsManagedSseEnabled"] is dead_letters["SqsManagedSseEnabled"] is True

    policies = {p["Queues"][0]["Ref"]: (k, p) for k, p in resources("AWS::SQS::QueuePolicy").items()}
    assert all(refuses_plain_http(policy) for _, policy in policies.values())
    policy_name, policy = policies[queue_name]
    # S3 tries to send when the notification is set: the policy must be there before the bucket.
    assert policy_name in TEMPLATE["Resources"][bucket_name]["DependsOn"]
    (allowed,) = [s for s in statements(policy) if s["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "s3.amazonaws.com"}
    assert allowed["Action"] == "sqs:SendMessage"
    assert allowed["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    parts = allowed["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Join"][1]
    source = "".join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in parts)
    assert source == "arn:<AWS::Partition>:s3:::<AWS::StackName>-landingbucket*"
    assert bucket_name.lower().startswith("landingbucket"), "the name CloudFormation derives would not match"


def test_the_table_expires_recovers_and_lists_by_time_and_state() -> None:
    ((name, table),) = resources("AWS::DynamoDB::Table").items()
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expireAt", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert TEMPLATE["Resources"][name]["DeletionPolicy"] == "Retain"
    keys = {None: table["KeySchema"], **{i["IndexName"]: i["KeySchema"] for i in table["GlobalSecondaryIndexes"]}}
    assert {index: [k["AttributeName"] for k in schema] for index, schema in keys.items()} == {
        None: ["pk", "sk"],
        "by_time": ["gsi1pk", "gsi1sk"],
        "by_state": ["gsi2pk", "gsi2sk"],
    }
    assert {a["AttributeType"] for a in table["AttributeDefinitions"]} == {"S"}


def test_the_function_is_given_settings_that_load() -> None:
    ((_, function),) = resources("AWS::Lambda::Function").items()
    assert function["Handler"] == "pipeline_project.api.handler.handler"
    assert (function["Timeout"], function["MemorySize"]) == (29, 512)
    assert function["Architectures"] == [{"Ref": "Architecture"}]
    variables = function["Environment"]["Variables"]
    known = {"PIPELINE_" + name.upper() for name in Settings.__struct_fields__}
    assert set(variables) <= known
    settings = Settings.load({name: value if isinstance(value, str) else "x" for name, value in variables.items()})
    assert settings.landing_bucket == "x"
    (log_group,) = references(function["LoggingConfig"])
    assert resources("AWS::Logs::LogGroup")[log_group]["RetentionInDays"] == 14


def test_the_function_has_no_right_it_does_not_use() -> None:
    (role,) = resources("AWS::IAM::Role").values()
    assert "ManagedPolicyArns" not in role
    (policy,) = resources("AWS::IAM::Policy").values()
    for statement in statements(policy):
        assert "*" not in as_list(statement["Resource"])
        assert not [a for a in as_list(statement["Action"]) if "*" in a]
    readable = [s["Resource"] for s in statements(policy) if "secretsmanager:GetSecretValue" in as_list(s["Action"])]
    assert [references(r) for r in readable] == [
        {"AWS::Partition", "AWS::Region", "AWS::AccountId", "ReaderCredentials"}
    ]
    touched = set().union(*(references(s["Resource"]) for s in statements(policy)))
    assert one("AWS::S3::Bucket", "LandingBucket")[0] not in touched
    assert one("AWS::SNS::Topic", "AlarmsTopic")[0] not in touched


def test_the_gateway_sends_everything_to_the_function_and_answers_its_own_errors_as_problems() -> None:
    (function,) = resources("AWS::Lambda::Function")
    (proxy,) = resources("AWS::ApiGateway::Resource").values()
    assert proxy["PathPart"] == "{proxy+}"
    methods = list(resources("AWS::ApiGateway::Method").values())
    assert [m["HttpMethod"] for m in methods] == ["ANY", "ANY"]
    assert all(m["Integration"]["Type"] == "AWS_PROXY" and function in references(m) for m in methods)
    (stage,) = resources("AWS::ApiGateway::Stage").values()
    assert stage["StageName"] == "v1"
    (method,) = stage["MethodSettings"]
    assert (method["ResourcePath"], method["HttpMethod"]) == ("/*", "*")
    assert method["ThrottlingRateLimit"] == {"Ref": "RequestsPerSecond"}
    assert TEMPLATE["Parameters"]["RequestsPerSecond"]["Default"] == 50

    errors = {r["ResponseType"]: r for r in resources("AWS::ApiGateway::GatewayResponse").values()}
    # All that API Gateway knows, but UNAUTHORIZED: nobody is asked who it is here.
    assert {kind: r["StatusCode"] for kind, r in errors.items()} == {
        "ACCESS_DENIED": "403",
        "API_CONFIGURATION_ERROR": "503",
        "AUTHORIZER_CONFIGURATION_ERROR": "503",
        "AUTHORIZER_FAILURE": "503",
        "BAD_REQUEST_BODY": "400",
        "BAD_REQUEST_PARAMETERS": "400",
        "DEFAULT_4XX": "400",
        # Lambda's throttling is a 500 of the gateway's; clients try 503 again, and never 500.
        "DEFAULT_5XX": "503",
        "EXPIRED_TOKEN": "403",
        "INTEGRATION_FAILURE": "503",
        "INTEGRATION_TIMEOUT": "504",
        "INVALID_API_KEY": "403",
        "INVALID_SIGNATURE": "403",
        "MISSING_AUTHENTICATION_TOKEN": "404",
        "QUOTA_EXCEEDED": "429",
        "REQUEST_TOO_LARGE": "413",
        "RESOURCE_NOT_FOUND": "404",
        "THROTTLED": "429",
        "UNSUPPORTED_MEDIA_TYPE": "415",
        "WAF_FILTERED": "403",
    }
    for response in errors.values():
        headers = response["ResponseParameters"]
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'"
        template = response["ResponseTemplates"]["application/json"]
        problem = json.loads(template)
        assert problem == document(problem["code"], problem["detail"], "$context.requestId")
        assert len(problem["detail"]) > 10
        assert problem["status"] == int(response["StatusCode"]) == STATUS_OF[problem["code"]]
        if problem["status"] in BUSY:
            assert int(headers["gatewayresponse.header.Retry-After"].strip("'")) > 0


def test_every_alarm_reaches_the_alarms_topic() -> None:
    topic, _ = one("AWS::SNS::Topic", "AlarmsTopic")
    alarms = resources("AWS::CloudWatch::Alarm")
    watched = {}
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        dimensions = set().union(*(references(d) for d in alarm["Dimensions"]))
        watched[alarm["MetricName"]] = (alarm["Namespace"], alarm["Threshold"], dimensions)
    queue, dead_letters = one("AWS::SQS::Queue", "LandingQueue")[0], one("AWS::SQS::Queue", "LandingDeadLetterQueue")[0]
    (function,), (stage,) = resources("AWS::Lambda::Function"), resources("AWS::ApiGateway::Stage")
    assert watched == {
        "ApproximateNumberOfMessagesVisible": ("AWS/SQS", 0, {dead_letters}),
        "ApproximateAgeOfOldestMessage": ("AWS/SQS", 900, {queue}),
        "Errors": ("AWS/Lambda", 0, {function}),
        "Throttles": ("AWS/Lambda", 0, {function}),
        "5XXError": ("AWS/ApiGateway", 0, {"AWS::StackName", stage}),
    }
    policies = [p for p in resources("AWS::SNS::TopicPolicy").values() if references(p["Topics"]) == {topic}]
    allowed = [s for s in statements(policies[0]) if s["Effect"] == "Allow"]
    assert [s["Principal"] for s in allowed] == [{"Service": "cloudwatch.amazonaws.com"}]
    assert all(refuses_plain_http(p) for p in resources("AWS::SNS::TopicPolicy").values())


def test_outputs_are_those_the_local_stack_reads() -> None:
    assert set(TEMPLATE["Outputs"]) == {
        "LandingBucket",
        "ResultsBucket",
        "LandingQueueUrl",
        "LandingDeadLetterQueueUrl",
        "TableName",
        "EventsTopicArn",
        "AlarmsTopicArn",
        "ApiId",
        "ApiUrl",
        "FunctionName",
    }


def test_pages_of_allowed_origins_may_read_results_and_nothing_else() -> None:
    _, results = one("AWS::S3::Bucket", "ResultsBucket")
    [rule] = results["CorsConfiguration"]["CorsRules"]
    assert rule["AllowedMethods"] == ["GET", "HEAD"]
    assert rule["AllowedOrigins"] == {"Fn::Split": [",", {"Ref": "AllowedOrigins"}]}
    _, landing = one("AWS::S3::Bucket", "LandingBucket")
    assert "CorsConfiguration" not in landing
