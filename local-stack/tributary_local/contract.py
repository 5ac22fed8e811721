"""What readers of the lake need of a contract's file; the function has checked the rest of it."""

import json
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tributary_local.failure import Failure

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
