"""What is said and refused before anything is started, and how times are shown."""

import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tributary_local import contract, jobs
from tributary_local.failure import Failure, last_lines
from tributary_local.parts import ports
from tributary_local.parts.kafka import KafkaProcess
from tributary_local.parts.localstack import LocalStackProcess, services
from tributary_local.parts.stack import Stack, duration
from tributary_local.runs.catch_up import StallWatch
from tributary_local.runs.steps import Steps
from tributary_local.settings import Settings, SettingsError, broker_file, local_port


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_somebody_listens_on_is_not_free(taken_port: int) -> None:
    assert not ports.is_free(taken_port)
    assert ports.is_free(ports.free_port())


def test_the_process_that_has_the_port_is_named(settings: Settings, taken_port: int) -> None:
    with pytest.raises(Failure, match=rf"port {taken_port} is in use by .*process \d+"):
        LocalStackProcess(settings.beside("second", taken_port)).start()


def test_a_stack_beside_another_shares_neither_state_nor_port(settings: Settings) -> None:
    second = settings.beside("second", 4600)
    assert second.endpoint == "http://127.0.0.1:4600"
    assert second.ledger == settings.state / "second/ledger"
    assert second.child_environment()["AWS_ENDPOINT_URL"] == second.endpoint
    assert second.function == settings.function


@pytest.mark.parametrize(
    "endpoint", ["", "127.0.0.1:4566", "http://127.0.0.1", "https://127.0.0.1:4566", "http://example.com:4566"]
)
def test_an_endpoint_that_is_not_on_this_machine_is_refused(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="AWS_ENDPOINT_URL is"):
        local_port("AWS_ENDPOINT_URL", endpoint, "http")


@pytest.mark.parametrize("brokers", ["", "9092", "http://127.0.0.1:9092", "kafka.example.com:9092", "127.0.0.1"])
def test_a_broker_that_is_not_on_this_machine_is_refused(environment: dict[str, str], brokers: str) -> None:
    with pytest.raises(SettingsError, match="TRIBUTARY_BROKERS is"):
        Settings.from_environment(Path(), {**environment, "TRIBUTARY_BROKERS": brokers})


def test_the_broker_is_the_one_asked_for_or_the_one_that_is_up_or_kinesis(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    def broker(**more: str) -> str:
        return Settings.from_environment(tmp_path, {**environment, **more}).broker

    assert broker() == "kinesis"
    assert broker(BROKER="redpanda") == "redpanda"
    up = broker_file(tmp_path / ".local")
    up.parent.mkdir(parents=True)
    up.write_text("redpanda")
    assert broker() == "redpanda"
    assert broker(BROKER="kinesis") == "kinesis"
    with pytest.raises(SettingsError, match="BROKER is 'kafka'; it must be kinesis or redpanda"):
        broker(BROKER="kafka")


def test_a_topic_is_read_and_written_by_its_own_function_and_options(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    settings = Settings.from_environment(tmp_path, {**environment, "BROKER": "redpanda"})
    assert settings.function.parent.name == "ingest-redpanda"
    command = [str(part) for part in jobs.producer_command(settings, [])]
    assert "--stream" not in command
    assert command[command.index("--brokers") + 1] == "127.0.0.1:9092"
    assert "kinesis" not in services(settings)
    # The event source tells the function what its mapping reads.
    assert not [name for name in settings.child_environment() if "PARTIAL_RESPONSE" in name]


def test_a_broker_whose_port_is_taken_is_not_started(
    tmp_path: Path, environment: dict[str, str], taken_port: int
) -> None:
    brokers = {"BROKER": "redpanda", "TRIBUTARY_BROKERS": f"127.0.0.1:{taken_port}"}
    settings = Settings.from_environment(tmp_path, {**environment, **brokers})
    with pytest.raises(Failure, match=rf"port {taken_port} is in use by .*process \d+"):
        KafkaProcess(settings).start()


def test_the_contract_is_the_one_asked_for_or_the_one_that_is_up(tmp_path: Path, environment: dict[str, str]) -> None:
    def settings(**more: str) -> Settings:
        return Settings.from_environment(tmp_path, {**environment, **more})

    def follows(asked: Settings) -> str | None:
        return contract.followed(asked).environment.get(contract.VARIABLE)

    bays = tmp_path / "bays.toml"
    bays.write_text("# bays\n")
    asked = settings(TRIBUTARY_CONTRACT=str(bays))
    assert follows(settings()) is None
    asked.run.mkdir(parents=True)
    contract.remember(asked)
    assert follows(settings()) == str(bays)
    assert follows(settings(TRIBUTARY_CONTRACT="other.toml")) == "other.toml"
    Stack(settings(), quiet()).down()
    assert follows(settings()) is None


def test_an_event_source_that_holds_events_to_another_contract_is_started_anew(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    bays = tmp_path / "bays.toml"
    bays.write_text("# bays\n")
    settings = Settings.from_environment(tmp_path, environment)
    asked = Settings.from_environment(tmp_path, {**environment, "TRIBUTARY_CONTRACT": str(bays)})
    assert not contract.is_up(settings)
    settings.run.mkdir(parents=True)
    contract.remember(settings)
    assert contract.is_up(settings)
    assert not contract.is_up(asked)
    contract.remember(asked)
    assert contract.is_up(asked)
    bays.write_text("# bays, changed\n")
    assert not contract.is_up(asked)


@pytest.mark.parametrize(("name", "value"), [("TRIBUTARY_SHARDS", "0"), ("TRIBUTARY_SHARDS", "-1"), ("AWS_REGION", "")])
def test_a_setting_that_cannot_be_used_is_named(environment: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment(Path(), {**environment, name: value})


def test_the_state_of_a_lost_localstack_is_discarded_with_it(settings: Settings) -> None:
    broker = settings.state / "kafka-broker"
    for folder in (settings.ledger, settings.event_source_state, broker):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    stack = Stack(settings, quiet())
    stack._discard_lost_state()
    assert not settings.ledger.exists()
    assert not settings.event_source_state.exists()
    assert not broker.exists()


def test_nothing_up_is_said_and_is_no_failure(settings: Settings) -> None:
    console = quiet()
    Stack(settings, console).down()
    assert "nothing was up" in console.file.getvalue()


def test_a_second_up_or_down_at_the_same_time_is_refused(settings: Settings) -> None:
    first, second = Stack(settings, quiet()), Stack(settings, quiet())
    with first._alone(), pytest.raises(Failure, match="another up or down"):
        second.down()
    second.down()


def test_standing_still_is_noticed_only_after_the_limit_and_any_progress_starts_it_anew() -> None:
    watch = StallWatch(limit=10)
    assert [watch.is_stalled(5, now) for now in (100, 105, 110)] == [False, False, False]
    assert watch.is_stalled(5, 110.1)
    assert not watch.is_stalled(6, 111)
    assert not watch.is_stalled(6, 121)
    assert watch.is_stalled(6, 121.1)


def test_steps_are_timed_in_order_and_added_up() -> None:
    ticks = iter([10.0, 12.5, 20.0, 21.0])
    steps = Steps(quiet(), clock=lambda: next(ticks))
    with steps.step("first"):
        pass
    with steps.step("second"):
        assert steps.current == "second"
    assert steps.seconds == [("first", 2.5), ("second", 1.0)]
    assert steps.total == 3.5


def test_a_failed_step_stays_the_current_one_for_the_message() -> None:
    steps = Steps(quiet())
    with pytest.raises(Failure), steps.step("first"):
        raise Failure("no")
    assert steps.current == "first"
    assert steps.seconds == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7620, "2 h 07 min")],
)
def test_durations_are_shown_in_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_the_end_of_a_log_comes_with_its_path(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert str(log) in last_lines(log)
    log.write_text("\n".join(str(number) for number in range(100)))
    assert last_lines(log, 2).splitlines()[1:] == ["  98", "  99"]
