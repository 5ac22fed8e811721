"""A run of a job on EMR Serverless, or as a step of an EMR cluster: start, state, cancel, where to look at it."""

from __future__ import annotations

import time
from typing import Any, Protocol

import boto3
from botocore.config import Config

from tributary_emr import submission
from tributary_emr.submission import Job, Status, SubmitError

_RETRIES = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=30)
# A cluster's history server is started on demand.
_UI_ATTEMPTS = 12
_UI_PAUSE_SECONDS = 5


class Run(Protocol):
    """What the two have in common. Calls raise what boto3 raises, unless they say otherwise."""

    id: str
    """Empty until the run has been started."""
    has_live_ui: bool
    """Whether a link is to be had at once while Spark runs."""

    def start(self, job: Job, token: str) -> None:
        """Submits the job, once for each `token`."""

    def status(self) -> Status:
        """How far it is."""

    def cancel(self) -> None:
        """Asks for the run to end; `status` tells when it has."""

    def ui(self) -> str | None:
        """A link to the Spark UI that works for about an hour, or `None` if there is none yet."""

    def watch(self) -> str:
        """The command that shows the state of the run."""

    def summary(self) -> str:
        """What the finished run has used, if that is known."""


class ServerlessRun:
    """A job run of an EMR Serverless application."""

    has_live_ui = True

    def __init__(
        self, application_id: str, role: str, *, timeout_minutes: int | None = None, log_uri: str | None = None
    ) -> None:
        self.id = ""
        self._application_id = application_id
        self._role = role
        self._timeout_minutes = timeout_minutes
        self._log_uri = log_uri
        self._emr = boto3.client("emr-serverless", config=_RETRIES)

    def start(self, job: Job, token: str) -> None:
        """Submits the job; the service recognises a `token` that it has seen."""
        request = submission.start_job_run_request(
            job,
            application_id=self._application_id,
            role=self._role,
            token=token,
            timeout_minutes=self._timeout_minutes,
            log_uri=self._log_uri,
        )
        try:
            self.id = self._emr.start_job_run(**request)["jobRunId"]
        except self._emr.exceptions.ResourceNotFoundException:
            where = self._emr.meta.region_name
            raise SubmitError(f"there is no EMR Serverless application {self._application_id} in {where}") from None

    def status(self) -> Status:
        """How far it is."""
        return submission.job_run_status(self._described())

    def cancel(self) -> None:
        """Asks for the run to end."""
        self._emr.cancel_job_run(**self._names())

    def ui(self) -> str | None:
        """The live Spark UI, or the history server's once the run has ended."""
        return self._emr.get_dashboard_for_job_run(**self._names()).get("url")

    def watch(self) -> str:
        """The command that shows the state of the run."""
        return f"aws emr-serverless get-job-run --application-id {self._application_id} --job-run-id {self.id}"

    def summary(self) -> str:
        """What the run is billed for."""
        return submission.billed(self._described())

    def _names(self) -> dict[str, str]:
        return {"applicationId": self._application_id, "jobRunId": self.id}

    def _described(self) -> dict[str, Any]:
        return self._emr.get_job_run(**self._names())


class ClusterStep:
    """A step of a running EMR cluster."""

    has_live_ui = False

    def __init__(self, cluster_id: str) -> None:
        self.id = ""
        self._cluster_id = cluster_id
        self._emr = boto3.client("emr", config=_RETRIES)
        # A repeated AddJobFlowSteps whose first answer was lost would be a second step.
        self._once = boto3.client("emr", config=_RETRIES.merge(Config(retries={"total_max_attempts": 1})))

    def start(self, job: Job, token: str) -> None:
        """Submits the job, unless the cluster has a step with this `token` already."""
        name = submission.step_name(job, token)
        pages = self._emr.get_paginator("list_steps").paginate(ClusterId=self._cluster_id)
        self.id = next((step["Id"] for page in pages for step in page["Steps"] if step["Name"] == name), "")
        if not self.id:
            request = submission.add_step_request(job, cluster_id=self._cluster_id, token=token)
            self.id = self._once.add_job_flow_steps(**request)["StepIds"][0]

    def status(self) -> Status:
        """How far it is."""
        return submission.step_status(self._emr.describe_step(ClusterId=self._cluster_id, StepId=self.id))

    def cancel(self) -> None:
        """Asks for the step to end."""
        self._emr.cancel_steps(
            ClusterId=self._cluster_id, StepIds=[self.id], StepCancellationOption="TERMINATE_PROCESS"
        )

    def ui(self) -> str | None:
        """The history server outside the cluster, which outlives it."""
        # https://docs.aws.amazon.com/emr/latest/ManagementGuide/app-history-spark-UI.html
        arn = self._emr.describe_cluster(ClusterId=self._cluster_id)["Cluster"]["ClusterArn"]
        ui = self._emr.create_persistent_app_ui(TargetResourceArn=arn, ProfilerType="SHS")["PersistentAppUIId"]
        for _ in range(_UI_ATTEMPTS):
            answer = self._emr.get_persistent_app_ui_presigned_url(PersistentAppUIId=ui, PersistentAppUIType="SHS")
            if answer.get("PresignedURLReady"):
                return answer["PresignedURL"]
            time.sleep(_UI_PAUSE_SECONDS)
        return None

    def watch(self) -> str:
        """The command that shows the state of the step."""
        return f"aws emr describe-step --cluster-id {self._cluster_id} --step-id {self.id}"

    def summary(self) -> str:
        """Nothing: a cluster is billed by itself."""
        return ""
