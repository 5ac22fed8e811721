"""The deployment test: the CDK stacks on a LocalStack of their own, looked at, used, and taken away again.

    python -m tributary_local.runs.deployment

LocalStack stands in for CloudFormation, IAM, Lambda and the others, as far as it goes: without a Docker engine it
invokes no function, it enforces no policy, ignores lifecycle rules, retention of logs and a stream's encryption in
templates, and has neither Glue nor EMR Serverless, so that the query stack is left out. Those are held to their
templates by cdk/test.
"""

import os
import platform
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tributary_local.console import consoles
from tributary_local.failure import Failure, last_lines
from tributary_local.parts import ports
from tributary_local.parts.localstack import LocalStackProcess, log_file
from tributary_local.runs import deployed
from tributary_local.runs.steps import Steps
from tributary_local.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[3]
NAME = "tributary"
SERVICES = "cloudformation,cloudwatch,ecr,iam,kinesis,kms,lambda,logs,s3,sns,sqs,ssm,sts"
ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
# The very artifact that the local stack runs; a stack that keeps nothing; no resources that LocalStack lacks.
CDK_SETTINGS = {
    "architecture": ARCHITECTURE,
    "artifacts": "../target/lambda",
    "keepData": "false",
    "query": "false",
    "githubRepository": "owner/name",
}


@dataclass(frozen=True)
class DeploymentSettings(Settings):
    """Its LocalStack comes from an environment of its own, which has all services."""

    def python(self, venv: str) -> Path:
        return super().python("deploy" if venv == "stack" else venv)


class DeploymentTarget(LocalStackProcess):
    """LocalStack with the services of a deployment."""

    def _make_filesystem(self) -> Path:
        root = super()._make_filesystem()
        for script in (self.settings.root / "local-stack/emulators/localstack/deploy").glob("*.py"):
            (root / "etc/localstack/init/start.d" / script.name).symlink_to(script)
        return root

    def _environment(self, filesystem: Path) -> dict[str, str]:
        return {
            **super()._environment(filesystem),
            "SERVICES": SERVICES,
            # GitHub's OIDC provider is one; the role that trusts it is there all the same.
            "CFN_IGNORE_UNSUPPORTED_RESOURCE_TYPES": "1",
            # The host in the addresses that it hands out; its own default name needs a resolver.
            "LOCALSTACK_HOST": f"127.0.0.1:{self.settings.port}",
        }


class Tools:
    """The project's own commands, against one endpoint."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = settings.log / "cdk.log"

    def run(self, *command: str | Path, cwd: str = "", **variables: str) -> str:
        """What the command printed. Raises Failure when it fails."""
        result = subprocess.run(
            [str(part) for part in command],
            cwd=self.settings.root / cwd,
            env=self.settings.child_environment(
                CDK_DISABLE_CLI_TELEMETRY="true", ARCHITECTURE=ARCHITECTURE, ARTIFACTS="target/lambda", **variables
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
        )
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as log:
            log.write(result.stdout)
        if result.returncode != 0:
            raise Failure(f"{Path(command[0]).name} {command[1]} failed", last_lines(self.log))
        return result.stdout

    def cdk(self, *arguments: str) -> str:
        """The CDK command line, with the settings of this test."""
        context = [part for name, value in CDK_SETTINGS.items() for part in ("-c", f"tributary:{name}={value}")]
        cdk = ROOT / "cdk/node_modules/.bin/cdk"
        output = self.settings.state / "cdk.out"
        return self.run(cdk, *arguments, "--no-notices", "--output", str(output), *context, cwd="cdk")


def deployment(settings: Settings, steps: Steps) -> None:
    """Always takes its LocalStack down again."""
    tools = Tools(settings)
    tools.log.unlink(missing_ok=True)
    look = deployed.Look(settings, NAME)
    target = DeploymentTarget(settings)
    target.stop()
    try:
        with steps.step("Start LocalStack"):
            target.start()
        with steps.step("Bootstrap"):
            tools.cdk("bootstrap", f"aws://{deployed.ACCOUNT}/{settings.region}")
        before = look.everything()
        with steps.step("Deploy"):
            tools.cdk("deploy", "--all", "--require-approval", "never")
        with steps.step("Look at what is there"):
            look.at_storage()
            look.at_ingest()
            look.at_monitoring()
            look.at_deploy_role()
        with steps.step("Deploy again: nothing changes"):
            tools.cdk("diff", "--all", "--fail")
        with steps.step("Move the code, and roll back"):
            code_moves_and_comes_back(tools, look)
        with steps.step("Publish the report job"):
            tools.run("cdk/publish-jobs.sh", "")
            look.at_jobs()
        with steps.step("Destroy"):
            look.empty_buckets()
            tools.cdk("destroy", "--all", "--force")
            left = look.everything() - before
            if left:
                raise Failure(f"cdk destroy has left {', '.join(sorted(left))}")
    except Failure as failure:
        raise Failure(failure.summary, f"{failure.details}\n{last_lines(log_file(settings), 5)}") from failure
    finally:
        target.stop()


def code_moves_and_comes_back(tools: Tools, look: deployed.Look) -> None:
    """A new version goes live with its configuration unchanged; the one before it comes back, in $LATEST too."""
    first, configuration = look.live_version(), look.configuration()
    tools.run("cdk/functions.sh", "deploy")
    second = look.live_version()
    deployed.expect("version that is live after a deployment of code", int(second) > int(first), True)
    deployed.expect("configuration after a deployment of code", look.configuration(), configuration)
    tools.run("cdk/functions.sh", "rollback")
    deployed.expect("version that is live after a rollback", look.live_version(), first)
    deployed.expect("code of $LATEST after a rollback", look.code("$LATEST"), look.code(first))


def main() -> int:
    """One line on standard error, and status 1, when something is not as it should be."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console, errors = consoles()
    steps = Steps(console)
    try:
        settings = DeploymentSettings.from_environment(ROOT, os.environ).beside("deployment", ports.free_port())
        deployment(settings, steps)
    except (SettingsError, Failure, KeyboardInterrupt) as error:
        where = f"test-deploy, at '{steps.current}'" if steps.current else "test-deploy"
        errors.print(f"{where}: {error or 'interrupted'}", markup=False, highlight=False, soft_wrap=True)
        if isinstance(error, Failure) and error.details:
            errors.print(error.details, markup=False, highlight=False, soft_wrap=True)
        return 1
    console.print(steps.table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
