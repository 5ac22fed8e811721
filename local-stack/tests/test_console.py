"""What is printed for people ends no verb, whatever the locale is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOCAL_STACK = Path(__file__).resolve().parents[1]
PROGRAM = """
import sys
from rich.table import Table
from tributary_local.console import consoles
out, err = consoles()
table = Table(title="✓")
table.add_column("Fühler → ✗")
out.print(table)
err.print("→")
print("verify: ü → 日本", file=sys.stderr)
"""


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "utf-8", "cp1252", "shift-jis"])
def test_any_encoding_can_show_any_text(encoding: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(LOCAL_STACK), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = done.stderr.decode(encoding)
    assert "→" in shown or "\\u2192" in shown


def test_no_verb_has_a_console_of_its_own() -> None:
    others = [
        file.name
        for file in LOCAL_STACK.glob("tributary_local/**/*.py")
        if file.name != "console.py" and "Console(" in file.read_text(encoding="utf-8")
    ]
    assert others == []
