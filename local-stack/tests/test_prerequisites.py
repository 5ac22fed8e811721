"""What a machine and a directory must have before anything is touched."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUARD = ROOT / ".cargo/librdkafka-configure.sh"

# As librdkafka's own begins and ends (mklove/modules/configure.base, 2.12.1).
CONFIGURE = """#!/usr/bin/env bash
trap "{ rm -f $PWD/_mklout.mk; }" EXIT
echo "CFLAGS+= $CFLAGS" > Makefile.config
echo "$@" > arguments
exit $WANTED
"""


def prerequisites(checkout: bytes | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The check in a checkout that has nothing else."""
    set_up = Path(os.fsdecode(checkout)) / "local-stack/set-up"
    set_up.mkdir(parents=True)
    for name in ("prerequisites.sh", "shell.sh"):
        shutil.copy(ROOT / "local-stack/set-up" / name, set_up)
    shutil.copy(ROOT / "Cargo.toml", set_up.parents[1])
    return subprocess.run(
        [set_up / "prerequisites.sh"],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["ü x", "Tributary (1)", "日本+@=~._-"])
def test_a_directory_with_spaces_and_letters_of_any_script_will_do(tmp_path: Path, name: str) -> None:
    done = prerequisites(tmp_path / name)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", list("\"'`$\\:;,*?[]{}#%!&|<>^\n\t\r\x01\x7f"))
def test_a_directory_with_a_character_that_lists_or_settings_take_apart_is_refused(tmp_path: Path, name: str) -> None:
    done = prerequisites(tmp_path / f"a{name}b")
    shown = name if name.isprintable() else "?"
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"this directory's path has the character {shown} in it")
    assert done.stderr.endswith(b"Nothing was changed.\n")
    assert done.stderr.count(b"\n") == 1


def test_a_directory_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    done = prerequisites(os.fsencode(tmp_path) + b"/\xfc")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"not UTF-8" in done.stderr


def test_a_directory_is_judged_by_where_it_really_is(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a:b")
    assert prerequisites(tmp_path / "link" / "tributary").returncode == 1


@pytest.fixture
def configure(tmp_path: Path) -> Path:
    """librdkafka's, in the directory of its build, below a directory with a space."""
    out = tmp_path / "My Projects (1)/target/debug/build/rdkafka-sys-1/out"
    (out / "mklove/modules").mkdir(parents=True)
    (out / "mklove/modules/configure.base").touch()
    script = out / "configure"
    script.write_text(CONFIGURE, encoding="utf-8")
    script.chmod(0o755)
    return script


def run_configure(configure: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    """As the build script of rdkafka-sys does."""
    target = configure.parents[3]
    flags = {"CFLAGS": f"-I{target}/build/libz-sys/out/include", "LDFLAGS": f"-L{target}/build/libz-sys/out/lib"}
    environment = {"OUT_DIR": str(configure.parent), "BASH_ENV": str(GUARD), "WANTED": str(status), **flags}
    return subprocess.run(
        [configure, "--disable-ssl"],
        cwd=configure.parent,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_a_build_below_a_directory_with_a_space_deletes_no_neighbour(tmp_path: Path, configure: Path) -> None:
    neighbours = [tmp_path / "My", tmp_path / "Projects"]
    for neighbour in neighbours:
        neighbour.touch()
    done = run_configure(configure)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(neighbour.exists() for neighbour in neighbours)
    assert (configure.parent / "arguments").read_text(encoding="utf-8") == "--disable-ssl\n"


def test_its_make_is_given_paths_that_need_no_quotes(configure: Path) -> None:
    run_configure(configure)
    *emptied, flags = (configure.parent / "Makefile.config").read_text(encoding="utf-8").splitlines()
    assert emptied == ["CFLAGS =", "LDFLAGS ="]
    path = flags.removeprefix("CFLAGS+= -I")
    assert " " not in path
    assert Path(path.removesuffix("/build/libz-sys/out/include")).resolve() == configure.parents[3]


def test_a_configure_that_fails_fails_the_build(configure: Path) -> None:
    assert run_configure(configure, status=3).returncode == 3


def test_cargo_puts_the_guard_before_every_build_script() -> None:
    config = (ROOT / ".cargo/config.toml").read_text(encoding="utf-8")
    assert f'BASH_ENV = {{ value = "{GUARD.relative_to(ROOT)}", relative = true, force = true }}' in config


def fake_java(home: Path, specification: str) -> Path:
    """A Java that says its version, and whatever JAVA_TOOL_OPTIONS makes Java say."""
    java = home / "bin/java"
    java.parent.mkdir(parents=True)
    java.write_text(
        '#!/bin/sh\n[ -z "$JAVA_TOOL_OPTIONS" ] || echo "Picked up JAVA_TOOL_OPTIONS: $JAVA_TOOL_OPTIONS" >&2\n'
        f'printf "Property settings:\\n    java.specification.version = {specification}\\n" >&2\n'
        'printf "    java.version = 4\\n" >&2\n',
        encoding="utf-8",
    )
    java.chmod(0o755)
    return home


@pytest.mark.parametrize("version", ["17", "21", "23"])
def test_java_17_to_23_will_do(tmp_path: Path, version: str) -> None:
    home = fake_java(tmp_path / "my java", version)
    options = "-Djava.net.preferIPv4Stack=true -Djava.specification.version=4"
    done = prerequisites(tmp_path / "checkout", JAVA_HOME=str(home), JAVA_TOOL_OPTIONS=options)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("version", ["1.8", "11", "16", "24", "25", "100"])
def test_another_java_is_refused_by_its_version(tmp_path: Path, version: str) -> None:
    home = fake_java(tmp_path / "java", version)
    done = prerequisites(tmp_path / "checkout", JAVA_HOME=str(home))
    assert done.returncode == 1
    first, *_ = done.stderr.decode().splitlines()
    assert first.startswith(f"java: {home}/bin/java of JAVA_HOME is Java {version}, 17 to 23 is needed")


def test_without_java_home_the_java_on_the_path_is_looked_at(tmp_path: Path) -> None:
    home = fake_java(tmp_path / "java", "25")
    done = prerequisites(tmp_path / "checkout", JAVA_HOME="", PATH=f"{home}/bin:{os.environ['PATH']}")
    assert f"java: {home}/bin/java on the PATH is Java 25".encode() in done.stderr


def test_a_java_home_without_java_is_named(tmp_path: Path) -> None:
    done = prerequisites(tmp_path / "checkout", JAVA_HOME=str(tmp_path))
    assert f"java: {tmp_path}/bin/java of JAVA_HOME: not found".encode() in done.stderr


def test_what_a_script_calls_has_no_settings_of_the_users_python_or_shell() -> None:
    strange = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": "/nowhere", "CDPATH": "/", "LC_ALL": "C"}
    done = subprocess.run(
        ["bash", "-c", f". '{ROOT}/local-stack/set-up/shell.sh'; env; printf '%q' \"$IFS\""],
        env={"PATH": os.environ["PATH"], "POSIXLY_CORRECT": "1", "GREP_OPTIONS": "-v", **strange},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    *environment, separators = done.stdout.splitlines()
    names = {entry.partition("=")[0] for entry in environment}
    assert names & {*strange, "POSIXLY_CORRECT", "GREP_OPTIONS"} == {"LC_ALL"}
    assert separators == r"$' \t\n'"
