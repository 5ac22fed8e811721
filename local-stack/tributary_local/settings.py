"""Where the local stack keeps its things and how its parts reach one another."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost")

# Set for every process of a stack, and so for their children: what carries it belongs to the stack.
STATE_VARIABLE = "TRIBUTARY_STATE"


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
    environment: Mapping[str, str]
    """The environment of the orchestrator, from which that of each child is made."""

    @classmethod
    def from_environment(cls, root: Path, environment: Mapping[str, str]) -> "Settings":
        """The stack that `local-stack/env.sh` describes.

        Raises SettingsError when a variable is missing or the endpoint is not on this machine.
        """

        def value(name: str) -> str:
            if not environment.get(name):
                raise SettingsError(f"{name} is not set; run this through make, or source local-stack/env.sh first")
            return environment[name]

        shards = value("TRIBUTARY_SHARDS")
        if not shards.isdecimal() or int(shards) == 0:
            raise SettingsError(f"TRIBUTARY_SHARDS is '{shards}'; it must be a whole number above 0")
        return cls(
            root=root,
            state=root / ".local",
            out=root / "out",
            port=local_port(value("AWS_ENDPOINT_URL")),
            region=value("AWS_REGION"),
            bucket=value("TRIBUTARY_BUCKET"),
            stream=value("TRIBUTARY_STREAM"),
            shards=int(shards),
            queue=value("TRIBUTARY_ON_FAILURE_QUEUE"),
            environment=dict(environment),
        )

    def beside(self, name: str, port: int) -> "Settings":
        """A second stack beside this one, with its own state under this one's and its own port."""
        state = self.state / name
        return replace(self, state=state, out=state / "out", port=port)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

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
        return self.artifact("ingest-kinesis")

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
            **additions,
        }


def local_port(endpoint: str) -> int:
    """The port of an endpoint such as http://127.0.0.1:4566, which must be on this machine."""
    rule = "the local stack needs http://127.0.0.1:PORT"
    parts = urlsplit(endpoint)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "http" or parts.hostname not in LOOPBACK or port is None:
        raise SettingsError(f"AWS_ENDPOINT_URL is '{endpoint}'; {rule}")
    return port
