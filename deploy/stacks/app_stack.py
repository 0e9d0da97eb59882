"""What the API needs beside its data: the REST facade in front of the function, and who may call it."""

# pyright: reportArgumentType=false

import json
from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_wafv2 as wafv2

from deploy.environments import Environment
from deploy.parts.log_groups import log_group
from deploy.parts.rest import API_STAGE, Caller, Rest
from deploy.stacks.data_stack import DataStack
from deploy.stacks.network_stack import ISOLATED, NetworkStack

# What AWS looks for in requests. Not its rules against SQL: one operation takes SQL, and guards it by itself.
FIREWALL_RULES = (
    "AWSManagedRulesCommonRuleSet",
    "AWSManagedRulesKnownBadInputsRuleSet",
    "AWSManagedRulesAmazonIpReputationList",
)
# A body of more than 8 KB is no attack here: a query may be longer. The function bounds it.
ONLY_COUNTED = ("SizeRestrictions_BODY",)
REQUESTS_OF_ONE_ADDRESS = 10_000
"""Within five minutes; more, and the address is refused for a while."""


class AppStack(cdk.Stack):
    """`rest` is what the other stacks ask for."""

    def __init__(
        self,
        scope: cdk.App,
        construct_id: str,
        *,
        environment: Environment,
        env: cdk.Environment,
        network: NetworkStack,
        data: DataStack,
        code: lambda_.Code,
    ) -> None:
        super().__init__(scope, construct_id, env=env, description="Data pipeline: REST API.")
        self._environment = environment
        api = environment.api
        reader_secret = data.secrets["reader"].secret_arn
        self.rest = Rest(
            self,
            storage=data.storage,
            events_topic=data.events_topic,
            code=code,
            architecture=lambda_.Architecture.ARM_64.name,
            environment_name=environment.name,
            log_retention_days=environment.log_retention_days,
            traces=environment.traces,
            requests_per_second=api.requests_per_second,
            request_burst=api.requests_per_second * 2,
            reader_secret=reader_secret,
            reader_secret_arn=reader_secret,
            dagster_url=environment.dagster_url,
            allowed_origins=api.allowed_origins,
            caller=Caller(setting="gateway", method_options=self._caller()),
            stage_options=self._access_logs(),
            function_options={
                "vpc": network.vpc,
                "vpc_subnets": ISOLATED,
                "security_groups": [network.function],
                "reserved_concurrent_executions": api.concurrency,
            },
        )
        errors = log_group(
            self,
            "GatewayLogs",
            environment.log_retention_days,
            log_group_name=f"API-Gateway-Execution-Logs_{self.rest.api.rest_api_id}/{API_STAGE}",
        )
        self.rest.api.deployment_stage.node.add_dependency(errors)
        self.rest.role.add_to_policy(
            iam.PolicyStatement(
                sid="InTheNetwork",
                actions=[
                    "ec2:AssignPrivateIpAddresses",
                    "ec2:CreateNetworkInterface",
                    "ec2:DeleteNetworkInterface",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DescribeSubnets",
                    "ec2:UnassignPrivateIpAddresses",
                ],
                # Lambda makes the interfaces in the function's name and asks for the right to any.
                resources=["*"],
            )
        )
        if api.authentication == "api-key":
            self._keys()
        if api.firewall:
            self._firewall()
        cdk.CfnOutput(self, "ApiUrl", value=self.rest.url)

    def _caller(self) -> Mapping[str, Any]:
        """Options of every method: how the gateway finds out who calls."""
        api = self._environment.api
        if api.authentication == "api-key":
            return {"api_key_required": True}
        if api.authentication == "iam":
            return {"authorization_type": apigateway.AuthorizationType.IAM}
        pool = cognito.UserPool.from_user_pool_arn(self, "UserPool", str(api.user_pool_arn))
        return {
            "authorizer": apigateway.CognitoUserPoolsAuthorizer(self, "Tokens", cognito_user_pools=[pool]),
            "authorization_type": apigateway.AuthorizationType.COGNITO,
        }

    def _access_logs(self) -> Mapping[str, Any]:
        """One line of JSON for each request. Neither bodies nor query strings: they can be data."""
        requests = log_group(self, "AccessLogs", self._environment.log_retention_days)
        names = {
            "request_id": "requestId",
            "time": "requestTime",
            "method": "httpMethod",
            "path": "path",
            "status": "status",
            "latency_ms": "responseLatency",
            "bytes": "responseLength",
            "address": "identity.sourceIp",
            "api_key_id": "identity.apiKeyId",
            "user_arn": "identity.userArn",
            "subject": "authorizer.claims.sub",
            "gateway_error": "error.responseType",
        }
        return {
            "access_log_destination": apigateway.LogGroupLogDestination(requests),
            "access_log_format": apigateway.AccessLogFormat.custom(
                json.dumps({name: f"$context.{variable}" for name, variable in names.items()})
            ),
            "logging_level": apigateway.MethodLoggingLevel.ERROR,
            "data_trace_enabled": False,
            "metrics_enabled": True,
        }

    def _keys(self) -> None:
        """A plan and its first key. Further keys are made by the operator: they are not to lie in templates."""
        api = self._environment.api
        plan = self.rest.api.add_usage_plan(
            "Plan",
            throttle=apigateway.ThrottleSettings(
                rate_limit=api.requests_per_second, burst_limit=api.requests_per_second * 2
            ),
            quota=apigateway.QuotaSettings(limit=api.requests_per_day, period=apigateway.Period.DAY),
        )
        plan.add_api_stage(stage=self.rest.api.deployment_stage)
        key = self.rest.api.add_api_key("FirstKey", description=f"First key of the API ({self._environment.name})")
        plan.add_api_key(key)
        cdk.CfnOutput(self, "FirstApiKeyId", value=key.key_id)
        cdk.CfnOutput(self, "UsagePlanId", value=plan.usage_plan_id)

    def _firewall(self) -> None:
        def seen(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
            return wafv2.CfnWebACL.VisibilityConfigProperty(
                cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
            )

        managed = [
            wafv2.CfnWebACL.RuleProperty(
                name=name,
                priority=priority,
                statement=wafv2.CfnWebACL.StatementProperty(
                    managed_rule_group_statement=wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
                        vendor_name="AWS",
                        name=name,
                        rule_action_overrides=[
                            wafv2.CfnWebACL.RuleActionOverrideProperty(
                                name=counted, action_to_use=wafv2.CfnWebACL.RuleActionProperty(count={})
                            )
                            for counted in ONLY_COUNTED
                        ]
                        if name == "AWSManagedRulesCommonRuleSet"
                        else None,
                    )
                ),
                override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
                visibility_config=seen(name),
            )
            for priority, name in enumerate(FIREWALL_RULES, start=1)
        ]
        flood = wafv2.CfnWebACL.RuleProperty(
            name="Flood",
            priority=0,
            statement=wafv2.CfnWebACL.StatementProperty(
                rate_based_statement=wafv2.CfnWebACL.RateBasedStatementProperty(
                    aggregate_key_type="IP", limit=REQUESTS_OF_ONE_ADDRESS
                )
            ),
            action=wafv2.CfnWebACL.RuleActionProperty(block={}),
            visibility_config=seen("Flood"),
        )
        firewall = wafv2.CfnWebACL(
            self,
            "Firewall",
            scope="REGIONAL",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            rules=[flood, *managed],
            visibility_config=seen("Firewall"),
        )
        wafv2.CfnWebACLAssociation(
            self,
            "FirewallOfApi",
            resource_arn=self.rest.api.deployment_stage.stage_arn,
            web_acl_arn=firewall.attr_arn,
        )
        # WAF sends its logs to groups with this beginning only.
        refusals = log_group(
            self,
            "FirewallLogs",
            self._environment.log_retention_days,
            log_group_name=f"aws-waf-logs-pipeline-{self._environment.name}",
        )
        wafv2.CfnLoggingConfiguration(
            self,
            "FirewallLogging",
            resource_arn=firewall.attr_arn,
            log_destination_configs=[
                f"arn:{self.partition}:logs:{self.region}:{self.account}:log-group:{refusals.log_group_name}"
            ],
            redacted_fields=[
                wafv2.CfnLoggingConfiguration.FieldToMatchProperty(single_header={"Name": header})
                for header in ("authorization", "x-api-key")
            ],
        )
