"""Whatever the shell and ~/.aws say, a child of the local stack hears none of it."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hostile import KEY_LIKE_AN_ACCOUNT, Elsewhere, elsewhere, hostile_environment
from rich.console import Console

from tributary_local import jobs
from tributary_local.parts import ports
from tributary_local.parts.containers import LocalStackContainer, docker_answers
from tributary_local.parts.event_source import EventSource
from tributary_local.parts.kafka import KafkaProcess, provision_topic
from tributary_local.parts.localstack import LocalStackProcess
from tributary_local.parts.monitor import Monitor
from tributary_local.parts.stack import Stack
from tributary_local.runs.deployment import DeploymentSettings, DeploymentTarget, place_on
from tributary_local.settings import AWS_VARIABLES, Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]
CLOSED = ROOT / "local-stack/closed"


def closed(environment: Mapping[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """As the Makefile calls it."""
    return subprocess.run(
        ["bash", "-p", CLOSED, *(command or ("env", "-0"))],
        env=dict(environment),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What a command in the closed environment is given."""
    done = closed(environment)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(entry.split("=", 1) for entry in done.stdout.rstrip("\0").split("\0"))


@pytest.fixture
def place() -> Iterator[Elsewhere]:
    with elsewhere() as listener:
        yield listener


@pytest.fixture
def hostile(tmp_path: Path, place: Elsewhere) -> dict[str, str]:
    return hostile_environment(tmp_path, place)


def is_closed(environment: Mapping[str, str], hostile: Mapping[str, str]) -> None:
    """Asserts that nothing of `hostile` is left but where the tools are and whose they are."""
    left = {name for name in hostile if environment.get(name) == hostile[name]} - {"PATH", "HOME"}
    assert left == set()
    assert {name for name in environment if name.startswith("AWS_")} <= AWS_VARIABLES
    assert not {name for name in environment if name.lower().endswith("_proxy")} - {"NO_PROXY", "no_proxy"}
    assert environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert environment["AWS_EC2_METADATA_DISABLED"] == "true"
    assert KEY_LIKE_AN_ACCOUNT not in environment.values()


def test_nothing_of_a_hostile_shell_is_left_but_where_the_tools_are(hostile: dict[str, str], place: Elsewhere) -> None:
    environment = variables(hostile)
    is_closed(environment, hostile)
    assert environment["AWS_ACCESS_KEY_ID"] == "test"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert environment["LC_ALL"].endswith("UTF-8")
    assert place.visits == []


def test_what_the_stack_is_told_reaches_it_whole() -> None:
    told = {
        "PATH": os.environ["PATH"],
        "TRIBUTARY_STREAM": "two\nlines, 'quotes' and \"more\" ü",
        "BROKER": "redpanda",
        "COMPOSE_PROFILES": "console",
        "JAVA_HOME": "/opt/my java",
        "NO_COLOR": "",
        "DOCKER_HOST": "unix:///run/user/1000/docker.sock",
    }
    environment = variables(told)
    assert {name: environment.get(name) for name in told} == told


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_another_port_of_this_machine_can_be_chosen(host: str) -> None:
    chosen = {"AWS_ENDPOINT_URL": f"http://{host}:4600/", "TRIBUTARY_BROKERS": f"{host}:9192"}
    environment = variables({"PATH": os.environ["PATH"], **chosen})
    # By number: a name is what somebody's resolver makes of it.
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4600"
    assert environment["TRIBUTARY_BROKERS"] == "127.0.0.1:9192"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "https://s3.example.com"),
        ("AWS_ENDPOINT_URL", "https://127.0.0.1:4566"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566@example.com"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566@example.com:80"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1.example.com:4566"),
        ("AWS_ENDPOINT_URL", "http://localhost.example.com:4566"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1"),
        ("AWS_ENDPOINT_URL", "http://[::1]:4566"),
        ("AWS_ENDPOINT_URL", "http://0.0.0.0:4566"),
        ("AWS_ENDPOINT_URL", "$(touch hacked)"),
        ("TRIBUTARY_BROKERS", "kafka.example.com:9092"),
        ("TRIBUTARY_BROKERS", "127.0.0.1:9092,kafka.example.com:9092"),
        ("TRIBUTARY_BROKERS", "kafka.example.com:9092,127.0.0.1:9092"),
        ("TRIBUTARY_SPARK_MASTER", "spark://127.0.0.1:7077"),
        ("TRIBUTARY_SPARK_MASTER", "yarn"),
    ],
)
def test_an_address_off_this_machine_is_refused_in_one_line(name: str, value: str) -> None:
    done = closed({"PATH": os.environ["PATH"], name: value})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{name} is '{value}'; the local stack needs ")
    assert done.stderr.count("\n") == 1


def test_a_shell_that_looks_at_the_stack_keeps_its_own_variables_but_for_those_of_aws(hostile: dict[str, str]) -> None:
    command = ["sh", "-c", f"unset ENV; . '{ROOT}/local-stack/env.sh' && env -0"]
    theirs = {name: value for name, value in hostile.items() if not name.startswith("BASH_FUNC")}
    found = subprocess.run(command, env=theirs, capture_output=True, text=True, encoding="utf-8", check=True).stdout
    environment = dict(entry.split("=", 1) for entry in found.rstrip("\0").split("\0"))
    assert {name for name in environment if name.startswith("AWS_")} == AWS_VARIABLES
    assert environment["TZ"] == hostile["TZ"]
    assert "127.0.0.1" in environment["NO_PROXY"]


@pytest.mark.parametrize(
    "name", ["AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT"]
)
def test_a_verb_that_is_called_in_an_open_environment_refuses(environment: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is set.*make"):
        Settings.from_environment(Path(), {**environment, name: "x"})


def test_a_verb_that_would_read_the_users_files_refuses(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"AWS_CONFIG_FILE is '/home/me/.aws/config', must be /dev/null"):
        Settings.from_environment(Path(), {**environment, "AWS_CONFIG_FILE": "/home/me/.aws/config"})


class Started(Exception):
    """In the place of a child: its command and environment were noted."""


@pytest.fixture
def inside(hostile: dict[str, str]) -> dict[str, str]:
    """What the orchestrator finds when a hostile shell calls a verb."""
    return variables(hostile)


@pytest.fixture
def children(
    inside: dict[str, str], hostile: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> list[tuple[list[str], Mapping[str, str] | None]]:
    """The command and the environment of every child that would have been started."""
    # No child may inherit this process' own environment, which is hostile here.
    for name in hostile.keys() - {"PATH", "PYTHONHOME", "TMPDIR"}:
        monkeypatch.setenv(name, hostile[name])
    noted: list[tuple[list[str], Mapping[str, str] | None]] = []

    def start(command: Any, *_: object, **options: Any) -> None:
        noted.append(([str(part) for part in command], options.get("env")))
        raise Started

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(subprocess, "run", start)
    return noted


def test_every_child_has_the_closed_environment(
    tmp_path: Path,
    hostile: dict[str, str],
    inside: dict[str, str],
    children: list[tuple[list[str], Mapping[str, str] | None]],
) -> None:
    settings = Settings.from_environment(tmp_path, {**inside, "BROKER": "redpanda", "TRIBUTARY_DOCKER": "0"})
    deployment = DeploymentSettings.from_environment(tmp_path, inside)
    for binary in ("event-source", "producer", "ingest-redpanda"):
        settings.artifact(binary).parent.mkdir(parents=True, exist_ok=True)
        settings.artifact(binary).touch()
    settings.python("monitor").parent.mkdir(parents=True)
    settings.python("monitor").touch()
    broker = tmp_path / "local-stack/emulators/kafka/server.properties"
    broker.parent.mkdir(parents=True)
    broker.touch()
    beside = settings.beside("beside", ports.free_port(), ports.free_port())
    verbs = {
        "LocalStack": LocalStackProcess(beside).start,
        "its container": LocalStackContainer(beside).start,
        "Kafka": KafkaProcess(beside).start,
        "the topic": lambda: provision_topic(settings),
        "provision.sh": Stack(settings, Console(quiet=True)).provision,
        "event source": EventSource(settings).start,
        "monitor": lambda: Monitor(settings).start(),
        "producer": lambda: jobs.produce(settings, []),
        "report": lambda: jobs.report(settings),
        "validate": lambda: jobs.validate(settings),
        "verify": lambda: jobs.verify(settings),
        "check of the dashboards": lambda: jobs.check_panels(settings),
        "deployment's LocalStack": DeploymentTarget(deployment.beside("deployment", ports.free_port())).start,
        "deployment's tools": lambda: place_on(deployment).cdk("deploy"),
    }
    for name, verb in verbs.items():
        with pytest.raises(Started):
            verb()
        ((command, environment),) = children
        children.clear()
        assert environment is not None, f"{name} inherits"
        is_closed(environment, hostile)
        assert KEY_LIKE_AN_ACCOUNT not in " ".join(command)


def test_the_function_reads_no_file_of_the_users(settings: Settings) -> None:
    given = EventSource(settings)._function_environment()
    assert "--function-env=AWS_CONFIG_FILE=/dev/null" in given
    assert "--function-env=AWS_SHARED_CREDENTIALS_FILE=/dev/null" in given


def test_localstack_reads_no_settings_of_the_users(settings: Settings, tmp_path: Path) -> None:
    environment = LocalStackProcess(settings)._environment(tmp_path)
    assert environment["CONFIG_DIR"] == str(tmp_path / "config")


@pytest.mark.parametrize(
    ("where", "answers"), [("unix:///var/run/docker.sock", True), ("tcp://10.0.0.1:2375", False), ("ssh://far", False)]
)
def test_a_docker_engine_on_another_machine_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str, answers: bool
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\n[ $1 = info ] || echo {where}\n", encoding="utf-8")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert docker_answers() is answers
