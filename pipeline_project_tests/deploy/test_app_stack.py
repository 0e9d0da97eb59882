"""The REST API on AWS: what its firewall refuses, how much it admits, and who may call its function."""

import json
from typing import Any

import pytest

from deploy import environments
from deploy.review import text
from pipeline_project.settings import Settings
from pipeline_project_tests.fix_stacks import Synthesis, Template

pytestmark = pytest.mark.slow

NAMES = environments.NAMES
FIREWALLS = ("staging", "prod")
GATEWAY_SECONDS = 29
"""API Gateway waits no longer for a function."""


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def app(synthesis: Synthesis, name: str) -> Template:
    return synthesis.environment(name)["app"]


def rules(app: Template) -> dict[str, dict[str, Any]]:
    """The firewall's rules by name, in the order in which they are tried."""
    _, firewall = app.one("AWS::WAFv2::WebACL")
    tried = sorted(firewall["Rules"], key=lambda rule: rule["Priority"])
    assert len({rule["Priority"] for rule in tried}) == len(tried)
    return {rule["Name"]: rule for rule in tried}


# ---- firewall


def test_dev_alone_has_no_firewall(app: Template, name: str) -> None:
    assert bool(app.any("AWS::WAFv2::WebACL")) is (name in FIREWALLS)


@pytest.mark.parametrize("protected", FIREWALLS)
def test_the_firewall_blocks_an_address_that_sends_too_much(synthesis: Synthesis, protected: str) -> None:
    found = rules(synthesis.environment(protected)["app"])
    assert next(iter(found)) == "Flood", "it is cheap: it comes first"
    flood = found["Flood"]
    assert flood["Action"] == {"Block": {}}
    assert "OverrideAction" not in flood
    assert flood["Statement"] == {"RateBasedStatement": {"AggregateKeyType": "IP", "Limit": 10_000}}


@pytest.mark.parametrize("protected", FIREWALLS)
def test_the_firewall_does_what_the_rules_of_aws_say(synthesis: Synthesis, protected: str) -> None:
    """`OverrideAction` count, or an override of single rules, would only count attacks."""
    managed = {name: rule for name, rule in rules(synthesis.environment(protected)["app"]).items() if name != "Flood"}
    assert set(managed) == {
        "AWSManagedRulesCommonRuleSet",
        "AWSManagedRulesKnownBadInputsRuleSet",
        "AWSManagedRulesAmazonIpReputationList",
    }
    for name, rule in managed.items():
        assert rule["OverrideAction"] == {"None": {}}
        group = rule["Statement"]["ManagedRuleGroupStatement"]
        assert (group["VendorName"], group["Name"]) == ("AWS", name)
        assert not {"ExcludedRules", "ScopeDownStatement", "Version"} & group.keys()
        only_counted = [each["Name"] for each in group.get("RuleActionOverrides", [])]
        # A query may be longer than 8 KB; the function bounds it.
        assert only_counted == (["SizeRestrictions_BODY"] if name == "AWSManagedRulesCommonRuleSet" else [])
        assert all(each["ActionToUse"] == {"Count": {}} for each in group.get("RuleActionOverrides", []))


@pytest.mark.parametrize("protected", FIREWALLS)
def test_the_firewall_is_in_front_of_the_stage_and_admits_the_rest(synthesis: Synthesis, protected: str) -> None:
    app = synthesis.environment(protected)["app"]
    logical_id, firewall = app.one("AWS::WAFv2::WebACL")
    assert firewall["DefaultAction"] == {"Allow": {}}
    assert firewall["Scope"] == "REGIONAL"
    _, association = app.one("AWS::WAFv2::WebACLAssociation")
    assert association["WebACLArn"] == {"Fn::GetAtt": [logical_id, "Arn"]}
    assert text(association["ResourceArn"]).endswith("/restapis/<Api>/stages/<ApiDeploymentStagev1>")


@pytest.mark.parametrize("protected", FIREWALLS)
def test_what_the_firewall_does_is_logged_without_keys(synthesis: Synthesis, protected: str) -> None:
    app = synthesis.environment(protected)["app"]
    logical_id, firewall = app.one("AWS::WAFv2::WebACL")
    for each in (firewall, *firewall["Rules"]):
        seen = each["VisibilityConfig"]
        assert seen["CloudWatchMetricsEnabled"] is seen["SampledRequestsEnabled"] is True
    metrics = [each["VisibilityConfig"]["MetricName"] for each in (firewall, *firewall["Rules"])]
    assert len(set(metrics)) == len(metrics)
    _, logging = app.one("AWS::WAFv2::LoggingConfiguration")
    assert logging["ResourceArn"] == {"Fn::GetAtt": [logical_id, "Arn"]}
    assert logging["RedactedFields"] == [{"SingleHeader": {"Name": each}} for each in ("authorization", "x-api-key")]
    _, group = app.one("AWS::Logs::LogGroup", "FirewallLogs")
    assert group["LogGroupName"] == f"aws-waf-logs-pipeline-{protected}", "WAF writes to no group of another name"


# ---- bounds


def test_the_gateway_admits_the_rate_of_the_settings_and_twice_that_at_once(app: Template, name: str) -> None:
    rate = environments.load(name).api.requests_per_second
    _, stage = app.one("AWS::ApiGateway::Stage")
    (method,) = stage["MethodSettings"]
    assert (method["ResourcePath"], method["HttpMethod"]) == ("/*", "*")
    assert (method["ThrottlingRateLimit"], method["ThrottlingBurstLimit"]) == (rate, 2 * rate)
    assert (method["LoggingLevel"], method["MetricsEnabled"]) == ("ERROR", True)
    assert stage["TracingEnabled"] is environments.load(name).traces


def test_the_plan_and_its_first_key_belong_to_the_stage(app: Template) -> None:
    plan_id, plan = app.one("AWS::ApiGateway::UsagePlan")
    stage_id, _ = app.one("AWS::ApiGateway::Stage")
    assert [each["Stage"] for each in plan["ApiStages"]] == [{"Ref": stage_id}]
    key_id, key = app.one("AWS::ApiGateway::ApiKey")
    assert key["Enabled"] is True
    assert "Value" not in key, "a key in a template is no secret"
    _, member = app.one("AWS::ApiGateway::UsagePlanKey")
    assert (member["KeyId"], member["UsagePlanId"]) == ({"Ref": key_id}, {"Ref": plan_id})


def test_the_function_has_the_concurrency_that_is_reserved_for_it(app: Template, name: str) -> None:
    _, function = app.one("AWS::Lambda::Function", "ApiFunction")
    assert function.get("ReservedConcurrentExecutions") == environments.load(name).api.concurrency


def test_prod_reserves_concurrency_that_the_database_can_bear(synthesis: Synthesis) -> None:
    stacks = synthesis.environment("prod")
    _, function = stacks["app"].one("AWS::Lambda::Function", "ApiFunction")
    _, connections = stacks["monitoring"].one("AWS::CloudWatch::Alarm", "DatabaseConnectionsAlarm")
    assert 0 < function["ReservedConcurrentExecutions"] < connections["Threshold"] / 2


def test_the_function_answers_before_the_gateway_gives_up(app: Template) -> None:
    _, function = app.one("AWS::Lambda::Function", "ApiFunction")
    variables = {key: text(value) for key, value in function["Environment"]["Variables"].items()}
    query = Settings.load(variables).query_timeout_seconds
    assert query < function["Timeout"] <= GATEWAY_SECONDS, "a query that is too slow is answered as a problem"
    assert GATEWAY_SECONDS - query >= 3
    assert function["MemorySize"] == 512


def test_the_function_traces_where_the_settings_ask_for_it(app: Template, name: str) -> None:
    _, function = app.one("AWS::Lambda::Function", "ApiFunction")
    traces = environments.load(name).traces
    assert function.get("TracingConfig") == ({"Mode": "Active"} if traces else None)
    assert function["Environment"]["Variables"]["PIPELINE_TRACES"] == ("x-ray" if traces else "none")


def test_only_this_api_calls_the_function(app: Template) -> None:
    permissions = list(app.all("AWS::Lambda::Permission").values())
    assert permissions
    for each in permissions:
        assert (each["Action"], each["Principal"]) == ("lambda:InvokeFunction", "apigateway.amazonaws.com")
        assert ":<AWS::AccountId>:<Api>/<ApiDeploymentStagev1>/" in text(each["SourceArn"])


# ---- errors of the gateway


def test_errors_of_the_gateway_have_the_status_and_the_pause_that_callers_need(app: Template) -> None:
    answers = {each["ResponseType"]: each for each in app.all("AWS::ApiGateway::GatewayResponse").values()}
    pauses = {
        kind: answer["ResponseParameters"]["gatewayresponse.header.Retry-After"]
        for kind, answer in answers.items()
        if "gatewayresponse.header.Retry-After" in answer["ResponseParameters"]
    }
    unavailable = (
        "API_CONFIGURATION_ERROR",
        "AUTHORIZER_CONFIGURATION_ERROR",
        "AUTHORIZER_FAILURE",
        "DEFAULT_5XX",
        "INTEGRATION_FAILURE",
    )
    assert pauses == {
        "THROTTLED": "'1'",
        "QUOTA_EXCEEDED": "'3600'",
        "INTEGRATION_TIMEOUT": "'5'",
        **dict.fromkeys(unavailable, "'2'"),
    }
    statuses = {kind: answer["StatusCode"] for kind, answer in answers.items()}
    # A caller that the gateway cannot name is told so. On the open local API the same error means an unknown path.
    assert statuses["MISSING_AUTHENTICATION_TOKEN"] == statuses["UNAUTHORIZED"] == "401"
    assert (statuses["INTEGRATION_TIMEOUT"], statuses["INTEGRATION_FAILURE"]) == ("504", "503")
    assert statuses["WAF_FILTERED"] == statuses["INVALID_API_KEY"] == "403"
    for answer in answers.values():
        problem = json.loads(answer["ResponseTemplates"]["application/json"])
        assert problem["status"] == int(answer["StatusCode"])
        assert problem["request_id"] == "$context.requestId"
        headers = answer["ResponseParameters"]
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
