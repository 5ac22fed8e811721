"""The rehearsal on a LocalStack of its own: the CDK stacks, deployed, used, looked at, and taken away again.

    python -m tributary_local.runs.deployment

LocalStack stands in for CloudFormation, IAM, Lambda and the others, as far as it goes, as a process or, where a Docker
engine answers, in a container. It invokes no function (it would need an engine to itself), enforces no policy, ignores
lifecycle rules, retention of logs and a stream's encryption in templates, and has neither Glue nor EMR Serverless nor
Athena, so that the query stack is left out: of those cdk/test looks at the templates. The deployed stream is read, and
the deployed bucket written, by the local event source with the very artifact that was deployed.
"""

import os
import platform
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tributary_local.console import consoles
from tributary_local.failure import Failure, last_lines
from tributary_local.parts import containers, ports
from tributary_local.parts.containers import COMPOSE_FILE, Compose, LocalStackContainer, localstack_image
from tributary_local.parts.event_source import EventSource
from tributary_local.parts.localstack import LocalStackProcess, log_file
from tributary_local.runs.place import Place
from tributary_local.runs.rehearsal import rehearse
from tributary_local.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[3]
NAME = "tributary"
ACCOUNT = "000000000000"
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
LEAVE_OUT = {
    "failing update": "LocalStack takes any concurrency; cdk/test/scripts.test.ts plays it",
    "canary": "LocalStack cannot give an alias weights; cdk/test/scripts.test.ts plays it",
    "nightly run": "LocalStack has no EMR Serverless",
    "redrive": "LocalStack invokes nothing here; local-stack/tests/test_redrive.py plays it",
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


class DeploymentContainer(LocalStackContainer):
    """The same in a container."""

    image = localstack_image("tributary-localstack-deploy:4.8.1", "deploy")

    def __init__(self, settings: Settings) -> None:
        files = (COMPOSE_FILE, "local-stack/emulators/localstack/deploy/compose.yaml")
        super().__init__(settings, Compose(settings, files, SERVICES))


@contextmanager
def deployment_target(settings: Settings) -> Iterator[None]:
    """Always takes its LocalStack down again."""
    as_container = isinstance(containers.localstack(settings), LocalStackContainer)
    target = DeploymentContainer(settings) if as_container else DeploymentTarget(settings)
    try:
        target.stop()
        if isinstance(target, DeploymentContainer):
            target.build_what_is_missing()
        target.start()
        yield
    except Failure as failure:
        raise Failure(failure.summary, f"{failure.details}\n{last_lines(log_file(settings), 5)}") from failure
    finally:
        target.stop()


@contextmanager
def invoked(settings: Settings, place: Place) -> Iterator[None]:
    """The local event source in Lambda's place, over the deployed stream and bucket."""
    reader = replace(settings, stream=place.stream, bucket=place.bucket("lake"))
    place.client("sqs").create_queue(QueueName=settings.queue)
    source = EventSource(reader)
    # What it remembers is of a stream that may have been destroyed; rows that it delivers again are recognised.
    shutil.rmtree(source.state_directory, ignore_errors=True)
    source.start()
    try:
        yield
    finally:
        source.stop()


@dataclass
class LocalPlace(Place):
    """A place whose smoke tests find somebody who delivers."""

    settings: Settings | None = None

    def run(self, *command: str | Path, cwd: str = "", check: bool = True, **variables: str) -> str:
        smoke = Path(command[0]).name == "smoke-test.sh" or command[1:2] in (("promote",), ("deploy",))
        if not smoke or Path(command[0]).name == "cdk":
            return super().run(*command, cwd=cwd, check=check, **variables)
        with invoked(self.settings, self):
            return super().run(*command, cwd=cwd, check=check, **variables)


def place_on(settings: Settings) -> LocalPlace:
    """The deployment on that LocalStack."""
    environment = settings.child_environment(
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        ARCHITECTURE=ARCHITECTURE,
        ARTIFACTS="target/lambda",
        LEAVE_OUT="invoke",
        TRIBUTARY_STREAM=f"{NAME}-events",
        TRIBUTARY_BUCKET=f"{NAME}-lake-{ACCOUNT}-{settings.region}",
    )
    return LocalPlace(
        ROOT,
        NAME,
        settings.region,
        ACCOUNT,
        environment,
        settings.log / "cdk.log",
        CDK_SETTINGS,
        settings.state / "cdk.out",
        LEAVE_OUT,
        settings,
    )


def main() -> int:
    """One line on standard error, and status 1, when something is not as it should be."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console, errors = consoles()
    try:
        settings = DeploymentSettings.from_environment(ROOT, os.environ).beside("deployment", ports.free_port())
        place = place_on(settings)
        place.log.unlink(missing_ok=True)
        with deployment_target(settings):
            rehearse(
                place, console, begin=lambda: place.cdk("bootstrap", f"aws://{ACCOUNT}/{settings.region}") and None
            )
    except (SettingsError, Failure, KeyboardInterrupt) as error:
        errors.print(f"test-deploy: {str(error) or 'interrupted'}", markup=False, highlight=False, soft_wrap=True)
        if isinstance(error, Failure) and error.details:
            errors.print(error.details, markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
