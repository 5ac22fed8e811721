"""The containers of compose.yaml, where a Docker engine answers: LocalStack, the broker of a topic, Grafana."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from tributary_local.failure import Failure, last_lines
from tributary_local.parts import ports
from tributary_local.parts.localstack import LocalStackProcess, log_file, services, wait_until_healthy
from tributary_local.settings import Settings

PROFILES = ("console", "grafana", "kafka", "redpanda")
"""All of compose.yaml: what it was asked to start is found and stopped, whatever is asked for by then."""
LABEL = "tributary.made-from"
BASES = ("TRIBUTARY_PYTHON_IMAGE", "TRIBUTARY_NODE_IMAGE", "TRIBUTARY_MAVEN_IMAGE")
"""Variables that put another image in the place of one that a Dockerfile begins with."""
IMAGES = {"localstack": "tributary-localstack:4.8.1", "kafka": "tributary-kafka:3.9.1"}
MADE_FROM = {
    "localstack": (
        "emulators/localstack/Dockerfile",
        "emulators/patch-kinesis-local.mjs",
        "set-up/bootstrap.lock",
        "set-up/build-constraints.lock",
        "set-up/kinesis-local/.npmrc",
        "set-up/kinesis-local/package-lock.json",
        "set-up/kinesis-local/package.json",
        "set-up/stack.lock",
    ),
    "kafka": (
        "emulators/kafka/Dockerfile",
        "emulators/kafka/log4j.properties",
        "emulators/kafka/run-in-container.sh",
        "emulators/kafka/server.properties",
        "set-up/kafka/pom.xml",
    ),
}
"""The files of an image, below local-stack/."""


def docker_answers() -> bool:
    """Whether there is an engine behind the docker command, on this machine, and the command has compose."""
    if shutil.which("docker") is None:
        return False
    socket = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    where = subprocess.run(socket, capture_output=True, text=True, encoding="utf-8", check=False).stdout
    # Debian's docker.io brings no compose.
    commands = (["docker", "info"], ["docker", "compose", "version"])
    return where.startswith("unix://") and all(
        subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in commands
    )


def localstack(settings: Settings) -> "LocalStackProcess | LocalStackContainer":
    """What was started; else a container where an engine answers, unless TRIBUTARY_DOCKER=0; else a process."""
    process, container = LocalStackProcess(settings), LocalStackContainer(settings)
    if process.remembered() or container.remembered():
        return process if process.remembered() else container
    wanted = settings.environment.get("TRIBUTARY_DOCKER") != "0"
    return container if wanted and docker_answers() else process


def made_from(root: Path, service: str, environment: dict[str, str]) -> str:
    """A hash of all that goes into the image of `service`."""
    parts = [(root / "local-stack" / name).read_bytes() for name in MADE_FROM[service]]
    parts += [environment.get(name, "").encode() for name in BASES]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


class Compose:
    """docker compose on the containers of one stack."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def run(
        self, *arguments: str, profiles: Iterable[str] = PROFILES, check: bool = True, made_from: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Raises Failure when it fails, unless `check` is off."""
        project = f"tributary-{self.settings.port}"
        result = subprocess.run(
            ["docker", "compose", "--project-name", project, "--file", "local-stack/compose.yaml", *arguments],
            cwd=self.settings.root,
            env=self.settings.child_environment(
                TRIBUTARY_PORT=str(self.settings.port),
                TRIBUTARY_BROKER_PORT=str(self.settings.broker_port),
                TRIBUTARY_SERVICES=",".join(services(self.settings)),
                TRIBUTARY_MADE_FROM=made_from,
                COMPOSE_PROFILES=",".join(profiles),
            ),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if check and result.returncode != 0:
            verb = next(word for word in arguments if not word.startswith("-"))
            raise Failure(f"docker compose {verb} failed", result.stderr.strip())
        return result

    def are_running(self, names: Sequence[str]) -> bool:
        """Whether each of these services has a container that runs."""
        listed = self.run("ps", "--quiet", "--status", "running", *names, check=False)
        return listed.returncode == 0 and len(listed.stdout.split()) == len(names)


class LocalStackContainer:
    """The LocalStack of the process, in an image made from the same locks; beside it the broker of a topic, and what
    else COMPOSE_PROFILES names."""

    name = "LocalStack (container)"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.compose = Compose(settings)
        self.marker = settings.run / "localstack.container"

    @property
    def broker(self) -> tuple[str, ...]:
        """The service, and profile, of the broker, where that is not LocalStack."""
        if not self.settings.is_kafka:
            return ()
        return ("kafka",) if self.settings.environment.get("TRIBUTARY_REDPANDA") == "0" else ("redpanda",)

    def running(self) -> bool:
        # Another clone's stack on the same port has containers of the same names.
        return self.remembered() and self.compose.are_running(("localstack", *self.broker))

    def remembered(self) -> bool:
        """Whether it was started and not stopped since, running or not."""
        return self.marker.exists()

    def to_build(self) -> list[str]:
        """The services whose image is missing, or was made from something else."""
        return [name for name in ("localstack", *self.broker) if name in IMAGES and not self._is_current(name)]

    def build(self, service: str) -> None:
        """Minutes, the first time. Raises Failure with the end of what the engine said."""
        log = self.settings.run / "images.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        done = self.compose.run(
            "--progress", "plain", "build", service, check=False, made_from=self._made_from(service)
        )
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
        if done.returncode != 0:
            raise Failure(f"the image of {service} could not be built", last_lines(log))

    def start(self) -> None:
        """Raises Failure when a port is taken, or a container does not come up healthy."""
        ports.require_free(self.settings.port, "AWS_ENDPOINT_URL=http://127.0.0.1:4600 make …")
        if self.broker:
            ports.require_free(self.settings.broker_port, "TRIBUTARY_BROKERS=127.0.0.1:9192 make …")
        self.marker.parent.mkdir(parents=True, exist_ok=True)
        self.marker.touch()
        asked = [name for name in self.settings.environment.get("COMPOSE_PROFILES", "").split(",") if name]
        # Grafana may fail where these may not, and comes after them.
        profiles = dict.fromkeys([*(name for name in asked if name != Grafana.service), *self.broker])
        try:
            self.compose.run("up", "--detach", "--wait", "--quiet-pull", profiles=profiles)
            wait_until_healthy(self.settings, None)
        except Failure as failure:
            self._save_log()
            raise Failure(failure.summary, f"{failure.details}\n{last_lines(log_file(self.settings))}") from failure

    def stop(self) -> None:
        if self.remembered():
            self._save_log()
            self.compose.run("down", "--volumes")
            self.marker.unlink()

    def _made_from(self, service: str) -> str:
        return made_from(self.settings.root, service, dict(self.settings.environment))

    def _is_current(self, service: str) -> bool:
        label = f'{{{{index .Config.Labels "{LABEL}"}}}}'
        found = subprocess.run(
            ["docker", "image", "inspect", "--format", label, IMAGES[service]],
            env=self.settings.child_environment(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        return found.returncode == 0 and found.stdout.strip() == self._made_from(service)

    def _save_log(self) -> None:
        said = self.compose.run("logs", "--no-color", "--no-log-prefix", "localstack", check=False)
        log_file(self.settings).parent.mkdir(parents=True, exist_ok=True)
        log_file(self.settings).write_text(said.stdout, encoding="utf-8")


class Grafana:
    """The dashboards where they live. The stack runs without it; what goes wrong with it is no more than a warning."""

    name = "Grafana (container)"
    service = "grafana"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.compose = Compose(settings)
        self.marker = settings.run / "grafana.container"
        self.log_file = settings.log / "grafana.log"
        self.port = settings.environment.get("TRIBUTARY_GRAFANA_PORT") or "3000"

    @property
    def wanted(self) -> bool:
        return self.settings.environment.get("TRIBUTARY_GRAFANA") != "0"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def running(self) -> bool:
        return self.remembered() and self.compose.are_running((self.service,))

    def remembered(self) -> bool:
        """Whether it was started and not stopped since, running or not."""
        return self.marker.exists()

    def start(self) -> None:
        """After LocalStack. Raises Failure when its port is taken, or it does not come up healthy."""
        if not (self.port.isdecimal() and 0 < int(self.port) < 65536):
            raise Failure(f"TRIBUTARY_GRAFANA_PORT is '{self.port}'; it must be a port, 1 to 65535")
        ports.require_free(int(self.port), "TRIBUTARY_GRAFANA_PORT=3001 make …")
        self.marker.touch()
        try:
            # LocalStack's container stays as it is.
            self.compose.run("up", "--detach", "--wait", "--quiet-pull", "--no-deps", self.service)
        except Failure:
            said = self.compose.run("logs", "--no-color", "--no-log-prefix", self.service, check=False)
            self.log_file.parent.mkdir(parents=True, exist_ok=True)
            self.log_file.write_text(said.stdout, encoding="utf-8")
            self.stop()
            raise

    def stop(self) -> None:
        if self.remembered():
            self.compose.run("rm", "--stop", "--force", "--volumes", self.service)
            self.marker.unlink()
