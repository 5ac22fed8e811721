"""EMR, EMR Serverless and S3 on a port of this machine, by moto. A run stands still until a test moves it on."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from moto.emr.models import emr_backends
from moto.emrserverless.models import emrserverless_backends
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/job"
SUBMIT = Path(__file__).parents[1] / "submit"


@dataclass(frozen=True)
class Aws:
    """The services, with a lake and a bucket for artifacts, an application and a cluster."""

    endpoint: str
    application: str
    cluster: str

    @property
    def environ(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TRIBUTARY_"))}
        return inherited | {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
        }

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @property
    def job_runs(self) -> list[Any]:
        """moto's own objects, whose `state` a test may set."""
        return emrserverless_backends[ACCOUNT][REGION].job_runs.get(self.application, [])

    @property
    def steps(self) -> list[Any]:
        """Likewise."""
        return emr_backends[ACCOUNT][REGION].clusters[self.cluster].steps

    def put_result(self, text: str, key: str = "reports/p95_event_duration.csv") -> None:
        """What the job would have written."""
        self.client("s3").put_object(Bucket="lake", Key=key, Body=text.encode())

    @property
    def serverless(self) -> list[str]:
        """The options that every run on EMR Serverless needs."""
        return ["--application-id", self.application, "--execution-role-arn", ROLE, *self.places]

    @property
    def step(self) -> list[str]:
        """The options that every step needs."""
        return ["--cluster-id", self.cluster, *self.places]

    @property
    def places(self) -> list[str]:
        return ["--lake", "lake", "--artifacts", "s3://artifacts/emr/", "--poll", "0.05"]

    def submit(self, *arguments: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        """Runs `emr/submit` to its end; `changes` are to its environment (`None` leaves a variable out)."""
        environ = {name: value for name, value in (self.environ | changes).items() if value is not None}
        return subprocess.run(
            [SUBMIT, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    @contextmanager
    def submitting(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """`emr/submit` under way."""
        process = subprocess.Popen(
            [SUBMIT, *arguments], env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    """The lines of standard output up to the first that has `text`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if text in line:
            return lines
    assert process.stderr is not None
    raise AssertionError(f"no {text!r} in {lines}, {process.stderr.read()}")


@contextmanager
def moto() -> Iterator[Aws]:
    """The services, empty but for what `Aws` names."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        aws = Aws(f"http://{host}:{port}", "", "")
        for bucket in ("lake", "artifacts"):
            aws.client("s3").create_bucket(Bucket=bucket)
        application = aws.client("emr-serverless").create_application(
            releaseLabel="emr-7.5.0", type="SPARK", clientToken="test"
        )["applicationId"]
        cluster = aws.client("emr").run_job_flow(
            Name="test",
            ReleaseLabel="emr-7.5.0",
            Instances={
                "MasterInstanceType": "m5.xlarge",
                "SlaveInstanceType": "m5.xlarge",
                "InstanceCount": 1,
                "KeepJobFlowAliveWhenNoSteps": True,
            },
            JobFlowRole="job",
            ServiceRole="service",
        )["JobFlowId"]
        yield Aws(aws.endpoint, application, cluster)
    finally:
        moto_api_backend.reset()
        server.stop()
