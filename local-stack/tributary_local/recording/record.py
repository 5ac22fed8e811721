"""Records what each part asks of AWS, for cdk/test to hold the roles to: `make record-permissions`.

    python -m tributary_local.recording.record kinesis redpanda submit deployment

Every part runs as on any other day, on a stack of its own, with an access key that is the part's name, through a proxy
that remembers. A part that is named replaces what the file has of it.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from tributary_local import jobs
from tributary_local.console import consoles
from tributary_local.failure import Failure
from tributary_local.parts import ports
from tributary_local.parts.event_source import EventSource
from tributary_local.parts.stack import Stack
from tributary_local.recording.proxy import RecordingProxy
from tributary_local.recording.requests import Asked, Names, Seen, UnknownRequestError
from tributary_local.runs.catch_up import wait_until_caught_up
from tributary_local.runs.deployed import BUCKETS, Look
from tributary_local.runs.place import Place
from tributary_local.runs.steps import Steps
from tributary_local.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "cdk/test/recorded-requests.json"
EVENTS = 1_500


def acting_as(settings: Settings, principal: str, port: int) -> Settings:
    """The stack as that part sees it: through the proxy, with the part's own access key."""
    return replace(settings, port=port, environment={**settings.environment, "AWS_ACCESS_KEY_ID": principal})


def stack_parts(settings: Settings, console: Console, steps: Steps, broker: str) -> Iterator[Asked]:
    """The function with its pollers, and over Kinesis the Spark jobs too."""
    apart = replace(settings.beside(f"record-{broker}", ports.free_port(), ports.free_port()), broker=broker)
    function, poller = f"ingest-{broker}", f"poller-{broker}"
    names = Names(buckets={apart.bucket: "lake"}, streams={apart.stream: "events"})
    stack = Stack(apart, console)
    stack.down()
    try:
        stack.up(steps.step, event_source=False)
        with RecordingProxy(apart.port, names) as proxy:
            seen_by_poller = acting_as(apart, poller, proxy.port)
            source = EventSource(seen_by_poller, arguments=[f"--function-env=AWS_ACCESS_KEY_ID={function}"])
            with steps.step(f"Run {function}, started twice"):
                # The second start is cold: it reads back what the first has committed.
                for seed in (1, 2):
                    source.start()
                    jobs.produce(apart, ["--events", str(EVENTS), "--days", "1", "--seed", str(seed)])
                    wait_until_caught_up(apart, source, console)
                    source.stop()
            principals = [function, poller]
            if broker == "kinesis":
                principals += ["report", "averages", "validate"]
                run_jobs(apart, steps, proxy.port)
            yield from proxy.recorded(principals)
    finally:
        stack.down()


def run_jobs(settings: Settings, steps: Steps, port: int) -> None:
    """The Spark jobs, each as itself; twice what writes, because the second run meets what the first has written."""
    with steps.step("Report with Spark, twice"):
        for _ in range(2):
            jobs.report(acting_as(settings, "report", port))
    with steps.step("Averages with Spark, twice"):
        lake = f"s3a://{settings.bucket}"
        for _ in range(2):
            jobs.spark(
                acting_as(settings, "averages", port),
                "averages",
                *("--input", f"{lake}/rollups/", "--output", f"{lake}/reports/averages/"),
            )
    with steps.step("Validate with Spark"):
        jobs.validate(acting_as(settings, "validate", port))


def submit_parts(settings: Settings, steps: Steps) -> Iterator[Asked]:
    """`emr/submit` to EMR Serverless and to a cluster, over moto, which is moved on from here."""
    sys.path.insert(0, str(ROOT / "emr/tests"))
    import moto.emrserverless.models
    from emr_of_tests import moto as services

    # Its own runs have succeeded when they begin.
    moto.emrserverless.models.JOB_STATUS = "SUBMITTED"
    with steps.step("Submit to EMR Serverless and to a cluster"), services() as aws:
        aws.put_result("day\n")
        names = Names(buckets={"lake": "lake", "artifacts": "artifacts"})
        with RecordingProxy(int(aws.endpoint.rpartition(":")[2]), names) as proxy:
            for principal, options, state, cancel in (
                ("submit", aws.serverless, "SUCCESS", False),
                ("submit", aws.serverless, "", True),
                ("submit-cluster", aws.step, "COMPLETED", False),
            ):
                _submit(aws, proxy.port, principal, options, state, settings.state / "record.csv", cancel=cancel)
            yield from proxy.recorded(["submit", "submit-cluster"])


def _submit(aws: Any, port: int, principal: str, options: list[str], state: str, out: Path, *, cancel: bool) -> None:
    environment = {
        **aws.environ,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": principal,
    }
    command = [ROOT / "emr/submit", *options, *(["--cancel-on-interrupt"] if cancel else ["--csv", out])]

    def runs() -> list:
        return aws.steps if principal == "submit-cluster" else aws.job_runs

    before = len(runs())
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        deadline = time.monotonic() + 60
        while len(runs()) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1.0)
        if cancel:
            process.send_signal(signal.SIGINT)
        elif len(runs()) > before:
            runs()[-1].state = state
        try:
            _, errors = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failure(f"{principal} does not end") from None
    if process.returncode not in ((130,) if cancel else (0, 1)):
        raise Failure(f"{principal} ended with status {process.returncode}", errors)


def deployment_parts(settings: Settings, steps: Steps) -> Iterator[Asked]:
    """What moves the code, the smoke test, and the redrive, on deployed stacks. Lambda's answers are played."""
    from tributary_local.runs.deployment import DeploymentSettings, deployment_target, place_on

    apart = DeploymentSettings(**vars(settings.beside("record-deployment", ports.free_port())))
    place = place_on(apart)
    buckets = {place.bucket(suffix): suffix for suffix in BUCKETS}
    names = Names(buckets, {place.stream: "events"}, {place.function: "ingest-kinesis"})

    def invocation(seen: Seen) -> bytes | None:
        return b"null" if seen.target.partition("?")[0].endswith("/invocations") else None

    with deployment_target(apart), RecordingProxy(apart.port, names, invocation) as proxy:
        with steps.step("Deploy"):
            place.cdk("bootstrap", f"aws://{place.account}/{place.region}")
            place.deploy()
        put_what_did_not_land(place)
        watched = {**place.environment, "AWS_ENDPOINT_URL": proxy.endpoint, "LEAVE_OUT": ""}
        by = replace(place, environment={**watched, "AWS_ACCESS_KEY_ID": "deploy"})
        with steps.step("Move the code forth and back, with a canary and smoke tests"):
            by.functions("promote")
            Look(place).change_latest_code()
            # LocalStack cannot give an alias weights; what it was asked is recorded all the same.
            by.functions("promote", check=False, CANARY_PERCENT="10", CANARY_MINUTES="0")
            Look(place).change_latest_code()
            by.functions("promote")
            by.functions("rollback")
            by.functions("deploy")
            by.functions("status")
        with steps.step("Redrive"):
            redrive_everything(place, proxy.endpoint)
        yield from proxy.recorded(["deploy", "redrive"])


def put_what_did_not_land(place: Place) -> None:
    """A batch that was given up, and a quarantined record in each shard."""
    s3 = place.client("s3")
    record = {"eventID": "shardId-000000000000:1", "kinesis": {"sequenceNumber": "1"}}
    given_up = json.dumps({"payload": json.dumps({"Records": [record]})}).encode()
    s3.put_object(Bucket=place.bucket("on-failure"), Key="aws/lambda/0/shardId-000000000000/1", Body=given_up)
    for shard in range(4):
        line = {"stream": place.stream, "shard": f"shardId-{shard:012}", "position": "1", "partition_key": "device"}
        rejected = json.dumps({**line, "arrival_time": "2026-11-28T10:00:00.570Z", "data": "e30="}).encode()
        today = time.strftime("%F", time.gmtime())
        key = f"quarantine/date={today}/{place.stream}.shardId-{shard:012}.1-1.jsonl"
        s3.put_object(Bucket=place.bucket("lake"), Key=key, Body=rejected)


def redrive_everything(place: Place, endpoint: str) -> None:
    """The redrive's own code, as itself."""
    spec = importlib.util.spec_from_file_location("redrive", ROOT / "cdk/redrive/redrive.py")
    redrive = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(redrive)
    acting = replace(
        place, environment={**place.environment, "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "redrive"}
    )
    invoke = redrive.invoker(acting.client("lambda"), {"kinesis": f"{place.function}:live"})
    s3 = acting.client("s3")
    for answer in (
        redrive.redrive_given_up(s3, place.bucket("on-failure"), invoke, lambda: True),
        redrive.redrive_quarantine(s3, place.bucket("lake"), "", "", invoke, lambda: True),
    ):
        if answer["failed"] or not answer["sent"]:
            raise Failure(f"the redrive answers {answer}")


def write(parts: dict[str, list[Asked]]) -> None:
    """The file, with these parts in place of what it had of them."""
    before = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    fresh = {part: [each.as_json() for each in found] for part, found in parts.items()}
    lines = []
    for part, found in sorted({**before, **fresh}.items()):
        rows = ",\n".join(f"    {json.dumps(each)}" for each in found)
        lines.append(f"  {json.dumps(part)}: [\n{rows}\n  ]")
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> int:
    """Status 1, with one line, when a part fails or asks for what nobody knows how to read."""
    console, errors = consoles()
    steps = Steps(console)
    parts = {
        "kinesis": lambda settings: stack_parts(settings, console, steps, "kinesis"),
        "redpanda": lambda settings: stack_parts(settings, console, steps, "redpanda"),
        "submit": lambda settings: submit_parts(settings, steps),
        "deployment": lambda settings: deployment_parts(settings, steps),
    }
    chosen = sys.argv[1:] or list(parts)
    if unknown := [name for name in chosen if name not in parts]:
        errors.print(f"record: {unknown[0]} is none of {', '.join(parts)}", highlight=False)
        return 2
    try:
        settings = Settings.from_environment(ROOT, os.environ)
        write({name: list(parts[name](settings)) for name in chosen})
    except (SettingsError, Failure, UnknownRequestError) as error:
        errors.print(f"record: {error}", markup=False, highlight=False, soft_wrap=True)
        if isinstance(error, Failure) and error.details:
            errors.print(error.details, markup=False, highlight=False, soft_wrap=True)
        return 1
    console.print(f"{FILE.relative_to(ROOT)}: {', '.join(chosen)}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
