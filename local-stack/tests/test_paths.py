"""A checkout may lie below a directory with spaces and letters of any script."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tributary_local.parts.kafka import KafkaProcess, java_property
from tributary_local.parts.localstack import LocalStackProcess
from tributary_local.settings import Settings

LOCAL_STACK = Path(__file__).resolve().parents[1]


@pytest.fixture
def settings(tmp_path: Path, environment: dict[str, str]) -> Settings:
    """Of a checkout below such a directory."""
    root = tmp_path / "ü x (1)+@=~ 日本"
    for name in ("emulators/localstack/process/listen-on-loopback.cjs", "emulators/kafka/server.properties"):
        (root / "local-stack" / name).parent.mkdir(parents=True)
        shutil.copy(LOCAL_STACK / name, root / "local-stack" / name)
    return Settings.from_environment(root, environment)


def test_node_finds_what_keeps_the_kinesis_emulator_on_the_loopback_interface(
    settings: Settings, tmp_path: Path
) -> None:
    options = LocalStackProcess(settings)._environment(tmp_path)["NODE_OPTIONS"]
    program = "console.log(require('node:net').Server.prototype.listen.length)"
    done = subprocess.run(
        ["node", "-e", program],
        env={**os.environ, "NODE_OPTIONS": options},
        capture_output=True,
        text=True,
        check=False,
    )
    # Node's own takes any number of arguments and counts none; ours names the first two.
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def test_kafka_keeps_its_data_in_that_directory(settings: Settings) -> None:
    text = KafkaProcess(settings)._properties().read_bytes().decode("ascii")
    (written,) = [line.partition("=")[2] for line in text.splitlines() if line.startswith("log.dirs=")]
    assert written.encode("ascii").decode("unicode_escape") == str(settings.state / "kafka-broker/data")


@pytest.mark.parametrize(
    ("value", "written"), [("C:\\x", "C:\\\\x"), ("ü", "\\u00fc"), ("🦀", "\\ud83e\\udd80"), ("a b=c", "a b=c")]
)
def test_a_property_is_written_as_java_reads_it(value: str, written: str) -> None:
    assert java_property(value) == written


def test_kafkas_logging_is_named_by_a_uri(settings: Settings) -> None:
    (option,) = [part for part in KafkaProcess(settings)._java("Main") if "log4j.configuration" in str(part)]
    assert str(option).isascii()
    assert " " not in str(option)


def test_kafka_runs_on_the_java_that_spark_runs_on(settings: Settings) -> None:
    assert KafkaProcess(settings)._java("Main")[0] == "java"
    settings.environment["JAVA_HOME"] = "/my java"
    assert KafkaProcess(settings)._java("Main")[0] == "/my java/bin/java"
