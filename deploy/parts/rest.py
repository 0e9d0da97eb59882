"""The REST facade: API Gateway and its Lambda function, with the rights it uses. The same on AWS and locally.

What only AWS has (keys, firewall, access logs, network) is added by the app stack.
"""

# pyright: reportArgumentType=false

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns

from deploy.parts.log_groups import log_group
from deploy.parts.resources import resource
from deploy.parts.storage import Storage
from pipeline_project.api.http.problems import CONTENT_TYPE, STATUS_OF, document
from pipeline_project.api.http.requests import LARGEST_BODY

API_STAGE = "v1"
API_HANDLER = "pipeline_project.api.handler.handler"
# API Gateway gives up after 29 seconds: a function that goes on is paid for and heard by nobody.
API_TIMEOUT = cdk.Duration.seconds(29)

# API Gateway's own errors: what it calls them, and the codes of pipeline_project.api.http.problems. All of them: one that is left
# to the defaults at the end has their body, but may keep a status of its own.
GATEWAY_ERRORS = [
    (apigateway.ResponseType.ACCESS_DENIED, "forbidden"),
    (apigateway.ResponseType.EXPIRED_TOKEN, "forbidden"),
    (apigateway.ResponseType.INVALID_API_KEY, "forbidden"),
    (apigateway.ResponseType.INVALID_SIGNATURE, "forbidden"),
    (apigateway.ResponseType.WAF_FILTERED, "forbidden"),
    (apigateway.ResponseType.RESOURCE_NOT_FOUND, "not_found"),
    (apigateway.ResponseType.BAD_REQUEST_BODY, "bad_request"),
    (apigateway.ResponseType.BAD_REQUEST_PARAMETERS, "bad_request"),
    (apigateway.ResponseType.REQUEST_TOO_LARGE, "request_too_large"),
    (apigateway.ResponseType.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
    (apigateway.ResponseType.THROTTLED, "too_many_requests"),
    (apigateway.ResponseType.QUOTA_EXCEEDED, "quota_exceeded"),
    (apigateway.ResponseType.INTEGRATION_TIMEOUT, "timeout"),
    # The function gave no answer: Lambda refused the call (the gateway says 500 where Lambda says 429), or it died. What it
    # answers itself, errors included, goes through as it is. So a caller may come again, and `pipeline_project.client` does.
    (apigateway.ResponseType.INTEGRATION_FAILURE, "unavailable"),
    (apigateway.ResponseType.API_CONFIGURATION_ERROR, "unavailable"),
    (apigateway.ResponseType.AUTHORIZER_CONFIGURATION_ERROR, "unavailable"),
    (apigateway.ResponseType.AUTHORIZER_FAILURE, "unavailable"),
    (apigateway.ResponseType.DEFAULT_5_XX, "unavailable"),
    # Not with the status of its cause, which the body could not name.
    (apigateway.ResponseType.DEFAULT_4_XX, "bad_request"),
]
# API Gateway's own message is null for some of them, and misleading for others (Missing Authentication Token for no such path).
DETAILS = {
    "bad_request": "it did not reach the service; the header x-amzn-ErrorType says why",
    "unauthenticated": "send a signature or a token",
    "forbidden": "the key, signature or token is missing or does not suffice, or the firewall refuses the request",
    "not_found": "there is no such path; see /docs",
    "request_too_large": f"a body may have {LARGEST_BODY:,} bytes",
    "unsupported_media_type": "send application/json",
    "too_many_requests": "come back after the seconds that Retry-After names",
    "quota_exceeded": "come back after the seconds that Retry-After names",
    "timeout": "what takes this long may be asked for as a job: POST /analytics/jobs",
    "unavailable": "come back after the seconds that Retry-After names",
}
RETRY_AFTER = {"too_many_requests": 1, "quota_exceeded": 3600, "timeout": 5, "unavailable": 2}
"""Seconds. A quota is of a day; whoever has used it up need not ask every second."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who may call. Options of API Gateway's methods; nothing is asked of anybody by default."""

    setting: str = "none"
    """`PIPELINE_API_AUTHENTICATION`: whether the function refuses whom the gateway does not name."""
    method_options: Mapping[str, Any] = field(default_factory=dict)


class Rest:
    """Its resources are direct children of the stack, so that their names are alike wherever it is used."""

    def __init__(
        self,
        stack: cdk.Stack,
        *,
        storage: Storage,
        events_topic: sns.ITopic,
        code: lambda_.Code,
        architecture: str,
        environment_name: str,
        log_retention_days: int,
        traces: bool,
        requests_per_second: float,
        request_burst: float,
        reader_secret: str,
        reader_secret_arn: str,
        dagster_url: str,
        endpoint_url: str = "",
        allowed_origins: Sequence[str] = (),
        caller: Caller | None = None,
        stage_options: Mapping[str, Any] | None = None,
        function_options: Mapping[str, Any] | None = None,
    ) -> None:
        """`reader_secret` is what the function asks Secrets Manager for; `reader_secret_arn` may hold wildcards.

        `endpoint_url` is an emulator's address, empty on AWS.
        """
        self._stack = stack
        self._storage = storage
        self._reader_secret_arn = reader_secret_arn
        caller = caller or Caller()
        self.api = apigateway.RestApi(
            stack,
            "Api",
            rest_api_name=cdk.Aws.STACK_NAME,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=bool(stage_options),
            # Compressed answers come from the function, and bodies reach it byte for byte, so that it can say what is wrong.
            binary_media_types=["*/*"],
            deploy_options=apigateway.StageOptions(
                stage_name=API_STAGE,
                throttling_rate_limit=requests_per_second,
                throttling_burst_limit=request_burst,
                tracing_enabled=traces,
                **(stage_options or {}),
            ),
        )
        self.api.node.try_remove_child("Endpoint")  # an output of CDK's own; ours is right on the emulator as well
        self.url = (
            f"{endpoint_url}/_aws/execute-api/{self.api.rest_api_id}/{API_STAGE}"
            if endpoint_url
            else f"https://{self.api.rest_api_id}.execute-api.{stack.region}.{stack.url_suffix}/{API_STAGE}"
        )
        self._gateway_errors(is_open=caller.setting == "none")
        self.function = self._function(
            code=code,
            architecture=architecture,
            log_retention_days=log_retention_days,
            traces=traces,
            # Fields of pipeline_project.settings.Settings; an empty value counts as unset there.
            variables={
                "PIPELINE_ENVIRONMENT": environment_name,
                "PIPELINE_AWS_REGION": stack.region,
                "PIPELINE_AWS_ENDPOINT_URL": endpoint_url,
                "PIPELINE_LANDING_BUCKET": storage.landing_bucket.bucket_name,
                "PIPELINE_RESULTS_BUCKET": storage.results_bucket.bucket_name,
                "PIPELINE_LANDING_QUEUE_URL": storage.landing_queue.queue_url,
                "PIPELINE_TABLE_NAME": storage.table.table_name,
                "PIPELINE_JOB_RETENTION_DAYS": str(storage.job_result_days),
                "PIPELINE_EVENTS_TOPIC_ARN": events_topic.topic_arn,
                "PIPELINE_READER_SECRET": reader_secret,
                "PIPELINE_DAGSTER_URL": dagster_url,
                "PIPELINE_API_URL": self.url,
                "PIPELINE_API_ALLOWED_ORIGINS": ",".join(allowed_origins),
                "PIPELINE_API_AUTHENTICATION": caller.setting,
                "PIPELINE_TRACES": "x-ray" if traces else "none",
            },
            options=function_options or {},
        )
        self._routes(caller)

    def _gateway_errors(self, *, is_open: bool) -> None:
        # MISSING_AUTHENTICATION_TOKEN is also what API Gateway says of a path it does not know. Where somebody must be
        # named every path is known to it, and where nobody must, nothing else can be meant.
        missing = (apigateway.ResponseType.MISSING_AUTHENTICATION_TOKEN, "not_found" if is_open else "unauthenticated")
        unauthorized = [] if is_open else [(apigateway.ResponseType.UNAUTHORIZED, "unauthenticated")]
        for response_type, code in [*GATEWAY_ERRORS, missing, *unauthorized]:
            self.api.add_gateway_response(
                f"Error{response_type.response_type.title().replace('_', '')}",
                type=response_type,
                status_code=str(STATUS_OF[code]),
                response_headers={
                    # The template key must be application/json, the only one API Gateway is sure to choose.
                    "Content-Type": f"'{CONTENT_TYPE}'",
                    # Any origin may read these: they say what was wrong with a request and hold no data. Data comes
                    # from the function, which answers origins from its allow-list.
                    "Access-Control-Allow-Origin": "'*'",
                    **({"Retry-After": f"'{RETRY_AFTER[code]}'"} if code in RETRY_AFTER else {}),
                },
                templates={"application/json": json.dumps(document(code, DETAILS[code], "$context.requestId"))},
            )

    def _function(
        self,
        *,
        code: lambda_.Code,
        architecture: str,
        log_retention_days: int,
        traces: bool,
        variables: dict[str, str],
        options: Mapping[str, Any],
    ) -> lambda_.Function:
        function_logs = log_group(self._stack, "ApiLogs", log_retention_days)
        # A role of our own: CDK's default one may write to every log group of the account.
        self.role = iam.Role(self._stack, "ApiRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        function_logs.grant_write(self.role)
        for statement in self._rights():
            self.role.add_to_policy(statement)
        function = lambda_.Function(
            self._stack,
            "ApiFunction",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler=API_HANDLER,
            code=code,
            role=self.role,
            timeout=API_TIMEOUT,
            memory_size=512,
            log_group=function_logs,
            # Adds xray:Put* on every resource to the role: X-Ray has no resources to name.
            tracing=lambda_.Tracing.ACTIVE if traces else lambda_.Tracing.DISABLED,
            environment=variables,
            **options,
        )
        resource(function, lambda_.CfnFunction).architectures = [architecture]
        return function

    def _rights(self) -> list[iam.PolicyStatement]:
        storage = self._storage
        return [
            iam.PolicyStatement(
                sid="Records",
                actions=[
                    "dynamodb:ConditionCheckItem",
                    "dynamodb:DeleteItem",
                    "dynamodb:GetItem",
                    "dynamodb:PutItem",
                    "dynamodb:Query",
                    "dynamodb:UpdateItem",
                ],
                resources=[storage.table.table_arn, f"{storage.table.table_arn}/index/*"],
            ),
            iam.PolicyStatement(
                sid="Results",
                actions=["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
                resources=[storage.results_bucket.arn_for_objects("*")],
            ),
            # Without it S3 answers 403 for a key that does not exist, where the API must say 404.
            iam.PolicyStatement(
                sid="ResultsExist", actions=["s3:ListBucket"], resources=[storage.results_bucket.bucket_arn]
            ),
            # The health route asks how much waits in the queue, to tell whether it can be reached.
            iam.PolicyStatement(
                sid="Backlog", actions=["sqs:GetQueueAttributes"], resources=[storage.landing_queue.queue_arn]
            ),
            iam.PolicyStatement(
                sid="ReaderSecret", actions=["secretsmanager:GetSecretValue"], resources=[self._reader_secret_arn]
            ),
        ]

    def _routes(self, caller: Caller) -> None:
        integration = apigateway.LambdaIntegration(self.function, allow_test_invoke=False)
        proxy = self.api.root.add_proxy(any_method=False)
        for path in (self.api.root, proxy):
            path.add_method("ANY", integration, **caller.method_options)
            if caller.setting != "none":
                # The preflight request of a browser has no credentials. The function answers it from the list of allowed origins.
                path.add_method("OPTIONS", integration)
