"""Which contract a stack holds events to, and what readers of its lake need of the file."""

import hashlib
import json
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tributary_local.failure import Failure
from tributary_local.settings import Settings

#: Names the file for function and producer.
VARIABLE = "TRIBUTARY_CONTRACT"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def for_readers(file: Path) -> str:
    """The fields of `tributary_emr.schema.Contract`, as JSON. Raises Failure when there is no such contract."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
        accepted = tables["version"]["accepted"]
        time = tables["time"]
        not_before = datetime.fromisoformat(time.get("not_before", "2000-01-01T00:00:00Z"))
        return json.dumps(
            {
                "columns": [[c["name"], c["type"], c.get("nullable", False)] for c in tables.get("column", [])],
                "versions": list(range(1, len(accepted) + 1)) if isinstance(accepted[0], str) else accepted,
                "not_before_us": (not_before - EPOCH) // timedelta(microseconds=1),
                "max_ahead_hours": time.get("max_ahead_hours", 24),
            }
        )
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from error
    except (ValueError, KeyError) as error:
        raise Failure(f"{file} is no contract", str(error)) from error


def of_stack(settings: Settings) -> dict[str, str | None]:
    """The file that was asked for, if any, and the hash of what the function reads when it starts now."""
    asked = settings.environment.get(VARIABLE)
    file = Path(asked) if asked else settings.function.parent / "contract.toml"
    content = file.read_bytes() if file.exists() else b""
    return {"file": asked, "sha256": hashlib.sha256(content).hexdigest()}


def remember(settings: Settings) -> None:
    """That the event source of this stack is started with this contract."""
    remembered_in(settings).write_text(json.dumps(of_stack(settings)), encoding="utf-8")


def is_up(settings: Settings) -> bool:
    """Whether the event source was started with this contract, as the file is now."""
    return _remembered(settings) == of_stack(settings)


def followed(settings: Settings) -> Settings:
    """The settings with the contract of the stack that is up, unless another one is asked for."""
    file = _remembered(settings).get("file")
    if not file or settings.environment.get(VARIABLE):
        return settings
    return replace(settings, environment={**settings.environment, VARIABLE: file})


def remembered_in(settings: Settings) -> Path:
    """The file that says with which contract the stack was brought up."""
    return settings.run / "contract.json"


def _remembered(settings: Settings) -> dict[str, str | None]:
    try:
        return json.loads(remembered_in(settings).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
