"""The ledgers against the lake: is every acknowledged record where the contract says, exactly once?

Works on local copies of `events/` and `quarantine/`; DuckDB does the reading and the joining, so a million ledger
lines take seconds. A record is identified by (shard, position), an event by its event id.
"""

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

#: A breach names this many ids or positions.
NAMED = 5

AUDIT_COUNTS = ("received", "written", "duplicates", "filtered", "rejected")

_LEDGER_COLUMNS = (
    "{shard: 'VARCHAR', sequence_number: 'VARCHAR', event_id: 'VARCHAR', kind: 'VARCHAR',"
    " outcome: 'VARCHAR', reason: 'VARCHAR'}"
)
_QUARANTINE_COLUMNS = "{shard: 'VARCHAR', position: 'VARCHAR', reason: 'VARCHAR'}"
_EVENT_COLUMNS = "event_time, device_type, event_duration, arrival_time, shard, position, event_id"

#: What the columns of `events` are when no object has been committed.
_NO_EVENTS = (
    "SELECT NULL::TIMESTAMPTZ event_time, NULL::VARCHAR device_type, NULL::DOUBLE event_duration,"
    " NULL::TIMESTAMPTZ arrival_time, NULL::VARCHAR shard, NULL::VARCHAR AS position, NULL::VARCHAR event_id,"
    " NULL::VARCHAR AS object LIMIT 0"
)

#: What must find nothing: a rule, and the query for the records or events that break it.
RULES: Mapping[str, str] = {
    "every record is in the ledgers once": """
        SELECT shard || ' ' || position FROM ledger GROUP BY shard, position HAVING count(*) > 1""",
    "missing: accepted events have a row": """
        SELECT event_id FROM accepted ANTI JOIN events USING (event_id)""",
    "missing: rejected records are in quarantine": """
        SELECT shard || ' ' || position || ' (' || reason || ')' FROM ledger
        ANTI JOIN quarantine USING (shard, position)
        WHERE outcome = 'rejected'""",
    "doubled: an event has one row": """
        SELECT event_id || ' in ' || count(*) || ' rows' FROM events GROUP BY event_id HAVING count(*) > 1""",
    "quarantine has the ledger's reason": """
        SELECT shard || ' ' || position || ': ' || quarantine.reason || ', expected ' || ledger.reason
        FROM ledger JOIN (SELECT DISTINCT shard, position, reason FROM quarantine) quarantine
        USING (shard, position)
        WHERE outcome = 'rejected' AND quarantine.reason IS DISTINCT FROM ledger.reason""",
    "no acceptable record is in quarantine": """
        SELECT DISTINCT shard || ' ' || position || ' (' || outcome || ')' FROM quarantine
        JOIN ledger USING (shard, position)
        WHERE outcome <> 'rejected'""",
    "no filtered or rejected record has a row": """
        SELECT shard || ' ' || position || ' (' || outcome || ')' FROM events
        JOIN ledger USING (shard, position)
        WHERE outcome <> 'written'""",
    "a row carries its record's event id": """
        SELECT shard || ' ' || position || ': ' || events.event_id || ', expected ' || ledger.event_id FROM events
        JOIN ledger USING (shard, position)
        WHERE outcome = 'written' AND events.event_id <> ledger.event_id""",
    "every row's event id is in a ledger": """
        SELECT event_id || ' at ' || shard || ' ' || position FROM events
        ANTI JOIN (SELECT DISTINCT event_id FROM ledger WHERE event_id IS NOT NULL) known USING (event_id)""",
    "sent = written + duplicates + filtered + rejected": """
        SELECT sent || ' ≠ ' || written || ' + ' || duplicates || ' + ' || filtered || ' + ' || rejected FROM balance
        WHERE sent <> written + duplicates + filtered + rejected""",
    "audit: received = written + duplicates + filtered + rejected": """
        SELECT object FROM audit WHERE (received = written + duplicates + filtered + rejected) IS NOT TRUE""",
    "audit: written = the object's rows": """
        SELECT coalesce(audit.object, counted.object) || ' has ' || coalesce(counted.rows, 0) || ' rows, written ' ||
            coalesce(written::VARCHAR, 'unknown')
        FROM audit FULL JOIN (SELECT object, count(*) AS rows FROM events GROUP BY object) counted USING (object)
        WHERE written IS DISTINCT FROM coalesce(counted.rows, 0)""",
}

DOUBLED = "doubled: an event has one row"
UNKNOWN = "every row's event id is in a ledger"


class Unreadable(Exception):
    """A ledger or an object cannot be read; the text is one line for the user."""


@dataclass(frozen=True)
class Breach:
    """A rule that does not hold: how often, and the first few cases."""

    rule: str
    count: int
    first: Sequence[str]

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.first) else ""
        return f"{self.rule}: {self.count:,} times not: {', '.join(self.first)}{more}"


@dataclass(frozen=True)
class Reconciliation:
    """The numbers of a run and the rules that it breaks."""

    sent: int
    """Records that the broker acknowledged."""
    written: int
    """Acknowledged events that have a row."""
    duplicates: int
    """Acknowledged copies beyond the first of an event."""
    filtered: int
    """Acknowledged records that are dropped on purpose and have no row."""
    rejected: Mapping[str, int]
    """Acknowledged records in quarantine under the right reason, by reason."""
    missing: int
    doubled: int
    """Rows beyond the first of an event."""
    rows: int
    objects: int
    unacknowledged: Sequence[str]
    """Records with a row, or in quarantine, that no ledger has: see `_UNACKNOWLEDGED`."""
    audit: Mapping[str, int]
    """The objects' audits, summed."""
    breaches: Sequence[Breach] = field(default_factory=list)


# A put whose answer got lost is sent again: the broker then holds the record twice, and the ledger knows the second
# copy alone. The first one is as good, so such rows are listed, not held against the lake; only an event id that no
# ledger knows is a breach.
_UNACKNOWLEDGED = """
    SELECT shard || ' ' || position FROM (
        SELECT shard, position FROM events UNION SELECT shard, position FROM quarantine
    ) landed
    ANTI JOIN ledger USING (shard, position)
    ORDER BY ALL"""


def open_lake(
    lake: Path,
    ledgers: Path,
    metadata: Mapping[str, Mapping[str, str]],
    keys: Mapping[str, str] | None = None,
) -> duckdb.DuckDBPyConnection:
    """A database with the tables `ledger`, `events`, `quarantine`, `audit`, `accepted` and `balance`.

    `lake` is the directory with `events/` and `quarantine/`, `ledgers` the one with `*.jsonl`, `metadata` the objects'
    metadata by key: `tributary-received` and so on. `keys` has the key of a file by its path below `lake`, where that
    is another. Raises `Unreadable`.
    """
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    if not any(ledgers.glob("*.jsonl")):
        raise Unreadable(f"{ledgers}: no ledger (*.jsonl); the producer writes one with --ledger")
    # The lake calls a sequence number a position.
    ledger = _json_lines(_LEDGER_COLUMNS, "* RENAME (sequence_number AS position)")
    _execute(database, f"CREATE TABLE ledger AS {ledger}", [_pattern(ledgers, "*.jsonl")])
    files = {f"{lake}/{file}": key for file, key in (keys or {}).items()}
    if any((lake / "events").rglob("*.parquet")):
        database.execute("CREATE TABLE files (filename VARCHAR, key VARCHAR)")
        if files:
            database.executemany("INSERT INTO files VALUES (?, ?)", list(files.items()))
        _execute(
            database,
            f"""CREATE TABLE events AS
            SELECT {_EVENT_COLUMNS}, coalesce(files.key, replace(filename, ?, '')) AS object
            FROM read_parquet(?, filename = true, hive_partitioning = false) LEFT JOIN files USING (filename)""",
            [f"{lake}/", _pattern(lake, "events/**/*.parquet")],
            files,
        )
    else:
        database.execute(f"CREATE TABLE events AS {_NO_EVENTS}")
    if any((lake / "quarantine").rglob("*.jsonl")):
        lines = _json_lines(_QUARANTINE_COLUMNS)
        pattern = _pattern(lake, "quarantine/**/*.jsonl")
        _execute(database, f"CREATE TABLE quarantine AS {lines}", [pattern], files)
    else:
        database.execute("CREATE TABLE quarantine (shard VARCHAR, position VARCHAR, reason VARCHAR)")
    _create_audit(database, metadata)
    _create_accounts(database)
    return database


def _pattern(directory: Path, below: str) -> str:
    """A pattern of DuckDB's for files below a directory, whatever that is called."""
    return f"{glob.escape(str(directory))}/{below}"


def reconcile(database: duckdb.DuckDBPyConnection, *, allowed: Sequence[str] = ()) -> Reconciliation:
    """Compares what `open_lake` read. The rules named in `allowed` may be broken."""
    breaches = list(_breaches(database))
    by_rule = {breach.rule: breach.count for breach in breaches}
    sent, written, duplicates, filtered = _row(database, "SELECT sent, written, duplicates, filtered FROM balance")
    rows, doubled = _row(database, "SELECT count(*), count(*) - count(DISTINCT event_id) FROM events")
    sums = ", ".join(f"coalesce(sum({name}), 0)::BIGINT" for name in AUDIT_COUNTS)
    return Reconciliation(
        sent=sent,
        written=written,
        duplicates=duplicates,
        filtered=filtered,
        rejected=dict(database.execute("SELECT reason, count(*) FROM kept GROUP BY ALL ORDER BY ALL").fetchall()),
        missing=sum(count for rule, count in by_rule.items() if rule.startswith("missing")),
        doubled=doubled,
        rows=rows,
        objects=_row(database, "SELECT count(*) FROM audit")[0],
        unacknowledged=[name for (name,) in database.execute(_UNACKNOWLEDGED).fetchall()],
        audit=dict(zip(AUDIT_COUNTS, _row(database, f"SELECT {sums} FROM audit"), strict=True)),
        breaches=[breach for breach in breaches if breach.rule not in allowed],
    )


def _json_lines(columns: str, selected: str = "*") -> str:
    return f"SELECT {selected} FROM read_json(?, format = 'newline_delimited', columns = {columns})"


def _execute(
    database: duckdb.DuckDBPyConnection,
    query: str,
    parameters: Sequence[object],
    keys: Mapping[str, str] | None = None,
) -> None:
    """Raises `Unreadable`, in whose text a file is called by its key."""
    try:
        database.execute(query, parameters)
    except duckdb.Error as error:
        text = str(error).splitlines()[0]
        for file, key in (keys or {}).items():
            text = text.replace(file, key)
        raise Unreadable(text) from error


def _create_audit(database: duckdb.DuckDBPyConnection, metadata: Mapping[str, Mapping[str, str]]) -> None:
    counts = ", ".join(f"{name} BIGINT" for name in AUDIT_COUNTS)
    database.execute(f"CREATE TABLE audit (object VARCHAR, {counts})")
    rows = [
        (key, *(_count(audit.get(f"tributary-{name}")) for name in AUDIT_COUNTS))
        for key, audit in metadata.items()
        if key.startswith("events/")
    ]
    if rows:
        database.executemany(f"INSERT INTO audit VALUES (?{', ?' * len(AUDIT_COUNTS)})", rows)


def _create_accounts(database: duckdb.DuckDBPyConnection) -> None:
    database.execute("""
        CREATE TABLE accepted AS
        SELECT event_id, count(*) AS copies FROM ledger WHERE outcome = 'written' GROUP BY event_id""")
    database.execute("""
        CREATE TABLE kept AS SELECT shard, position, reason FROM ledger
        SEMI JOIN quarantine USING (shard, position, reason)
        WHERE outcome = 'rejected'""")
    database.execute("""
        CREATE TABLE balance AS SELECT
            (SELECT count(*) FROM ledger) AS sent,
            (SELECT count(*) FROM accepted SEMI JOIN events USING (event_id)) AS written,
            (SELECT coalesce(sum(copies - 1), 0)::BIGINT FROM accepted) AS duplicates,
            (SELECT count(*) FROM ledger ANTI JOIN events
                USING (shard, position)
                WHERE outcome = 'filtered') AS filtered,
            (SELECT count(*) FROM kept) AS rejected""")


def _breaches(database: duckdb.DuckDBPyConnection) -> Iterator[Breach]:
    for rule, query in RULES.items():
        cases = [case for (case,) in database.execute(f"SELECT * FROM ({query}) ORDER BY ALL").fetchall()]
        if cases:
            yield Breach(rule, len(cases), cases[:NAMED])


def _row(database: duckdb.DuckDBPyConnection, query: str) -> tuple:
    row = database.execute(query).fetchone()
    assert row is not None, "an aggregate has one row"
    return row


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
