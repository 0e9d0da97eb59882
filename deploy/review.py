"""What a reviewer wants to know of the stacks, as text that can be compared: what there is, what is kept, who may do what,
who may talk to whom, what raises an alarm. From synthesised templates; it needs no CDK.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# CDK's exports: `<stack>:ExportsOutput(Ref|FnGetAtt)<logical id><hash><attribute><hash>`.
EXPORT = re.compile(r"ExportsOutput(?:Ref|FnGetAtt)(?P<name>\w+?)(?:[0-9A-F]{8})(?P<attribute>[A-Z]\w*?)?[0-9A-F]{8}$")
HASH = re.compile(r"[0-9A-F]{8}$")
STACKS = ("network", "data", "migration", "app", "orchestration", "monitoring")


def review(assembly: Path) -> str:
    """The text of all stacks of one environment. `assembly` is the folder that CDK synthesised into."""
    (environment,) = {path.name.split("-")[1] for path in assembly.glob("pipeline-*.template.json")}
    parts = (
        _stack(stack, json.loads((assembly / f"pipeline-{environment}-{stack}.template.json").read_text("utf-8")))
        for stack in STACKS
    )
    return "\n".join(line for part in parts for line in part) + "\n"


def _stack(name: str, template: dict[str, Any]) -> Iterator[str]:
    resources = template["Resources"]
    yield f"=== {name}"
    for kind, number in sorted(Counter(each["Type"] for each in resources.values()).items()):
        yield f"{number:3} {kind}"
    for title, lines in (("kept", _kept), ("may", _rights), ("network", _rules), ("alarms", _alarms)):
        if found := sorted(set(lines(resources))):
            yield f"--- {title}"
            yield from found


def _kept(resources: dict[str, Any]) -> Iterator[str]:
    for logical_id, each in resources.items():
        if each.get("DeletionPolicy") in {"Retain", "Snapshot"}:
            yield f"{short(logical_id)} ({each['Type']}): {each['DeletionPolicy']}"


def _rights(resources: dict[str, Any]) -> Iterator[str]:
    for logical_id, each in resources.items():
        properties = each.get("Properties", {})
        if each["Type"] == "AWS::IAM::Policy":
            who = ", ".join(text(role) for role in properties["Roles"])
            yield from (f"{who}: {_statement(each)}" for each in properties["PolicyDocument"]["Statement"])
        elif each["Type"] == "AWS::IAM::Role":
            for policy in properties.get("ManagedPolicyArns", []):
                yield f"{short(logical_id)}: {text(policy)}"
        elif "PolicyDocument" in properties:
            for statement in properties["PolicyDocument"]["Statement"]:
                who = text(statement.get("Principal"))
                yield f"on {short(logical_id)} {who}: {_statement(statement)}"


def _statement(statement: dict[str, Any]) -> str:
    def listed(value: Any) -> str:
        return ", ".join(sorted(text(each) for each in (value if isinstance(value, list) else [value])))

    condition = f" if {text(statement['Condition'])}" if "Condition" in statement else ""
    return f"{statement['Effect']} {listed(statement['Action'])} on {listed(statement['Resource'])}{condition}"


def _rules(resources: dict[str, Any]) -> Iterator[str]:
    for logical_id, each in resources.items():
        properties = each.get("Properties", {})
        if each["Type"] == "AWS::EC2::SecurityGroup":
            for direction, at in (("SecurityGroupIngress", "from"), ("SecurityGroupEgress", "to")):
                for rule in properties.get(direction, []):
                    yield f"{short(logical_id)} {at} {_rule(rule)}"
        elif each["Type"] == "AWS::EC2::SecurityGroupIngress":
            yield f"{text(properties['GroupId'])} from {_rule(properties)}"
        elif each["Type"] == "AWS::EC2::SecurityGroupEgress":
            yield f"{text(properties['GroupId'])} to {_rule(properties)}"


def _rule(rule: dict[str, Any]) -> str:
    peers = ("CidrIp", "SourceSecurityGroupId", "DestinationSecurityGroupId")
    peer = next(text(rule[name]) for name in peers if name in rule)
    first, last = rule.get("FromPort"), rule.get("ToPort")
    ports = f"{first}-{last}" if first != last else f"{first}"
    return f"{peer}: {rule['IpProtocol']} {ports} ({rule.get('Description', '')})"


def _alarms(resources: dict[str, Any]) -> Iterator[str]:
    for logical_id, each in resources.items():
        properties = each.get("Properties", {})
        if each["Type"] == "AWS::CloudWatch::Alarm":
            sign = "<" if properties["ComparisonOperator"].startswith("Less") else ">"
            yield f"{short(logical_id)}: {properties.get('MetricName', 'expression')} {sign} {properties['Threshold']}"
        elif each["Type"] == "AWS::CloudWatch::CompositeAlarm":
            yield f"{short(logical_id)}: {text(properties['AlarmRule'])} → {text(properties['AlarmActions'])}"


def text(value: Any) -> str:
    """A value of a template with its references as `<Name>` or `<Name.Attribute>`."""
    match value:
        case {"Ref": name}:
            return f"<{short(name)}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{short(name)}.{attribute}>"
        case {"Fn::Join": [separator, parts]}:
            return separator.join(text(each) for each in parts)
        case {"Fn::ImportValue": name}:
            found = EXPORT.search(name)
            return (
                f"<{found['name']}{'.' + found['attribute'] if found['attribute'] else ''}>" if found else f"<{name}>"
            )
        case dict():
            return "{" + ", ".join(f"{key}: {text(each)}" for key, each in sorted(value.items())) + "}"
        case list():
            return "[" + ", ".join(text(each) for each in value) + "]"
    return str(value)


def short(logical_id: str) -> str:
    """Without the hash that CDK appends."""
    return HASH.sub("", logical_id)
