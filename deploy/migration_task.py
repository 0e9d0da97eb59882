"""The function behind the migration's stack: runs the one-off ECS task and waits until it has succeeded, so that what comes
after is not touched before the schema is its own; if it fails, the deployment ends with what the task has said last.

It runs in Lambda from this very text (4,096 characters at most) with nothing but boto3: no imports from here.
"""

import json

import boto3
import urllib3
from botocore.exceptions import WaiterError

POLL_SECONDS = 6
# The function may take 15 minutes; deploy/README.md has what to do about a longer migration.
POLLS = 140
LAST_LINES = 5
MOST_SAID = 600
"""CloudFormation takes an answer of 4,096 bytes, and a character may need six."""


def handler(event, _):
    """Answers CloudFormation's custom resource request."""
    reason = ""
    try:
        if event["RequestType"] != "Delete":
            reason = migrate(boto3.client("ecs"), boto3.client("logs"), event["ResourceProperties"])
    except Exception as error:  # without an answer CloudFormation would wait for an hour
        reason = f"{type(error).__name__}: {error}"
    respond(event, reason)


def migrate(ecs, logs, properties, poll_seconds=POLL_SECONDS):
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
    said = last_lines(logs, properties["LogGroup"], task["tasks"][0])
    return f"The migration failed (exit status {codes[0]}, {stopped.get('stoppedReason')}): {said}"


def last_lines(logs, group, task):
    """Here, since a first deployment that fails takes the log with it."""
    stream = "migration/migration/" + task.rpartition("/")[2]
    try:
        events = logs.get_log_events(logGroupName=group, logStreamName=stream, limit=LAST_LINES)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return "it has said nothing"
    return " ".join(message(event["message"]) for event in events)[-MOST_SAID:]


def message(line):
    """Of a line of JSON without the rest, above all without the trace."""
    try:
        return json.loads(line)["message"]
    except (ValueError, TypeError, KeyError):
        return line


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
