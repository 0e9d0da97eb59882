"""Deploys the committed local template with plain boto3: the local stack does so at each start. No CDK is needed.

Clients are passed in; nothing here knows where they lead.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from pipeline_project.errors import Permanent

LOCAL_TEMPLATE = Path(__file__).with_name("templates") / "local.json"
# A stack that failed to be created can only be deleted.
DEAD_STATES = {"CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}


def deploy_app(
    *,
    cloudformation: Any,
    dynamodb: Any,
    s3: Any,
    stack_name: str,
    code_bucket: str,
    bundle: Path,
    parameters: Mapping[str, str],
    poll_seconds: float = 5,
) -> dict[str, str]:
    """Upload `bundle` and create or update the app stack; its outputs (`LandingBucket`, `TableName`, `ApiUrl`, …).

    `stack_name` in lower case. `parameters` are those of the template without CodeBucket and CodeKey. `code_bucket`
    must exist. Deploying the same again changes nothing. Permanent says which resource failed and why.
    """
    template = LOCAL_TEMPLATE.read_text("utf-8")
    code_key = upload_bundle(s3, code_bucket, bundle)
    outputs = deploy_stack(
        cloudformation,
        stack_name,
        template,
        {**parameters, "CodeBucket": code_bucket, "CodeKey": code_key},
        poll_seconds=poll_seconds,
    )
    _keep_time_to_live(dynamodb, outputs["TableName"], template)
    return outputs


def upload_bundle(s3: Any, bucket: str, bundle: Path) -> str:
    """Upload the bundle under a key that names its content, unless it is there already; the key."""
    content = bundle.read_bytes()
    key = f"api/{hashlib.sha256(content).hexdigest()}.zip"
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"404", "NoSuchKey", "NotFound"}:
            raise
        s3.put_object(Bucket=bucket, Key=key, Body=content)
    return key


def deploy_stack(
    cloudformation: Any, name: str, template: str, parameters: Mapping[str, str], *, poll_seconds: float
) -> dict[str, str]:
    """Create or update the stack, wait until it is done and return its outputs."""
    request = {
        "StackName": name,
        "TemplateBody": template,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in sorted(parameters.items())],
        "Capabilities": ["CAPABILITY_IAM"],
    }
    stack = _stack(cloudformation, name)
    if stack is not None and stack["StackStatus"] in DEAD_STATES:
        cloudformation.delete_stack(StackName=name)
        _wait(cloudformation, "stack_delete_complete", name, poll_seconds)
        stack = None
    if stack is None:
        cloudformation.create_stack(**request)
        _wait(cloudformation, "stack_create_complete", name, poll_seconds)
    else:
        try:
            cloudformation.update_stack(**request)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
        else:
            _wait(cloudformation, "stack_update_complete", name, poll_seconds)
    stack = _stack(cloudformation, name)
    if stack is None:
        raise Permanent(f"stack {name} vanished while it was deployed")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _stack(cloudformation: Any, name: str) -> dict[str, Any] | None:
    try:
        return cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return None


def _wait(cloudformation: Any, waiter: str, name: str, poll_seconds: float) -> None:
    try:
        cloudformation.get_waiter(waiter).wait(
            StackName=name, WaiterConfig={"Delay": poll_seconds, "MaxAttempts": int(1800 / poll_seconds)}
        )
    except WaiterError as error:
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        # Newest first: the last failure in this list is the first that happened, and the cause of the others.
        failures = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
        cause = failures[-1] if failures else events[0]
        reason = cause.get("ResourceStatusReason", cause["ResourceStatus"])
        raise Permanent(f"stack {name}: {cause['LogicalResourceId']}: {reason}") from error


def _keep_time_to_live(dynamodb: Any, table: str, template: str) -> None:
    """Turn on the table's TTL where CloudFormation did not (the emulator ignores TimeToLiveSpecification)."""
    status = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"]
    if status in {"ENABLED", "ENABLING"}:
        return
    resources = json.loads(template)["Resources"].values()
    (specification,) = (
        resource["Properties"]["TimeToLiveSpecification"]
        for resource in resources
        if resource["Type"] == "AWS::DynamoDB::Table"
    )
    dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=specification)
