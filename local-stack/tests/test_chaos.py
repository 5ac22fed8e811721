"""What chaos is asked for, and how long it may take."""

import subprocess
import sys
import time

import pytest

from tributary_local import foreground
from tributary_local.__main__ import parser
from tributary_local.failure import Failure
from tributary_local.runs.chaos import time_limit


def test_chaos_runs_for_three_minutes_with_every_fault_unless_told_otherwise() -> None:
    arguments = parser().parse_args(["chaos"])
    assert (arguments.minutes, arguments.without) == (3, [])
    arguments = parser().parse_args(["chaos", "--minutes", "5", "--without", "delay", "--without", "kill_function"])
    assert (arguments.minutes, arguments.without) == (5, ["delay", "kill_function"])


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["--minutes", "0"], "'0' is not a whole number from 1 to 60"),
        (["--minutes", "1.5"], "'1.5' is not a whole number from 1 to 60"),
        (["--without", "rain"], "invalid choice: 'rain'"),
    ],
)
def test_what_chaos_cannot_do_is_refused_by_name(
    arguments: list[str], rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["chaos", *arguments])
    assert rule in capsys.readouterr().err


def test_past_its_time_limit_a_run_fails_and_ends_what_it_waits_for() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)
    with pytest.raises(Failure, match=r"not done after 0\.2 s"), time_limit(0.2):
        foreground.wait(child)
    assert child.poll() is not None


def test_within_its_time_limit_nothing_happens_also_later() -> None:
    with time_limit(0.1):
        pass
    time.sleep(0.2)
