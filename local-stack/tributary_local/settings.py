"""Where the local stack keeps its things and how its parts reach one another."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost")
BROKERS = ("kinesis", "redpanda")

# Set for every process of a stack, and so for their children: what carries it belongs to the stack.
STATE_VARIABLE = "TRIBUTARY_STATE"

# All that local-stack/env.sh leaves of AWS's variables. Each of the others could point an SDK off this machine.
AWS_VARIABLES = {
    "AWS_ACCESS_KEY_ID",
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SHARED_CREDENTIALS_FILE",
}


class SettingsError(Exception):
    """A setting that cannot be used; the message names it, its value and the rule."""


@dataclass(frozen=True)
class Settings:
    """One local stack. Two stacks with different `state` and `port` run side by side."""

    root: Path
    """The repository."""
    state: Path
    """Everything the stack leaves behind: logs, process ids, ledgers, checkpoints, LocalStack's files."""
    out: Path
    """Where results for people go."""
    port: int
    """The port of LocalStack on the loopback interface."""
    region: str
    bucket: str
    stream: str
    shards: int
    queue: str
    broker: str
    """Where the events go: `kinesis`, or `redpanda` (a container, or Apache Kafka as a process in its place)."""
    broker_port: int
    """The port of the latter on the loopback interface."""
    environment: Mapping[str, str]
    """The environment of the orchestrator, from which that of each child is made."""

    @classmethod
    def from_environment(cls, root: Path, environment: Mapping[str, str]) -> "Settings":
        """The stack that `local-stack/env.sh` describes.

        Raises SettingsError when a variable is missing, when the endpoint is not on this machine, or when a variable or
        a file of the user's could still send requests elsewhere.
        """

        through_make = "run this through make, or source local-stack/env.sh first"
        for name in sorted(environment):
            if name.startswith("AWS_") and name not in AWS_VARIABLES:
                raise SettingsError(f"{name} is set, and could send requests off this machine; {through_make}")

        def value(name: str) -> str:
            if not environment.get(name):
                raise SettingsError(f"{name} is not set; {through_make}")
            return environment[name]

        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            if value(name) != os.devnull:
                raise SettingsError(f"{name} is '{environment[name]}', must be {os.devnull}; {through_make}")

        state = root / ".local"
        broker = environment.get("BROKER") or broker_that_is_up(state)
        if broker not in BROKERS:
            raise SettingsError(f"BROKER is '{broker}'; it must be {' or '.join(BROKERS)}")
        shards = value("TRIBUTARY_SHARDS")
        if not shards.isdecimal() or int(shards) == 0:
            raise SettingsError(f"TRIBUTARY_SHARDS is '{shards}'; it must be a whole number above 0")
        return cls(
            root=root,
            state=state,
            out=root / "out",
            port=local_port("AWS_ENDPOINT_URL", value("AWS_ENDPOINT_URL"), "http"),
            region=value("AWS_REGION"),
            bucket=value("TRIBUTARY_BUCKET"),
            stream=value("TRIBUTARY_STREAM"),
            shards=int(shards),
            queue=value("TRIBUTARY_ON_FAILURE_QUEUE"),
            broker=broker,
            broker_port=local_port("TRIBUTARY_BROKERS", value("TRIBUTARY_BROKERS"), ""),
            environment=dict(environment),
        )

    def beside(self, name: str, port: int, broker_port: int | None = None) -> "Settings":
        """A second stack beside this one, with its own state under this one's and its own ports.

        What COMPOSE_PROFILES names has ports of its own, and stays with this one.
        """
        state = self.state / name
        return replace(
            self,
            state=state,
            out=state / "out",
            port=port,
            broker_port=broker_port or self.broker_port,
            environment={name: value for name, value in self.environment.items() if name != "COMPOSE_PROFILES"},
        )

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def brokers(self) -> str:
        """Address of the broker of a topic."""
        return f"127.0.0.1:{self.broker_port}"

    @property
    def is_kafka(self) -> bool:
        """Whether the events go to a topic, by Kafka's protocol."""
        return self.broker == "redpanda"

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def ledger(self) -> Path:
        return self.state / "ledger"

    @property
    def event_source_state(self) -> Path:
        return self.state / "event-source"

    @property
    def checkpoints(self) -> Path:
        return self.event_source_state / "checkpoints.json"

    @property
    def function(self) -> Path:
        return self.artifact(f"ingest-{self.broker}")

    def artifact(self, binary: str) -> Path:
        """The built binary, where the build puts it."""
        return self.root / "target" / "lambda" / binary / "bootstrap"

    def python(self, venv: str) -> Path:
        """The interpreter of the locked environment `stack`, `lake` or `build`."""
        return self.root / ".local" / "venv" / venv / "bin" / "python"

    def child_environment(self, **additions: str) -> dict[str, str]:
        """The environment of a process that talks to this stack."""
        return {
            **self.environment,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "TRIBUTARY_BUCKET": self.bucket,
            "TRIBUTARY_STREAM": self.stream,
            "TRIBUTARY_SHARDS": str(self.shards),
            "TRIBUTARY_ON_FAILURE_QUEUE": self.queue,
            "BROKER": self.broker,
            "TRIBUTARY_BROKERS": self.brokers,
            **additions,
        }


def broker_file(state: Path) -> Path:
    """Says which broker a stack was brought up with."""
    return state / "run/broker"


def broker_that_is_up(state: Path) -> str:
    """The broker of the stack that is up; Kinesis when none is."""
    try:
        return broker_file(state).read_text(encoding="utf-8")
    except FileNotFoundError:
        return BROKERS[0]


def local_port(name: str, endpoint: str, scheme: str) -> int:
    """The port of an endpoint such as http://127.0.0.1:4566, which must be on this machine. `name`: of its variable."""
    start = f"{scheme}://" if scheme else ""
    parts = urlsplit(endpoint if scheme else f"//{endpoint}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != scheme or parts.hostname not in LOOPBACK or port is None:
        raise SettingsError(f"{name} is '{endpoint}'; the local stack needs {start}127.0.0.1:PORT")
    return port
