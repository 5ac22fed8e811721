"""Submits a Spark job to EMR Serverless or to an EMR cluster, waits for its end and fetches its CSV.

    emr/submit --application-id 00f… --execution-role-arn arn:… --lake my-lake --artifacts s3://my-artifacts/emr \\
        --csv out/p95_event_duration.csv

Exit status: 0 when the run succeeded, 1 when it did not or could not be submitted, 2 on bad usage, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TextIO, TypeVar

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tributary_emr import spark_settings, submission
from tributary_emr.artifacts import artifacts
from tributary_emr.runs import ClusterStep, Run, ServerlessRun
from tributary_emr.submission import Job, S3Object, Status, SubmitError
from tributary_emr.terminal import use_any_encoding

#: Per job: what it reads of the lake, and the key of what it writes; `compact` writes the table alone.
JOBS = {
    "report": ("events/", "reports/p95_event_duration.csv"),
    "averages": ("rollups/", "reports/averages.csv"),
    "compact": ("events/", None),
}

# EMR Serverless takes no shorter one.
_SHORTEST_TIMEOUT_MINUTES = 5
_Value = TypeVar("_Value")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; exits with status 2 on bad usage."""
    parser = argparse.ArgumentParser(
        prog="submit",
        description="Submits a Spark job to EMR Serverless or to an EMR cluster, waits for its end, fetches its CSV.",
        epilog="What comes after -- goes to the job, like -- --approximate. Region and credentials are the AWS CLI's.",
    )
    where = parser.add_argument_group("where it runs")
    target = where.add_mutually_exclusive_group(required=True)
    target.add_argument("--application-id", metavar="ID", help="an EMR Serverless application of type Spark, EMR 7")
    target.add_argument("--cluster-id", metavar="ID", help="a running EMR cluster with Spark, EMR 7")
    where.add_argument("--execution-role-arn", metavar="ARN", help="the job's role (EMR Serverless)")
    what = parser.add_argument_group("what it does")
    what.add_argument("--job", choices=list(JOBS), default="report", help="default: %(default)s")
    what.add_argument("--lake", metavar="BUCKET", help="default: $TRIBUTARY_BUCKET")
    what.add_argument(
        "--output", type=_checked(S3Object.of_uri), metavar="URI", help="default: under s3://LAKE/reports/"
    )
    what.add_argument(
        "--namespace", metavar="NAME", help="with the table in this database of Glue; compact has one: history"
    )
    what.add_argument("--artifacts", type=_checked(S3Object.of_uri), metavar="URI", required=True, help="for the code")
    what.add_argument("--csv", type=Path, metavar="FILE", help="fetch the result to this local file")
    what.add_argument(
        "--size",
        choices=spark_settings.SIZES,
        default=spark_settings.SIZES[0],
        help="of the data; default: %(default)s",
    )
    what.add_argument(
        "--conf",
        type=_checked(submission.setting),
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of Spark that replaces the size's; may be repeated",
    )
    what.add_argument("--log-uri", metavar="URI", help="also keep the logs here (EMR Serverless)")
    how = parser.add_argument_group("how it is followed")
    how.add_argument("--timeout", type=int, metavar="MINUTES", help="cancel the run after so long (default: never)")
    how.add_argument("--poll", type=float, default=10, metavar="SECONDS", help="default: %(default)s")
    how.add_argument(
        "--client-token", metavar="TOKEN", help="the same token again starts no second run, but follows it"
    )
    how.add_argument("--cancel-on-interrupt", action="store_true", help="Ctrl-C cancels the run; else it goes on")
    parser.add_argument("job_options", nargs="*", metavar="-- OPTION", help="options of the job")
    options = parser.parse_args(argv)
    options.lake = options.lake or os.environ.get("TRIBUTARY_BUCKET")
    _check_together(parser, options)
    return options


def job_of(options: argparse.Namespace) -> tuple[Job, S3Object | None]:
    """What to submit and where its result will be, if it has one, once the artifacts are there."""
    source, key = JOBS[options.job]
    output = options.output or (S3Object(options.lake, key) if key else None)
    found = artifacts(options.job)
    prefix = options.artifacts.key.strip("/")
    keys = [f"{prefix}/{key}".lstrip("/") for key in (found.entry_point_key, found.package_key)]
    overrides = dict(options.conf)
    arguments = ["--input", f"s3://{options.lake}/{source}"]
    if output:
        arguments += ["--output", str(output)]
    if options.namespace:
        overrides = {**spark_settings.TABLE, **overrides}
        arguments += ["--catalog", "glue", "--warehouse", f"s3://{options.lake}/table/"]
        arguments += ["--namespace", options.namespace]
    if options.job == "compact":
        arguments += spark_settings.SLICES[options.size]
    settings = spark_settings.serverless if options.application_id else spark_settings.cluster
    job = Job(
        name=f"tributary-{options.job}",
        entry_point=S3Object(options.artifacts.bucket, keys[0]),
        package=S3Object(options.artifacts.bucket, keys[1]),
        arguments=[*arguments, *options.job_options],
        settings=settings(options.size, overrides),
    )
    return job, output


def upload(job: Job) -> None:
    """Puts the artifacts of `job` where it expects them."""
    found = artifacts(Path(job.entry_point.key).stem)
    s3 = boto3.client("s3")
    for place, body in ((job.package, found.package), (job.entry_point, found.entry_point)):
        s3.put_object(Bucket=place.bucket, Key=place.key, Body=body)


def fetch(place: S3Object, file: Path) -> None:
    """Copies an object to a local file."""
    body = boto3.client("s3").get_object(Bucket=place.bucket, Key=place.key)["Body"]
    file.parent.mkdir(parents=True, exist_ok=True)
    # A device or a pipe is written to: whoever may would replace it otherwise.
    replaces = file.is_file() or not file.exists()
    part = file.with_name(f"{file.name}.part") if replaces else file
    with part.open("wb") as out:
        for chunk in body.iter_chunks(1 << 20):
            out.write(chunk)
    if replaces:
        part.replace(file)


class Progress:
    """A line per state; on a terminal the last one shows the time that goes by."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._begin = clock()
        self._last: tuple[str, str] | None = None
        self._open = False

    @property
    def elapsed(self) -> float:
        """Seconds since the run was submitted."""
        return self._clock() - self._begin

    def show(self, status: Status) -> None:
        """Shows a state if it is news, or on a terminal."""
        state = (status.state, status.details)
        live = self._out.isatty()
        if state == self._last and not live:
            return
        if state != self._last:
            self.say(None)
        self._last = state
        elapsed = timedelta(seconds=int(self.elapsed))
        text = "  ".join(filter(None, (f"  {elapsed}", status.state, status.details)))
        self._out.write(f"\r{text}" if live else f"{text}\n")
        self._out.flush()
        self._open = live

    def say(self, text: str | None) -> None:
        """A line of its own."""
        if self._open:
            self._out.write("\n")
            self._open = False
        if text is not None:
            self._out.write(f"{text}\n")
        self._out.flush()


def follow(
    run: Run, progress: Progress, *, poll: float, timeout: float | None, sleep: Callable[[float], None] = time.sleep
) -> Status:
    """Waits until the run has ended; after `timeout` seconds cancels it and raises `SubmitError`."""
    linked = False
    while True:
        status = run.status()
        progress.show(status)
        if status.finished:
            return status
        if status.started and run.has_live_ui and not linked:
            linked = True
            show_ui(run, progress)
        if timeout is not None and progress.elapsed >= timeout:
            run.cancel()
            raise SubmitError(f"not done after {timeout / 60:g} minutes: cancelled run {run.id}")
        sleep(poll)


def show_ui(run: Run, progress: Progress) -> None:
    """Shows the link to the Spark UI, or why there is none: the run does not depend on it."""
    try:
        progress.say(f"Spark UI: {run.ui() or 'not ready yet'}")
    except (BotoCoreError, ClientError) as error:
        progress.say(f"Spark UI: no link, {submission.explanation(error)}")


def submit(options: argparse.Namespace, run: Run, progress: Progress) -> None:
    """The whole way; raises `SubmitError` when the run does not succeed."""
    job, output = job_of(options)
    upload(job)
    token = options.client_token or uuid.uuid4().hex
    run.start(job, token)
    progress.say(f"{job.name} on {options.application_id or options.cluster_id}: {run.id} (token {token})")
    status = follow(run, progress, poll=options.poll, timeout=options.timeout and options.timeout * 60)
    progress.say(None)
    show_ui(run, progress)
    if summary := run.summary():
        progress.say(f"billed: {summary}")
    if not status.succeeded:
        raise SubmitError(f"run {run.id} ended as {status.state}: {status.details or 'no details'}")
    if output:
        progress.say(f"→ {output}")
    if output and options.csv:
        fetch(output, options.csv)
        progress.say(f"the same → {options.csv}")


def main(argv: Sequence[str]) -> int:
    """The command; returns the exit status."""
    use_any_encoding()
    options = arguments(argv)
    progress = Progress(sys.stdout)
    run: Run | None = None
    try:
        run = _run(options)
        submit(options, run, progress)
    except KeyboardInterrupt:
        progress.say(None)
        return _interrupted(run, cancel=options.cancel_on_interrupt)
    except (SubmitError, BotoCoreError, ClientError, OSError) as error:
        progress.say(None)
        said = submission.explanation(error) if isinstance(error, (BotoCoreError, ClientError)) else str(error)
        print(f"submit: {said}", file=sys.stderr)
        if run and run.id and not isinstance(error, SubmitError):
            print(f"submit: to see the run: {run.watch()}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> Run:
    if options.cluster_id:
        return ClusterStep(options.cluster_id)
    return ServerlessRun(
        options.application_id,
        options.execution_role_arn,
        timeout_minutes=options.timeout,
        log_uri=options.log_uri,
    )


def _interrupted(run: Run | None, *, cancel: bool) -> int:
    if run is None or not run.id:
        print("submit: interrupted before the run was known to have started", file=sys.stderr)
    elif cancel:
        try:
            run.cancel()
            print(f"submit: cancelling run {run.id}; to see its end: {run.watch()}", file=sys.stderr)
        except (BotoCoreError, ClientError) as error:
            print(f"submit: run {run.id} goes on: {submission.explanation(error)}", file=sys.stderr)
    else:
        print(f"submit: run {run.id} goes on; to see it: {run.watch()}", file=sys.stderr)
    return 130


def _check_together(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if not options.lake:
        parser.error("no lake: give --lake, or set TRIBUTARY_BUCKET")
    if options.application_id and not options.execution_role_arn:
        parser.error("--application-id needs --execution-role-arn")
    if options.cluster_id and (options.execution_role_arn or options.log_uri):
        parser.error("--execution-role-arn and --log-uri are for EMR Serverless; a cluster has its own")
    if options.timeout is not None and options.timeout < _SHORTEST_TIMEOUT_MINUTES:
        parser.error(f"--timeout {options.timeout} is under {_SHORTEST_TIMEOUT_MINUTES} minutes")
    if options.job == "compact":
        options.namespace = options.namespace or "history"
        if options.output or options.csv:
            parser.error("compact writes the table: it takes neither --output nor --csv")
    if options.csv and options.output and not options.output.key.endswith(".csv"):
        parser.error(f"--csv fetches one object, and --output {options.output} does not end in .csv")


def _checked(read: Callable[[str], _Value]) -> Callable[[str], _Value]:
    """A reader for argparse, which shows the text of no other error."""

    def checked(text: str) -> _Value:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
