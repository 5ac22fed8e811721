"""What a Docker engine is asked, told by a docker that only takes notes."""

import io
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from recording_docker import RecordingDocker
from rich.console import Console

from tributary_local.failure import Failure
from tributary_local.parts import containers, processes, stack
from tributary_local.parts.containers import (
    KAFKA,
    LOCALSTACK,
    PROFILES,
    LocalStackContainer,
    broker_answers,
    docker_answers,
)
from tributary_local.parts.event_source import EventSource
from tributary_local.parts.localstack import LocalStackProcess
from tributary_local.parts.monitor import PORT_VARIABLE
from tributary_local.parts.ports import free_port
from tributary_local.parts.stack import Stack
from tributary_local.runs.demo import show_dashboards
from tributary_local.runs.deployment import DeploymentContainer, DeploymentSettings, DeploymentTarget, deployment_target
from tributary_local.settings import Settings

LOCAL_STACK = Path(__file__).resolve().parents[1]
IMAGES = {"localstack": LOCALSTACK, "kafka": KAFKA}
COMPOSE = yaml.safe_load((LOCAL_STACK / "compose.yaml").read_text(encoding="utf-8"))["services"]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordingDocker:
    """First on the PATH; LocalStack is healthy as soon as its container runs."""
    recording = RecordingDocker(tmp_path / "bin", {service: image.name for service, image in IMAGES.items()})
    monkeypatch.setenv("PATH", recording.on_path)
    for module in (containers, stack):
        monkeypatch.setattr(module, "is_healthy", lambda _: "localstack" in recording.running)
    monkeypatch.setattr(containers, "answers", lambda _: "grafana" in recording.running)
    monkeypatch.setattr(containers, "broker_answers", lambda _: bool({"kafka", "redpanda"} & recording.running))
    return recording


class LocalStackSettings:
    """Makes the settings of a stack in a directory of the test, beside the real files of local-stack/."""

    def __init__(self, tmp_path: Path, environment: dict[str, str], path: str) -> None:
        (tmp_path / "local-stack").symlink_to(LOCAL_STACK)
        ports = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "TRIBUTARY_BROKERS": f"127.0.0.1:{free_port()}"}
        more = {"PATH": path, "TRIBUTARY_GRAFANA_PORT": str(free_port()), PORT_VARIABLE: str(free_port())}
        self.tmp_path = tmp_path
        self.environment = environment | ports | more

    def __call__(self, **more: str) -> Settings:
        return Settings.from_environment(self.tmp_path, self.environment | more)


@pytest.fixture
def with_variables(tmp_path: Path, environment: dict[str, str], docker: RecordingDocker) -> LocalStackSettings:
    return LocalStackSettings(tmp_path, environment, docker.on_path)


class NoEventSource(EventSource):
    """Nothing is built here that it could run."""

    is_up = False

    def running(self) -> bool:
        return self.is_up

    def start(self, *_: str) -> None:
        self.is_up = True

    def stop(self) -> None:
        self.is_up = False


def stack_of(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Its containers are noted; it provisions nothing."""
    settings.run.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(Stack, "provision", lambda self: (self.settings.run / "provisioned.json").write_text("{}"))
    return Stack(settings, Console(file=io.StringIO(), width=300), NoEventSource(settings))


@pytest.fixture
def make_stack(with_variables: LocalStackSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    made: list[Settings] = []

    def make(**more: str) -> Stack:
        made.append(with_variables(**more))
        return stack_of(made[-1], monkeypatch)

    yield make
    for settings in made:
        processes.kill(processes.belonging_to(settings.state))


def printed(of: Stack) -> str:
    return of.console.file.getvalue()


def test_up_starts_grafana_after_localstack_and_the_demo_says_where(make_stack, docker: RecordingDocker) -> None:
    whole = make_stack()
    whole.up(dashboards=True)
    first, second = docker.of("up")
    assert (first.services, first.profiles) == (set(), set())
    assert second.services == {"grafana"}
    assert "grafana" in second.profiles
    assert docker.running == {"localstack", "grafana"}
    address = f"http://127.0.0.1:{whole.settings.environment['TRIBUTARY_GRAFANA_PORT']}"
    assert show_dashboards(whole, whole.console) == address
    assert f"Live dashboards: {address}" in printed(whole)
    assert whole.monitor.running() is None


def test_profiles_that_are_asked_for_are_started_beside_the_brokers(make_stack, docker: RecordingDocker) -> None:
    make_stack(COMPOSE_PROFILES="console,grafana", BROKER="redpanda").up(dashboards=True)
    first, second = docker.of("up")
    assert first.profiles == {"console", "redpanda"}
    assert second.services == {"grafana"}
    assert docker.running == {"localstack", "console", "redpanda", "grafana"}


def test_kafka_takes_the_place_of_redpanda(make_stack, docker: RecordingDocker) -> None:
    whole = make_stack(BROKER="redpanda", TRIBUTARY_REDPANDA="0")
    whole.up()
    assert docker.running == {"localstack", "kafka"}
    assert whole.kafka is None
    assert [call.services for call in docker.of("build")] == [{"localstack"}, {"kafka"}]


def test_compose_is_told_ports_and_services_and_which_stack_it_is(make_stack, docker: RecordingDocker) -> None:
    whole = make_stack(BROKER="redpanda")
    whole.up(dashboards=True)
    for call in docker.of("up"):
        assert call.arguments[:3] == ["compose", "--project-name", f"tributary-{whole.settings.port}"]
        assert call.env["TRIBUTARY_PORT"] == str(whole.settings.port)
        assert call.env["TRIBUTARY_BROKER_PORT"] == str(whole.settings.broker_port)
        assert call.env["TRIBUTARY_SERVICES"] == "s3,cloudwatch,sqs"


def test_up_again_starts_only_what_is_missing(make_stack, docker: RecordingDocker) -> None:
    whole = make_stack()
    whole.up(dashboards=True)
    docker.forget()
    whole.up(dashboards=True)
    assert "already up and healthy" in printed(whole)
    assert docker.of("up") == []
    docker.stop("grafana")
    whole.up(dashboards=True)
    assert [call.services for call in docker.of("up")] == [{"grafana"}]


def test_down_stops_what_was_started_whatever_is_asked_for_by_then(make_stack, docker: RecordingDocker) -> None:
    make_stack(COMPOSE_PROFILES="console", BROKER="redpanda").up(dashboards=True)
    other = make_stack(TRIBUTARY_GRAFANA="0", TRIBUTARY_DOCKER="0")
    other.down()
    (down,) = docker.of("down")
    assert down.profiles == set(PROFILES)
    assert "--volumes" in down.arguments
    assert docker.running == set()
    assert not any(part.remembered() for part in other._parts())


@pytest.mark.parametrize(
    "more", [{"TRIBUTARY_GRAFANA": "0"}, {"TRIBUTARY_GRAFANA": "0", "COMPOSE_PROFILES": "grafana"}]
)
def test_without_grafana_the_demo_has_the_monitor(make_stack, docker: RecordingDocker, more: dict[str, str]) -> None:
    whole = make_stack(**more)
    monitor_that_sleeps(whole)
    whole.up(dashboards=True)
    assert docker.running == {"localstack"}
    assert show_dashboards(whole, whole.console) == whole.monitor.address


def test_a_grafana_that_cannot_be_had_is_a_warning_and_the_demo_has_the_monitor(
    make_stack, docker: RecordingDocker
) -> None:
    docker.refuse("--no-deps")
    whole = make_stack()
    monitor_that_sleeps(whole)
    whole.up(dashboards=True)
    assert "warning: no Grafana: docker compose up failed. no --no-deps today" in printed(whole)
    assert "up at http" in printed(whole)
    assert not whole.grafana.remembered()
    assert show_dashboards(whole, whole.console) == whole.monitor.address


def test_a_port_of_grafanas_that_is_taken_or_none_is_a_warning(make_stack, docker: RecordingDocker) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        whole = make_stack(TRIBUTARY_GRAFANA_PORT=str(port))
        whole.up(dashboards=True)
    assert re.search(rf"warning: no Grafana: port {port} is in use by .*TRIBUTARY_GRAFANA_PORT=", printed(whole))
    none = make_stack(TRIBUTARY_GRAFANA_PORT="grafana")
    none.up(dashboards=True)
    assert "TRIBUTARY_GRAFANA_PORT is 'grafana'; it must be a port, 1 to 65535" in printed(none)
    assert docker.running == {"localstack"}


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "TRIBUTARY_BROKERS"])
def test_a_container_whose_port_is_taken_is_not_started(with_variables, docker: RecordingDocker, name: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        scheme = "http://" if name == "AWS_ENDPOINT_URL" else ""
        settings = with_variables(BROKER="redpanda", **{name: f"{scheme}127.0.0.1:{port}"})
        with pytest.raises(Failure, match=rf"port {port} is in use by .*process \d+") as failure:
            LocalStackContainer(settings).start()
    assert name in failure.value.details
    assert docker.of("up") == []


def test_the_image_is_built_once_for_each_content_of_its_files_and_bases(make_stack, docker: RecordingDocker) -> None:
    first = make_stack()
    steps: list[str] = []

    def step(name: str) -> nullcontext:
        steps.append(name)
        return nullcontext()

    first.up(step)
    assert [call.services for call in docker.of("build")] == [{"localstack"}]
    assert steps[0] == "Build the image of localstack (minutes, the first time)"
    for more, builds in (({}, 1), ({"TRIBUTARY_PYTHON_IMAGE": "mine"}, 2), ({"TRIBUTARY_PYTHON_IMAGE": "mine"}, 2)):
        first.down()
        make_stack(**more).up(dashboards=True)
        assert len(docker.of("build")) == builds
    assert docker.of("build")[1].env["TRIBUTARY_PYTHON_IMAGE"] == "mine"


def test_an_image_that_cannot_be_built_says_why_and_starts_nothing(make_stack, docker: RecordingDocker) -> None:
    docker.refuse("build")
    with pytest.raises(Failure, match="the image of localstack could not be built") as failure:
        make_stack().up(dashboards=True)
    assert "no build today" in failure.value.details
    assert docker.of("up") == []


def test_a_localstack_that_does_not_answer_is_taken_down_and_its_log_is_shown(
    make_stack, docker: RecordingDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "START_SECONDS", 0)
    monkeypatch.setattr(containers, "is_healthy", lambda _: False)
    with pytest.raises(Failure, match="LocalStack does not answer after 0 s") as failure:
        make_stack().up()
    assert failure.value.details.startswith("The end of ")
    assert docker.running == set()


def test_a_broker_that_has_died_is_not_up(make_stack, docker: RecordingDocker) -> None:
    whole = make_stack(BROKER="redpanda")
    whole.up(dashboards=True)
    assert whole.localstack.running()
    docker.stop("redpanda")
    assert not whole.localstack.running()


def test_containers_of_another_clone_are_not_this_ones(with_variables, docker: RecordingDocker) -> None:
    LocalStackContainer(with_variables()).compose.run("up", "localstack")
    assert docker.running == {"localstack"}
    assert not LocalStackContainer(with_variables()).running()


def test_a_stack_beside_leaves_grafana_and_what_else_was_asked_for_to_the_first(
    with_variables, docker: RecordingDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = with_variables(COMPOSE_PROFILES="console").beside("beside", free_port(), free_port())
    stack_of(beside, monkeypatch).up()
    assert docker.running == {"localstack"}


def test_a_deployment_has_a_container_with_more_services(
    with_variables: LocalStackSettings, docker: RecordingDocker
) -> None:
    settings = DeploymentSettings(**vars(with_variables().beside("deployment", free_port())))
    with deployment_target(settings):
        assert docker.running == {"localstack"}
    assert docker.running == set()
    (build,), (up,) = docker.of("build"), docker.of("up")
    overlay = "local-stack/emulators/localstack/deploy/compose.yaml"
    for call in (build, up):
        assert call.arguments[3:5] == ["--file=local-stack/compose.yaml", f"--file={overlay}"]
    assert {"cloudformation", "lambda"} <= set(up.env["TRIBUTARY_SERVICES"].split(","))
    localstack = yaml.safe_load((LOCAL_STACK.parent / overlay).read_text(encoding="utf-8"))["services"]["localstack"]
    assert localstack["image"] == DeploymentContainer.image.name
    assert f"set-up/{localstack['build']['args']['LOCK']}.lock" in DeploymentContainer.image.files
    process = DeploymentTarget(settings)._environment(settings.state)
    assert set(localstack["environment"]) < set(process)


def test_an_engine_without_compose_is_none(docker: RecordingDocker, with_variables) -> None:
    assert docker_answers()
    docker.refuse("version")
    assert not docker_answers()
    assert isinstance(containers.localstack(with_variables()), LocalStackProcess)


def test_compose_publishes_on_this_machine_only_and_has_no_other_profiles() -> None:
    assert {name for service in COMPOSE.values() for name in service.get("profiles", [])} == set(PROFILES)
    for service in COMPOSE.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    # A profile has the name of its service.
    assert all(service.get("profiles", [name]) == [name] for name, service in COMPOSE.items())


def test_no_process_is_started_every_few_seconds_to_see_whether_a_container_is_healthy() -> None:
    assert not [name for name, service in COMPOSE.items() if "healthcheck" in service]
    assert not [file for file in LOCAL_STACK.glob("emulators/*/Dockerfile") if "HEALTHCHECK" in file.read_text()]


@pytest.mark.parametrize(("said", "answers"), [(struct.pack(">ii", 4, 1), True), (b"", False)])
def test_a_broker_is_there_when_it_tells_its_versions(said: bytes, answers: bool) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        asked: list[bytes] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(100))
                connection.sendall(said)

        server = threading.Thread(target=serve)
        server.start()
        assert broker_answers(listener.getsockname()[1]) is answers
        server.join()
    # Length, key 18 and version 0, correlation, no client's name.
    assert asked == [bytes.fromhex("0000000a0012000000000001ffff")]


def test_grafana_is_where_compose_publishes_it() -> None:
    assert COMPOSE["grafana"]["ports"] == ["127.0.0.1:${TRIBUTARY_GRAFANA_PORT:-3000}:3000"]


@pytest.mark.parametrize("service", list(IMAGES))
def test_an_image_is_made_from_exactly_the_files_that_its_dockerfile_copies(service: str) -> None:
    build = COMPOSE[service]["build"]
    dockerfile = (LOCAL_STACK / build["dockerfile"]).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split() for line in dockerfile.splitlines() if line.startswith("COPY ") and "--from" not in line]
    copied = {path.replace("${LOCK}", "stack") for line in lines for path in line[1:-1]}
    assert copied | {build["dockerfile"]} == set(IMAGES[service].files)
    assert COMPOSE[service]["image"] == IMAGES[service].name


@pytest.mark.parametrize("service", list(IMAGES))
def test_a_base_is_fixed_by_digest_and_can_be_another(service: str) -> None:
    build = COMPOSE[service]["build"]
    dockerfile = (LOCAL_STACK / build["dockerfile"]).read_text(encoding="utf-8")
    defaults = dict(re.findall(r"^ARG (TRIBUTARY_\w+)=(\S+)$", dockerfile, flags=re.MULTILINE))
    assert list(defaults) == build["args"]
    assert set(defaults) <= set(containers.BASES)
    assert all(re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image) for image in defaults.values())
    # And nothing is made from anything else.
    bases = re.findall(r"^FROM (\S+)", dockerfile, flags=re.MULTILINE)
    assert set(bases) == {f"${{{name}}}" for name in defaults}


def test_images_bear_the_versions_of_the_locks() -> None:
    lock = (LOCAL_STACK / "set-up/stack.lock").read_text(encoding="utf-8")
    assert f"\nlocalstack-core=={LOCALSTACK.name.partition(':')[2]} " in re.sub(r"\[[\w,-]+\]", "", lock)
    pom = (LOCAL_STACK / "set-up/kafka/pom.xml").read_text(encoding="utf-8")
    assert f"<kafka.version>{KAFKA.name.partition(':')[2]}<" in pom


def test_localstack_has_the_settings_of_the_process(settings: Settings, tmp_path: Path) -> None:
    process = LocalStackProcess(settings)._environment(tmp_path)
    container = COMPOSE["localstack"]["environment"]
    dockerfile = (LOCAL_STACK / "emulators/localstack/Dockerfile").read_text(encoding="utf-8")
    (fixed,) = re.findall(r"^ENV (.+)$", dockerfile, flags=re.MULTILINE)
    container = dict(pair.split("=", 1) for pair in fixed.split()) | container
    # Where it is and where its files are, and who may reach it.
    own = {"SERVICES", "GATEWAY_LISTEN", "OVERRIDE_IN_DOCKER"}
    shared = {name: value for name, value in container.items() if name not in own}
    assert shared == {name: process[name] for name in shared}
    theirs = set(process) - set(settings.environment) - own - {"CONFIG_DIR", "FILESYSTEM_ROOT", "NODE_OPTIONS"}
    assert set(shared) == theirs


def monitor_that_sleeps(of: Stack) -> None:
    python = of.settings.python("monitor")
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nsleep 60\n")
    python.chmod(0o755)
