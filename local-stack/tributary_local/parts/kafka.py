"""Apache Kafka as a process: the broker in Redpanda's place where no Docker engine answers."""

import base64
import subprocess
import time
import uuid
from pathlib import Path

import psutil

from tributary_local.failure import Failure, last_lines
from tributary_local.parts import ports, processes
from tributary_local.settings import Settings

HEAP = "-Xmx512m"
START_SECONDS = 60
STOP_SECONDS = 15


class KafkaProcess:
    """One broker that is its own controller. What it stores outlives it, until LocalStack's data is lost."""

    name = "Kafka"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pid_file = settings.run / "kafka.pid"
        self.log_file = settings.log / "kafka.log"

    @property
    def state(self) -> Path:
        """Configuration and data."""
        return self.settings.state / "kafka-broker"

    def running(self) -> psutil.Process | None:
        return processes.read_pid_file(self.pid_file)

    def remembered(self) -> bool:
        """Whether it was started and not stopped since, running or not."""
        return self.pid_file.exists()

    def start(self) -> None:
        """Raises Failure when the port is taken, or the broker does not come up."""
        port = self.settings.broker_port
        ports.require_free(port, "TRIBUTARY_BROKERS=127.0.0.1:9192 make …")
        properties = self._properties()
        if not (self.state / "data/meta.properties").exists():
            self._format(properties)
        process = processes.start(
            self._java("kafka.Kafka", properties),
            log=self.log_file,
            pid_file=self.pid_file,
            state=self.settings.state,
            environment=self.settings.child_environment(),
        )
        deadline = time.monotonic() + START_SECONDS
        while ports.is_free(port):
            if not processes.is_alive(process):
                raise Failure("Kafka ended while starting", last_lines(self.log_file))
            if time.monotonic() > deadline:
                raise Failure(f"Kafka does not listen after {START_SECONDS} s", last_lines(self.log_file))
            time.sleep(0.1)

    def stop(self) -> None:
        if process := self.running():
            processes.stop(process, STOP_SECONDS)
        self.pid_file.unlink(missing_ok=True)

    def _java(self, main_class: str, *arguments: str | Path) -> list[str | Path]:
        root = self.settings.root
        home = self.settings.environment.get("JAVA_HOME")
        return [
            # The same as Spark's, which the prerequisites have looked at.
            f"{home}/bin/java" if home else "java",
            HEAP,
            # Java 18 and newer are told to let Kafka ask who it is.
            "-Djava.security.manager=allow",
            "-cp",
            f"{root}/.local/kafka/*",
            f"-Dlog4j.configuration={(root / 'local-stack/emulators/kafka/log4j.properties').as_uri()}",
            main_class,
            *arguments,
        ]

    def _properties(self) -> Path:
        """Written anew for each start: the controller takes whatever port is free."""
        controller = f"127.0.0.1:{ports.free_port()}"
        own = {
            "listeners": f"PLAINTEXT://{self.settings.brokers},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.settings.brokers}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(self.state / "data"),
        }
        common = (self.settings.root / "local-stack/emulators/kafka/server.properties").read_text(encoding="ascii")
        path = self.state / "server.properties"
        path.parent.mkdir(parents=True, exist_ok=True)
        properties = "".join(f"{name}={java_property(value)}\n" for name, value in own.items())
        path.write_text(common + properties, encoding="ascii")
        return path

    def _format(self, properties: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With the sign: an id may begin with a hyphen.
        identity = f"--cluster-id={cluster}"
        command = self._java("kafka.tools.StorageTool", "format", identity, "--config", properties)
        environment = self.settings.child_environment()
        result = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)
        if result.returncode != 0:
            raise Failure("Kafka's storage could not be formatted", (result.stderr or result.stdout).strip())


def java_property(value: str) -> str:
    """`value` as java.util.Properties reads it: in ASCII, with a backslash before what it would take apart."""
    escaped = value.replace("\\", "\\\\")
    utf16 = escaped.encode("utf-16-be")
    units = [int.from_bytes(utf16[at : at + 2], "big") for at in range(0, len(utf16), 2)]
    return "".join(chr(unit) if 0x20 <= unit < 0x7F else f"\\u{unit:04x}" for unit in units)


def provision_topic(settings: Settings) -> str:
    """Makes the topic, or checks it; gives back a line about it."""
    event_source = settings.artifact("event-source")
    if not event_source.exists():
        raise Failure(f"{event_source.relative_to(settings.root)} does not exist", "make setup builds it.")
    command = [event_source, "topic", "--topic", settings.stream, "--partitions", str(settings.shards)]
    result = subprocess.run(
        command,
        env=settings.child_environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    if result.returncode != 0:
        raise Failure("the topic could not be made", result.stderr.strip())
    return f"topic {settings.stream} at {settings.brokers}, {settings.shards} partitions"
