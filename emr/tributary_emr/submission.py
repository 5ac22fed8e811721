"""What is asked of EMR and what its answers mean, as pure functions: no client, no clock, no file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError


class SubmitError(Exception):
    """The submission cannot go on; the text is one line for the user."""


@dataclass(frozen=True)
class S3Object:
    """A place on S3."""

    bucket: str
    key: str

    @classmethod
    def of_uri(cls, uri: str) -> S3Object:
        """Reads `s3://bucket/key`; raises `ValueError`."""
        address = urlsplit(uri)
        if address.scheme != "s3" or not address.netloc or address.query or address.fragment:
            raise ValueError(f"{uri} is no s3://bucket/key")
        return cls(address.netloc, address.path.lstrip("/"))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Job:
    """A Spark job as both services take it."""

    name: str
    entry_point: S3Object
    package: S3Object
    arguments: Sequence[str]
    settings: Mapping[str, str]

    @property
    def spark_arguments(self) -> list[str]:
        """What goes between `spark-submit` and the entry point."""
        settings = (f"{key}={value}" for key, value in sorted(self.settings.items()))
        return ["--py-files", str(self.package), *(part for pair in settings for part in ("--conf", pair))]


@dataclass(frozen=True)
class Status:
    """How far a run is."""

    state: str
    """The service's own word."""
    details: str = ""
    started: bool = False
    """Spark is there, and so is its UI."""
    finished: bool = False
    succeeded: bool = False


def start_job_run_request(
    job: Job, *, application_id: str, role: str, token: str, timeout_minutes: int | None, log_uri: str | None
) -> dict[str, Any]:
    """StartJobRun of EMR Serverless."""
    # https://docs.aws.amazon.com/emr-serverless/latest/APIReference/API_StartJobRun.html
    request: dict[str, Any] = {
        "applicationId": application_id,
        "clientToken": token,
        "executionRoleArn": role,
        "name": job.name,
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": str(job.entry_point),
                "entryPointArguments": list(job.arguments),
                "sparkSubmitParameters": " ".join(job.spark_arguments),
            }
        },
    }
    if timeout_minutes is not None:
        request["executionTimeoutMinutes"] = timeout_minutes
    if log_uri is not None:
        request["configurationOverrides"] = {
            "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": log_uri}}
        }
    return request


def job_run_status(answer: Mapping[str, Any]) -> Status:
    """Reads GetJobRun."""
    run = answer["jobRun"]
    state = run["state"]
    return Status(
        state,
        run.get("stateDetails") or "",
        started=state in ("RUNNING", "SUCCESS", "FAILED"),
        finished=state in ("SUCCESS", "FAILED", "CANCELLED"),
        succeeded=state == "SUCCESS",
    )


def billed(answer: Mapping[str, Any]) -> str:
    """What a finished run of GetJobRun is billed for, or nothing."""
    used = answer["jobRun"].get("billedResourceUtilization")
    if not used:
        return ""
    parts = (("vCPUHour", "vCPU h"), ("memoryGBHour", "GB h memory"), ("storageGBHour", "GB h storage"))
    return ", ".join(f"{used.get(name, 0):.3f} {unit}" for name, unit in parts)


def step_name(job: Job, token: str) -> str:
    """Steps have no client token: their name carries it, so that a step can be found again."""
    return f"{job.name} {token}"


def add_step_request(job: Job, *, cluster_id: str, token: str) -> dict[str, Any]:
    """AddJobFlowSteps of EMR."""
    # https://docs.aws.amazon.com/emr/latest/ReleaseGuide/emr-commandrunner.html
    # Client mode: the driver is the step's process, so its output is in the step's log, and cancelling the step ends
    # the job. In cluster mode it would go on.
    command = ["spark-submit", "--deploy-mode", "client", "--name", job.name, *job.spark_arguments]
    return {
        "JobFlowId": cluster_id,
        "Steps": [
            {
                "Name": step_name(job, token),
                "ActionOnFailure": "CONTINUE",
                "HadoopJarStep": {
                    "Jar": "command-runner.jar",
                    "Args": [*command, str(job.entry_point), *job.arguments],
                },
            }
        ],
    }


def step_status(answer: Mapping[str, Any]) -> Status:
    """Reads DescribeStep."""
    status = answer["Step"]["Status"]
    state = status["State"]
    failure = status.get("FailureDetails") or {}
    reason = (status.get("StateChangeReason") or {}).get("Message")
    texts = (failure.get("Reason"), failure.get("Message"), reason, failure.get("LogFile"))
    return Status(
        state,
        "; ".join(dict.fromkeys(text for text in texts if text)),
        started=state in ("RUNNING", "COMPLETED", "FAILED"),
        finished=state in ("COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED"),
        succeeded=state == "COMPLETED",
    )


def setting(text: str) -> tuple[str, str]:
    """Reads `key=value`; raises `ValueError`."""
    key, equals, value = text.partition("=")
    # EMR Serverless takes all settings in one text and splits it at blanks.
    if not (key.startswith("spark.") and equals and value) or re.search(r"[\s'\"\\]", text):
        raise ValueError(f"{text} is no spark.key=value without blanks, quotes and backslashes")
    return key, value


def explanation(error: BotoCoreError | ClientError) -> str:
    """One line about what AWS, or the way to it, has refused."""
    if isinstance(error, NoCredentialsError):
        return "no AWS credentials: log in, or set AWS_PROFILE"
    if isinstance(error, NoRegionError):
        return "no AWS region: set AWS_REGION"
    if isinstance(error, EndpointConnectionError):
        return f"{error}".splitlines()[0]
    if not isinstance(error, ClientError):
        return str(error).splitlines()[0]
    code = error.response["Error"].get("Code", "")
    message = (error.response["Error"].get("Message") or "").partition("\n")[0]
    if not message or message.startswith("<"):
        # A proxy's page, or an emulator's.
        message = "no reason given"
    if code == "NoSuchBucket":
        return f"there is no bucket {error.response['Error'].get('BucketName', '')}".rstrip()
    if code.startswith(("AccessDenied", "403")):
        return f"not allowed to {error.operation_name}: {message}"
    if code.startswith("ExpiredToken"):
        return "the AWS credentials have expired: log in again"
    return f"{error.operation_name}: {message} ({code})"
