"""The jobs are run by this PySpark, on a Java that can, and say what they say in any locale."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lake_of_tests import Lake, event

from tributary_emr.session import SessionError, local_config, make_own, require_java
from tributary_emr.terminal import use_any_encoding

EMR = Path(__file__).parents[1]
OTHER_SPARK = {
    "SPARK_HOME": "/nowhere",
    "SPARK_CONF_DIR": "/nowhere",
    "SPARK_LOCAL_DIRS": "/nowhere",
    "SPARK_SUBMIT_OPTS": "-Xmx1q",
    "SPARK_REMOTE": "sc://127.0.0.1:1",
    "SPARK_MASTER": "spark://127.0.0.1:1",
    "MASTER": "spark://127.0.0.1:1",
    "PYSPARK_SUBMIT_ARGS": "--master spark://127.0.0.1:1 pyspark-shell",
    "PYSPARK_PYTHON": "/nowhere/python",
    "PYSPARK_DRIVER_PYTHON": "/nowhere/python",
    "HADOOP_CONF_DIR": "/nowhere",
    "HADOOP_HOME": "/nowhere",
    "HADOOP_USER_NAME": "somebody",
    "YARN_CONF_DIR": "/nowhere",
    "CLASSPATH": "/nowhere",
    "JAVA_TOOL_OPTIONS": "-Xmx1q",
    "JDK_JAVA_OPTIONS": "-Xmx1q",
    "_JAVA_OPTIONS": "-Xmx1q",
}
# None of these encodings has the arrow of the reports or the ü of the device type.
LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    "latin-1": {
        "PYTHONIOENCODING": "iso-8859-1:strict",
        "LC_ALL": "POSIX",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
    },
}


def test_a_compiler_that_java_does_not_have_is_named() -> None:
    with pytest.raises(SessionError, match=r"^TRIBUTARY_SPARK_COMPILER is 'best'; it must be 1 .* or 4 "):
        local_config({"TRIBUTARY_SPARK_COMPILER": "best"}, uris=[])


def test_nothing_of_another_spark_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"PATH": "/bin", "JAVA_HOME": "/java", "AWS_REGION": "us-east-1", "TRIBUTARY_SPARK_MEMORY": "1g"}
    environ = kept | OTHER_SPARK
    make_own(environ)
    assert environ == kept | {"PYSPARK_PYTHON": sys.executable, "LC_ALL": "C.UTF-8"}


def java(home: Path, says: str) -> dict[str, str]:
    """An environment whose Java says this."""
    program = home / "bin/java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\nprintf '{says}' >&2\n", encoding="utf-8")
    program.chmod(0o755)
    return {"JAVA_HOME": str(home), "PATH": os.environ["PATH"]}


@pytest.mark.parametrize("version", ["17", "21", "23"])
def test_java_17_to_23_is_taken(tmp_path: Path, version: str) -> None:
    noise = "Picked up JAVA_TOOL_OPTIONS: -Djava.specification.version = 4\\n"
    require_java(java(tmp_path / "my java", f"{noise}    java.specification.version = {version}\\n"))


@pytest.mark.parametrize("version", ["1.8", "11", "24", "25"])
def test_another_java_is_refused_by_its_version_and_place(tmp_path: Path, version: str) -> None:
    environ = java(tmp_path, f"    java.specification.version = {version}\\n")
    with pytest.raises(
        SessionError, match=f"^{tmp_path}/bin/java is Java {version}: Spark needs Java 17 to 23; JAVA_HOME"
    ):
        require_java(environ)


def test_what_is_no_java_is_named(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="bin/java does not start"):
        require_java({"JAVA_HOME": str(tmp_path)})
    with pytest.raises(SessionError, match="java does not say its version"):
        require_java(java(tmp_path, "Unable to locate a Java Runtime."))
    with pytest.raises(SessionError, match="java is not on the PATH, and JAVA_HOME is not set"):
        require_java({"PATH": str(tmp_path / "empty")})


def test_java_18_and_newer_are_told_that_hadoop_may_ask_who_the_user_is() -> None:
    assert "-Djava.security.manager=allow" in local_config({}, uris=[])["spark.driver.extraJavaOptions"]


@pytest.mark.parametrize(("job", "locale"), [("report", "C"), ("averages", "ascii"), ("validate", "latin-1")])
def test_a_job_in_a_strange_shell_does_what_it_does_elsewhere(lake: Lake, job: str, locale: str) -> None:
    name = "Fühler"
    lake.write_both([event(n, device_type=name, event_duration=float(n % 11)) for n in range(500)])
    csv = lake.root / "out" / f"{job}.csv"
    arguments = {
        "report": ["--input", lake.events, "--output", str(lake.root / "reports/a.csv"), "--csv", str(csv)],
        "averages": ["--input", lake.rollups, "--output", str(lake.root / "reports/a.csv"), "--csv", str(csv)],
        "validate": ["--input", lake.events, "--rollups", lake.rollups],
    }[job]
    plain = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", f"tributary_emr.{job}", *arguments],
        env={**plain, "PYTHONPATH": str(EMR), **OTHER_SPARK, **LOCALES[locale]},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    if job != "validate":
        assert name in csv.read_text(encoding="utf-8")


def test_what_a_locale_has_no_character_for_is_shown_in_escapes() -> None:
    program = "from tributary_emr.terminal import use_any_encoding; use_any_encoding(); print('ü → ✓')"
    environ = {**os.environ, "PYTHONPATH": str(EMR), "PYTHONIOENCODING": "iso-8859-1", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, check=True)
    assert done.stdout == "ü \\u2192 \\u2713\n".encode("latin-1")


def test_a_stream_that_is_not_pythons_own_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    use_any_encoding()
    print("→")
    assert capsys.readouterr().out == "→\n"
