"""What README.md, LAKE.md and RUNBOOK.md tell people to type, tried on a stack that is up and has carried events."""

import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from tributary_local.failure import Failure
from tributary_local.settings import Settings

SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DUCKDB_QUERY = re.compile(r"^ {4}(SELECT .*?read_parquet\('s3://tributary-lake/.*?;)$", re.MULTILINE | re.DOTALL)
NOTHING_TO_LOOK_AT = "no such line in the log"
"""Said by the one block that looks for an object that no stack in order has."""


def try_runbook(settings: Settings) -> int:
    """Runs the commands of every alarm, after the local preamble; how many. Raises Failure when one complains."""
    preamble, rest = (settings.root / "RUNBOOK.md").read_text(encoding="utf-8").split("\n## Alarms\n")
    local, _, first_look = SHELL_BLOCK.findall(preamble)
    blocks = [first_look, *SHELL_BLOCK.findall(rest.split("\n## Procedures\n")[0])]
    with TemporaryDirectory() as name:
        # The commands know the stack that `make up` starts; here it is another one's log.
        root = Path(name)
        (root / ".local").mkdir()
        for link, target in ((".local/log", settings.log), (".local/venv", settings.root / ".local/venv")):
            (root / link).symlink_to(target)
        (root / "local-stack").symlink_to(settings.root / "local-stack")
        for block in blocks:
            _run(settings, root, f"make() {{ :; }}\n{local}\n", block)
    return len(blocks)


def _run(settings: Settings, root: Path, preamble: str, block: str) -> None:
    ended = subprocess.run(
        ["bash", "-p", "-c", preamble + block],
        cwd=root,
        env=settings.child_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    if ended.stderr.strip() and NOTHING_TO_LOOK_AT not in ended.stderr:
        raise Failure("a command of RUNBOOK.md complains", f"{block}\n{ended.stderr}")


def try_queries(settings: Settings) -> int:
    """Runs the DuckDB queries on a copy of the lake; how many. Raises Failure when one is refused or finds nothing."""
    # Imported here: the other verbs need neither.
    import boto3
    import duckdb

    texts = [(settings.root / name).read_text(encoding="utf-8") for name in ("README.md", "functions/LAKE.md")]
    queries = [query for text in texts for query in DUCKDB_QUERY.findall(text)]
    s3 = boto3.client("s3", endpoint_url=settings.endpoint, region_name=settings.region)
    with TemporaryDirectory() as name:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=settings.bucket):
            for listed in page.get("Contents", []):
                file = Path(name) / listed["Key"]
                file.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(settings.bucket, listed["Key"], str(file))
        database = duckdb.connect()
        for query in queries:
            try:
                # Arrow: as Python's own, times would need a module of time zones.
                rows = database.execute(query.replace("s3://tributary-lake", name)).to_arrow_table().num_rows
            except duckdb.Error as error:
                raise Failure("a query of the documents is refused", f"{query}\n{error}") from error
            if not rows:
                raise Failure("a query of the documents finds nothing", query)
    return len(queries)
