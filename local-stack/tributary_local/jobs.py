"""The commands around the stream: producer, Spark jobs, verification."""

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tributary_local import contract, foreground
from tributary_local.failure import Failure
from tributary_local.nightly_metrics import publish_job
from tributary_local.settings import Settings

REPORT_CSV = "p95_event_duration.csv"
AVERAGES_CSV = "averages.csv"


def ledger_file(settings: Settings, now: datetime) -> Path:
    """A new ledger, named by the moment at which it was begun."""
    return settings.ledger / f"{now.astimezone(UTC):%Y%m%dT%H%M%S%fZ}.jsonl"


def producer_command(settings: Settings, arguments: Sequence[str]) -> list[str | Path]:
    """The producer, writing a ledger of its own beside those of earlier runs."""
    settings.ledger.mkdir(parents=True, exist_ok=True)
    topic = ["--sink", "redpanda", "--topic", settings.stream, "--brokers", settings.brokers]
    return [
        settings.artifact("producer"),
        *(topic if settings.is_kafka else ["--stream", settings.stream]),
        "--ledger",
        ledger_file(settings, datetime.now(UTC)),
        *arguments,
    ]


def start_producer(settings: Settings, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """For a caller that does something meanwhile; raises Failure when the producer is not built."""
    if not settings.artifact("producer").exists():
        raise Failure("the producer is not built", "make setup builds it.")
    return foreground.start(producer_command(settings, arguments), settings.child_environment(), settings.root)


def produce(settings: Settings, arguments: Sequence[str]) -> None:
    """Sends events; raises Failure when any could not be delivered."""
    status = foreground.wait(start_producer(settings, arguments))
    if status != 0:
        raise Failure(f"the producer ended with status {status}")


def report(settings: Settings, arguments: Sequence[str] = ()) -> None:
    """The Spark report, on S3 and as one CSV file in `settings.out`. How it ends is published as a metric.

    `arguments`, here and below, are the job's own.
    """
    try:
        _report(settings, arguments)
    except Failure:
        publish_job(settings, succeeded=False)
        raise
    publish_job(settings, succeeded=True)


def _report(settings: Settings, arguments: Sequence[str]) -> None:
    settings.out.mkdir(parents=True, exist_ok=True)
    spark(
        settings,
        "report",
        "--input",
        f"s3a://{settings.bucket}/events/",
        "--output",
        f"s3a://{settings.bucket}/reports/{REPORT_CSV}",
        "--csv",
        str(settings.out / REPORT_CSV),
        *_table(settings),
        *arguments,
    )


def compact(settings: Settings, arguments: Sequence[str] = ()) -> None:
    """Loads what is new into the table, and tags it."""
    settings.catalog.parent.mkdir(parents=True, exist_ok=True)
    source = ["--input", f"s3a://{settings.bucket}/events/", "--metrics", settings.stream]
    spark(settings, "compact", *source, *_catalog(settings), *arguments)


def check_table(settings: Settings) -> None:
    """Reads the table without Spark, and compares it with the objects; raises Failure when they differ."""
    if not settings.catalog.exists():
        raise Failure("there is no table yet", "make compact makes it.")
    foreground.run(
        "the check of the table",
        [
            settings.python("lake"),
            "-m",
            "tributary_local.account.table",
            "--bucket",
            settings.bucket,
            "--catalog",
            str(settings.catalog),
        ],
        settings.child_environment(PYTHONPATH="local-stack"),
        settings.root,
    )


def averages(settings: Settings, arguments: Sequence[str] = ()) -> None:
    """The Spark averages per device and minute, on S3 and as one CSV file in `settings.out`."""
    settings.out.mkdir(parents=True, exist_ok=True)
    lake = f"s3a://{settings.bucket}"
    spark(
        settings,
        "averages",
        "--input",
        f"{lake}/rollups/",
        "--output",
        f"{lake}/reports/averages/",
        "--csv",
        str(settings.out / AVERAGES_CSV),
        *_table(settings),
        *arguments,
    )


def validate(settings: Settings, arguments: Sequence[str] = ()) -> None:
    """The Spark check of the whole lake; raises Failure on a breach."""
    lake = f"s3a://{settings.bucket}"
    table = ["--table", *_table(settings)] if settings.catalog.exists() else []
    spark(settings, "validate", "--input", f"{lake}/events/", "--rollups", f"{lake}/rollups/", *table, *arguments)


def check_panels(settings: Settings) -> None:
    """Asks every query of every dashboard; raises Failure when one is refused, or empty though it has data locally."""
    # Of a topic Lambda publishes OffsetLag instead.
    without = ["--without=IteratorAge" if settings.is_kafka else "--without=OffsetLag"]
    if not settings.catalog.exists():
        without += ["--without=TableRows", "--without=TableLag"]
    foreground.run(
        "the check of the dashboards",
        [settings.python("monitor"), "-m", "tributary_monitor.check", *without],
        settings.child_environment(PYTHONPATH="local-stack"),
        settings.root,
    )


def verify(settings: Settings, arguments: Sequence[str] = ()) -> None:
    """Compares the ledgers with the lake, and the report with its recomputation; raises Failure when they differ."""
    log = settings.log / "function.log"
    _verify(settings, "--report", settings.out / REPORT_CSV, "--function-log", log, *arguments)


def account(settings: Settings) -> None:
    """Compares the ledgers with the lake; raises Failure when they differ."""
    _verify(settings)


def _verify(settings: Settings, *arguments: str | Path) -> None:
    foreground.run(
        "verification",
        [
            settings.python("lake"),
            "-m",
            "tributary_local.account.verify",
            "--bucket",
            settings.bucket,
            "--ledger-dir",
            settings.ledger,
            *arguments,
        ],
        settings.child_environment(PYTHONPATH="local-stack"),
        settings.root,
    )


def _table(settings: Settings) -> list[str]:
    """Where the table is, once there is one."""
    return _catalog(settings) if settings.catalog.exists() else []


def _catalog(settings: Settings) -> list[str]:
    return ["--catalog", f"jdbc:sqlite:{settings.catalog}", "--warehouse", f"s3://{settings.bucket}/table/"]


def spark(settings: Settings, job: str, *arguments: str) -> None:
    foreground.run(
        f"the Spark job '{job}'",
        [settings.python("lake"), "-m", f"tributary_emr.{job}", *arguments],
        settings.child_environment(PYTHONPATH="emr", **_contract(settings)),
        settings.root,
    )


def _contract(settings: Settings) -> dict[str, str]:
    """What the jobs' environment says of a contract other than the one that they were made for."""
    file = settings.environment.get(contract.VARIABLE)
    return {"TRIBUTARY_READ_CONTRACT": contract.for_readers(Path(file))} if file else {}
