"""Where a deployment is: an account, or a LocalStack in its place."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tributary_local.failure import Failure, last_lines


@dataclass
class Place:
    """One deployment, by its name, and the project's own commands on it."""

    root: Path
    name: str
    region: str
    account: str
    environment: Mapping[str, str]
    """Of every command: credentials, and an endpoint if there is one."""
    log: Path
    context: Mapping[str, str] = field(default_factory=dict)
    """Settings of the CDK besides the name."""
    cdk_out: Path = Path("cdk.out")
    leave_out: Mapping[str, str] = field(default_factory=dict)
    """What cannot be done here, with the reason."""

    @property
    def local(self) -> bool:
        return "AWS_ENDPOINT_URL" in self.environment

    @property
    def function(self) -> str:
        return f"{self.name}-ingest-kinesis"

    @property
    def stream(self) -> str:
        return f"{self.name}-events"

    def bucket(self, suffix: str) -> str:
        return f"{self.name}-{suffix}-{self.account}-{self.region}"

    def client(self, service: str) -> Any:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        key, secret, token = (self.environment.get(name) for name in names)
        return boto3.client(
            service,
            endpoint_url=self.environment.get("AWS_ENDPOINT_URL"),
            region_name=self.region,
            **({"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": token} if key else {}),
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2 if self.local else 5}),
        )

    def run(self, *command: str | Path, cwd: str = "", check: bool = True, **variables: str) -> str:
        """What the command printed. Raises Failure when it fails; without `check`, when it does not."""
        result = subprocess.run(
            [str(part) for part in command],
            cwd=self.root / cwd,
            env={
                **self.environment,
                "CDK_DISABLE_CLI_TELEMETRY": "true",
                "NAME": self.name,
                "AWS_REGION": self.region,
                **variables,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
        )
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as log:
            log.write(result.stdout)
        if (result.returncode == 0) != check:
            how = "failed" if check else "did not fail"
            raise Failure(f"{Path(command[0]).name} {' '.join(map(str, command[1:3]))} {how}", last_lines(self.log))
        return result.stdout

    def cdk(self, *arguments: str, check: bool = True, **settings: str) -> str:
        """The CDK's command line, with the settings of this deployment and those of this call."""
        given = {"name": self.name, **self.context, **settings}
        context = [part for name, value in given.items() for part in ("-c", f"tributary:{name}={value}")]
        command = self.root / "cdk/node_modules/.bin/cdk"
        return self.run(
            command, *arguments, "--no-notices", "--output", str(self.cdk_out), *context, cwd="cdk", check=check
        )

    def deploy(self, **settings: str) -> None:
        """The stacks, without a question."""
        self.cdk("deploy", "--all", "--require-approval", "never", **settings)

    def functions(self, *arguments: str, check: bool = True, **variables: str) -> str:
        """cdk/functions.sh."""
        return self.run("cdk/functions.sh", *arguments, check=check, **variables)
