"""The containers of compose.yaml, where a Docker engine answers: LocalStack, the broker of a topic, Grafana."""

import hashlib
import shutil
import socket
import struct
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from tributary_local.failure import Failure, last_lines
from tributary_local.parts import ports
from tributary_local.parts.localstack import LocalStackProcess, is_healthy, log_file
from tributary_local.parts.localstack import services as services_of
from tributary_local.settings import Settings

COMPOSE_FILE = "local-stack/compose.yaml"
PROFILES = ("console", "grafana", "kafka", "redpanda")
"""All of compose.yaml: what it was asked to start is found and stopped, whatever is asked for by then."""
START_SECONDS = 120
LABEL = "tributary.made-from"
Announce = Callable[[str], AbstractContextManager[None]]
"""Given the name of a step, surrounds it."""
BASES = ("TRIBUTARY_PYTHON_IMAGE", "TRIBUTARY_NODE_IMAGE", "TRIBUTARY_MAVEN_IMAGE")
"""Variables that put another image in the place of one that a Dockerfile begins with."""


@dataclass(frozen=True)
class Image:
    """One that is built here, from files below local-stack/."""

    name: str
    files: tuple[str, ...]

    def made_from(self, settings: Settings) -> str:
        """A hash of all that goes into it."""
        parts = [(settings.root / "local-stack" / name).read_bytes() for name in self.files]
        parts += [settings.environment.get(name, "").encode() for name in BASES]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    def is_current(self, settings: Settings) -> bool:
        """Whether the engine has it, made from what is there now."""
        label = f'{{{{index .Config.Labels "{LABEL}"}}}}'
        found = subprocess.run(
            ["docker", "image", "inspect", "--format", label, self.name],
            env=settings.child_environment(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        return found.returncode == 0 and found.stdout.strip() == self.made_from(settings)


def localstack_image(name: str, lock: str) -> Image:
    """LocalStack with the packages of `lock`."""
    files = (
        "emulators/localstack/Dockerfile",
        "emulators/patch-kinesis-local.mjs",
        "set-up/bootstrap.lock",
        "set-up/build-constraints.lock",
        "set-up/kinesis-local/.npmrc",
        "set-up/kinesis-local/package-lock.json",
        "set-up/kinesis-local/package.json",
        f"set-up/{lock}.lock",
    )
    return Image(name, files)


LOCALSTACK = localstack_image("tributary-localstack:4.8.1", "stack")
KAFKA = Image(
    "tributary-kafka:3.9.1",
    (
        "emulators/kafka/Dockerfile",
        "emulators/kafka/log4j.properties",
        "emulators/kafka/run-in-container.sh",
        "emulators/kafka/server.properties",
        "set-up/kafka/pom.xml",
    ),
)


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


class Compose:
    """docker compose on the containers of one stack."""

    def __init__(self, settings: Settings, files: Sequence[str] = (COMPOSE_FILE,), services: str = "") -> None:
        """`services`: what LocalStack is to serve, if not what a stack needs."""
        self.settings = settings
        self.files = [f"--file={file}" for file in files]
        self.services = services or ",".join(services_of(settings))

    def run(
        self, *arguments: str, profiles: Iterable[str] = PROFILES, check: bool = True, made_from: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Raises Failure when it fails, unless `check` is off."""
        project = f"tributary-{self.settings.port}"
        result = subprocess.run(
            ["docker", "compose", "--project-name", project, *self.files, *arguments],
            cwd=self.settings.root,
            env=self.settings.child_environment(
                TRIBUTARY_PORT=str(self.settings.port),
                TRIBUTARY_BROKER_PORT=str(self.settings.broker_port),
                TRIBUTARY_SERVICES=self.services,
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


def wait_until(is_so: Callable[[], bool], name: str) -> None:
    """Raises Failure when `is_so` is not so within two minutes."""
    deadline = time.monotonic() + START_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise Failure(f"{name} does not answer after {START_SECONDS} s")
        time.sleep(0.2)


def answers(url: str) -> bool:
    """Whether a GET succeeds."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def broker_answers(port: int) -> bool:
    """Whether a broker tells its versions (ApiVersions, https://kafka.apache.org/protocol.html). The engine accepts
    connections before anybody listens behind it."""
    request = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            return len(connection.recv(4)) == 4
    except OSError:
        return False


class LocalStackContainer:
    """The LocalStack of the process, in an image made from the same locks; beside it the broker of a topic, and what
    else COMPOSE_PROFILES names."""

    name = "LocalStack (container)"
    image = LOCALSTACK

    def __init__(self, settings: Settings, compose: Compose | None = None) -> None:
        self.settings = settings
        self.compose = compose or Compose(settings)
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

    def build_what_is_missing(self, step: Announce = lambda _: nullcontext()) -> None:
        """Takes minutes where an image is missing, or was made from something else. Raises Failure."""
        images = {"localstack": self.image, **({"kafka": KAFKA} if "kafka" in self.broker else {})}
        for service, image in images.items():
            if not image.is_current(self.settings):
                with step(f"Build the image of {service} (minutes, the first time)"):
                    self._build(service, image)

    def _build(self, service: str, image: Image) -> None:
        log = self.settings.run / "images.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        arguments = ("--progress", "plain", "build", service)
        done = self.compose.run(*arguments, check=False, made_from=image.made_from(self.settings))
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
            wait_until(lambda: is_healthy(self.settings), "LocalStack")
            if self.broker:
                wait_until(lambda: broker_answers(self.settings.broker_port), self.broker[0])
        except Failure as failure:
            self._save_log()
            why = f"{failure.details}\n{last_lines(log_file(self.settings))}".strip()
            raise Failure(failure.summary, why) from failure

    def stop(self) -> None:
        if self.remembered():
            self._save_log()
            self.compose.run("down", "--volumes")
            self.marker.unlink()

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
            wait_until(lambda: answers(f"{self.address}/api/health"), self.name)
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
