"""The commands of RUNBOOK.md, extracted: the shell understands them, and every name that they use is defined."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELLCHECK = ROOT / ".local/venv/build/bin/shellcheck"
RUNBOOK = (ROOT / "RUNBOOK.md").read_text()
PREAMBLE, ALARMS = RUNBOOK.split("\n## Alarms\n")
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LOCAL, AWS, FIRST_LOOK = BLOCK.findall(PREAMBLE)
PROCEDURES = BLOCK.findall(RUNBOOK.split("\n## Procedures\n")[1])
COMMANDS = [FIRST_LOOK, *BLOCK.findall(ALARMS.split("\n## Procedures\n")[0])]


def complaints(script: str) -> str:
    # 1091: env.sh is checked by itself. 2034, 2329: a name that not every block uses.
    command = [SHELLCHECK, "--shell=bash", "--exclude=SC1091,SC2034,SC2329,SC2317", "-"]
    return subprocess.run(command, check=False, input=script, capture_output=True, text=True, cwd=ROOT).stdout


@pytest.mark.skipif(not SHELLCHECK.exists(), reason="make setup installs shellcheck")
@pytest.mark.parametrize("preamble", [LOCAL, AWS], ids=["local", "aws"])
def test_shellcheck_has_nothing_to_say_about_the_commands_after_either_preamble(preamble):
    assert len(COMMANDS) > 10
    assert complaints("\n".join([preamble, *COMMANDS, *PROCEDURES])) == ""


@pytest.mark.parametrize("preamble", [LOCAL, AWS], ids=["local", "aws"])
def test_a_preamble_defines_every_name_that_the_commands_use(preamble):
    environment = (ROOT / "local-stack/env.sh").read_text() if "env.sh" in preamble else ""
    commands = "\n".join(COMMANDS)
    used = set(re.findall(r"\$\{?([A-Za-z_]+)", commands))
    defined = set(re.findall(r"\b([A-Za-z_]+)=", preamble + commands + environment))
    assert used - defined == set()
    for helper in ("logs", "event_source", "given_up", "on_aws"):
        assert re.search(rf"^{helper}\(\) ", preamble, re.MULTILINE), helper


def test_no_command_reads_the_local_log_by_its_path():
    assert [block for block in COMMANDS if ".local/log/" in block] == []


def test_the_local_preamble_gives_the_log_and_says_what_is_of_aws_only(tmp_path):
    """Of the stack itself nothing has to run: the log is a file."""
    log = tmp_path / ".local/log/function.log"
    log.parent.mkdir(parents=True)
    log.write_text('{"level":"WARN","message":"batch_handed_back","from":"7"}\n')
    (log.parent / "event-source.log").write_text("polled\n")
    (tmp_path / "local-stack").symlink_to(ROOT / "local-stack")
    stalled = next(block for block in COMMANDS if "uniq -c" in block and '"from"' in block)
    script = "\n".join(["make() { :; }", LOCAL, stalled, "event_source", "on_aws aws lambda get-account-settings"])
    run = subprocess.run(["bash", "-c", script], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=20)
    assert '1 "from":"7"' in run.stdout
    assert "polled\non AWS only: aws lambda get-account-settings\n" in run.stdout
    assert run.stderr == ""
