"""The function behind the stack's migration: runs the one-off ECS task and waits until it has succeeded, so that
CloudFormation does not touch the services before the schema is theirs; if it fails, they stay as they were.

It runs in Lambda from this very text (4,096 characters at most) with nothing but boto3: no imports from here.
"""

import json

import boto3
import urllib3
from botocore.exceptions import WaiterError

POLL_SECONDS = 6
# The function may take 15 minutes; a longer migration is run by hand before the deployment (deploy/README.md).
POLLS = 140


def handler(event, _):
    """Answers CloudFormation's custom resource request."""
    reason = ""
    try:
        if event["RequestType"] != "Delete":
            reason = migrate(boto3.client("ecs"), event["ResourceProperties"])
    except Exception as error:  # without an answer CloudFormation would wait for an hour
        reason = f"{type(error).__name__}: {error}"
    respond(event, reason)


def migrate(ecs, properties, poll_seconds=POLL_SECONDS):
    """Why it failed; empty if it did not."""
    started = ecs.run_task(
        cluster=properties["Cluster"],
        taskDefinition=properties["TaskDefinition"],
        launchType="FARGATE",
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": properties["Subnets"],
                "securityGroups": properties["SecurityGroups"],
                "assignPublicIp": "DISABLED",
            }
        },
    )
    if started["failures"]:
        return f"The task did not start: {started['failures'][0].get('reason')}"
    task = {"cluster": properties["Cluster"], "tasks": [started["tasks"][0]["taskArn"]]}
    try:
        ecs.get_waiter("tasks_stopped").wait(**task, WaiterConfig={"Delay": poll_seconds, "MaxAttempts": POLLS})
    except WaiterError:
        return "The migration takes longer than a deployment may wait; it goes on. Deploy again when it has ended"
    stopped = ecs.describe_tasks(**task)["tasks"][0]
    codes = [container.get("exitCode") for container in stopped["containers"]]
    if codes == [0]:
        return ""
    return (
        f"The migration failed (exit status {codes[0]}, {stopped.get('stoppedReason')}): see {properties['LogGroup']}"
    )


def respond(event, reason):
    answer = {
        "Status": "FAILED" if reason else "SUCCESS",
        "Reason": reason or "-",
        "PhysicalResourceId": "migration",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    answered = urllib3.PoolManager().request(
        "PUT", event["ResponseURL"], body=json.dumps(answer), headers={"Content-Type": ""}, timeout=30
    )
    if answered.status >= 400:
        raise RuntimeError(f"CloudFormation did not take the answer: HTTP {answered.status}")
