"""What the documents tell people to type is found, and a complaint is heard."""

from pathlib import Path

import pytest

from tributary_local.failure import Failure
from tributary_local.runs import documents
from tributary_local.settings import Settings

ROOT = Path(__file__).parents[2]
RUNBOOK = """
```sh
logs() { cat .local/log/function.log; }
```
```sh
never
```
```sh
logs
```

## Alarms

```sh
COMMAND
```

## Procedures

```sh
never
```
"""


@pytest.fixture(autouse=True)
def function_log(settings: Settings) -> None:
    settings.log.mkdir(parents=True)
    (settings.log / "function.log").write_text("a line\n", encoding="utf-8")


def test_every_alarm_block_runs_after_the_local_preamble(settings: Settings) -> None:
    (settings.root / "RUNBOOK.md").write_text(RUNBOOK.replace("COMMAND", "logs | grep -c line"), encoding="utf-8")
    assert documents.try_runbook(settings) == 2


@pytest.mark.parametrize("command", ["no-such-command", "ls /no/such/file | tail -1", "echo fault >&2"])
def test_a_block_that_complains_fails(settings: Settings, command: str) -> None:
    (settings.root / "RUNBOOK.md").write_text(RUNBOOK.replace("COMMAND", command), encoding="utf-8")
    with pytest.raises(Failure, match=r"a command of RUNBOOK\.md complains"):
        documents.try_runbook(settings)


def test_the_queries_of_the_documents_are_found() -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "functions/LAKE.md")]
    assert [len(documents.DUCKDB_QUERY.findall(text)) for text in texts] == [2, 2]
