"""LocalStack as a process, and what a container of it shares: Kinesis (where it is the broker), S3, CloudWatch and SQS
on one port."""

import json
import shutil
import time
import urllib.request
from pathlib import Path

import psutil

from tributary_local.failure import Failure, last_lines
from tributary_local.parts import ports, processes
from tributary_local.settings import Settings

SERVICES = ("s3", "cloudwatch", "sqs")
KINESIS_LOCAL = "kinesis-local/0.4.13"
QUERIES = "cloudwatch_queries"
START_SECONDS = 90
STOP_SECONDS = 15


def services(settings: Settings) -> tuple[str, ...]:
    """What LocalStack serves: everything of AWS's but a broker that is elsewhere."""
    return SERVICES if settings.is_kafka else ("kinesis", *SERVICES)


def is_healthy(settings: Settings) -> bool:
    """Whether LocalStack answers and has all services."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{settings.endpoint}/_localstack/health", timeout=5) as response:
            states = json.load(response)["services"]
    except (OSError, ValueError, KeyError):
        return False
    return all(states.get(name) in ("available", "running") for name in services(settings))


def wait_until_healthy(settings: Settings, process: psutil.Process) -> None:
    """Returns when LocalStack can be used; raises Failure when it ends before, or takes over 90 seconds."""
    deadline = time.monotonic() + START_SECONDS
    while not is_healthy(settings):
        if not processes.is_alive(process):
            raise Failure("LocalStack ended while starting", last_lines(log_file(settings)))
        if time.monotonic() > deadline:
            raise Failure(f"LocalStack is not healthy after {START_SECONDS} s", last_lines(log_file(settings)))
        time.sleep(0.1)


def log_file(settings: Settings) -> Path:
    return settings.log / "localstack.log"


class LocalStackProcess:
    """Without Docker: the locked LocalStack, run by the locked Python."""

    name = "LocalStack"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pid_file = settings.run / "localstack.pid"

    def running(self) -> psutil.Process | None:
        return processes.read_pid_file(self.pid_file)

    def remembered(self) -> bool:
        """Whether it was started and not stopped since, running or not."""
        return self.pid_file.exists()

    def start(self) -> None:
        """Raises Failure when the port is taken, or LocalStack does not become healthy."""
        ports.require_free(self.settings.port, "AWS_ENDPOINT_URL=http://127.0.0.1:4600 make …")
        process = processes.start(
            [self.settings.python("stack"), "-m", "localstack.runtime.main"],
            log=log_file(self.settings),
            pid_file=self.pid_file,
            state=self.settings.state,
            environment=self._environment(self._make_filesystem()),
        )
        wait_until_healthy(self.settings, process)

    def stop(self) -> None:
        if process := self.running():
            processes.stop(process, STOP_SECONDS)
        self.pid_file.unlink(missing_ok=True)

    def _make_filesystem(self) -> Path:
        """A fresh root for what LocalStack expects under /: our copy of the Kinesis emulator, and our start scripts."""
        root = self.settings.state / "localstack"
        shutil.rmtree(root, ignore_errors=True)
        emulator = root / "usr/lib/localstack" / KINESIS_LOCAL
        emulator.parent.mkdir(parents=True)
        emulator.symlink_to(self.settings.root / ".local/kinesis-local")
        scripts = root / "etc/localstack/init/start.d"
        scripts.mkdir(parents=True)
        for folder in ("start.d", "process"):
            for script in (self.settings.root / "local-stack/emulators/localstack" / folder).glob("*.py"):
                (scripts / script.name).symlink_to(script)
        # Found by start.d/cloudwatch_metric_data.py; in start.d itself every module would be run as a script.
        (scripts.parent / QUERIES).symlink_to(self.settings.root / "local-stack/emulators/localstack" / QUERIES)
        return root

    def _environment(self, filesystem: Path) -> dict[str, str]:
        on_loopback = self.settings.root / "local-stack/emulators/localstack/process/listen-on-loopback.cjs"
        # The keys are for its clients.
        without = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"}
        return {
            **{name: value for name, value in self.settings.environment.items() if name not in without},
            # It would read settings from ~/.localstack.
            "CONFIG_DIR": str(filesystem / "config"),
            "GATEWAY_LISTEN": f"127.0.0.1:{self.settings.port}",
            "SERVICES": ",".join(services(self.settings)),
            "EAGER_SERVICE_LOADING": "1",
            "FILESYSTEM_ROOT": str(filesystem),
            # Its guess is wrong on machines that are containers themselves; it would then write to /var/lib.
            "OVERRIDE_IN_DOCKER": "0",
            # In quotes with backslashes, as in JSON, but node knows no \\u….
            "NODE_OPTIONS": f"--require={json.dumps(str(on_loopback), ensure_ascii=False)}",
            "KINESIS_LATENCY": "0",
            "KINESIS_SHARD_LIMIT": "1000",
            "KINESIS_MOCK_LOG_LEVEL": "warn",
            "LS_LOG": "warn",
            # Nothing is fetched and nothing is reported.
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DNS_ADDRESS": "0",
        }
