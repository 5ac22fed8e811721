"""The rehearsal: a whole life of a deployment, once, on a deployment of its own that is gone afterwards.

    python -m tributary_local.runs.rehearsal    on the account of the AWS CLI's configuration: asks before it costs
    python -m tributary_local.runs.deployment   on a LocalStack, as far as that goes

What a place cannot do is left out and named in the table, with the reason.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from tributary_local.console import consoles
from tributary_local.failure import Failure
from tributary_local.runs import forced_alarms
from tributary_local.runs.deployed import Look, expect
from tributary_local.runs.place import Place

ROOT = Path(__file__).resolve().parents[3]
NIGHT_SECONDS = 3 * 3600


@dataclass(frozen=True)
class Step:
    """One thing in the life of a deployment. `needs` names what a place may not have."""

    title: str
    action: Callable[[Place, Look], None]
    needs: str = ""


def deploy(place: Place, look: Look) -> None:
    place.deploy()
    look.at_storage()
    look.at_ingest()
    look.at_monitoring()
    look.at_deploy_role()
    place.functions("promote")


def deploy_again(place: Place, _: Look) -> None:
    place.cdk("diff", "--all", "--fail")


def change_a_setting(place: Place, look: Look) -> None:
    """It reaches $LATEST by CloudFormation, and `live` by a version that passes."""
    before = look.live_version()
    place.deploy(horizonMinutes="20")
    expect("version that is live after the stack alone", look.live_version(), before)
    place.functions("promote")
    expect("whether another version is live", look.live_version() != before, True)
    expect("the setting of the live version", look.variable("live", "TRIBUTARY_HORIZON_MINUTES"), "20")


def change_that_is_taken_back(place: Place, look: Look) -> None:
    """More concurrency than an account has: the update fails, and CloudFormation rolls back."""
    before = look.live_version()
    place.cdk(
        "deploy",
        f"{place.name}-ingest",
        "--require-approval",
        "never",
        check=False,
        reservedConcurrency="10000",
        horizonMinutes="25",
    )
    expect("version that is live after a change that was taken back", look.live_version(), before)
    expect("its setting", look.variable("live", "TRIBUTARY_HORIZON_MINUTES"), "20")


def one_event(place: Place, _: Look) -> None:
    place.run("cdk/smoke-test.sh")


def code_moves_and_comes_back(place: Place, look: Look) -> None:
    """New code goes live, with its configuration unchanged; code that fails does not; what was live comes back."""
    first, configuration = look.live_version(), look.configuration()
    look.change_latest_code()
    place.functions("promote")
    second = look.live_version()
    expect("whether another version is live", second != first, True)
    expect("configuration after a deployment of code", look.configuration(), configuration)
    look.change_latest_code()
    place.functions("promote", check=False, SMOKE_TEST="false", LEAVE_OUT="invoke")
    expect("version that is live after code that has not passed", look.live_version(), second)
    expect("code of $LATEST after it", look.code("$LATEST"), look.code(second))
    place.functions("rollback")
    expect("version that is live after a rollback", look.live_version(), first)
    place.functions("rollback")
    expect("version that is live after going forth again", look.live_version(), second)
    # And code by itself, from what is built.
    place.functions("deploy")
    expect("program that is live", look.program("live"), look.built_program())


def canary(place: Place, look: Look) -> None:
    look.change_latest_code()
    before = look.live_version()
    place.functions("promote", CANARY_PERCENT="10", CANARY_MINUTES="0" if place.local else "3")
    expect("whether another version is live", look.live_version() != before, True)
    expect("weights of the alias after a canary", look.weights(), {})


def report(place: Place, _: Look) -> None:
    """One night, now."""
    states = place.client("stepfunctions")
    machine = f"arn:aws:states:{place.region}:{place.account}:stateMachine:{place.name}-nightly"
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    until = time.monotonic() + NIGHT_SECONDS
    while (found := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        if time.monotonic() > until:
            raise Failure(f"{execution} still runs after {NIGHT_SECONDS // 3600} h")
        time.sleep(15)
    expect("end of the nightly run", found["status"], "SUCCEEDED")


def redrive(place: Place, _: Look) -> None:
    place.run("cdk/redrive.sh", "given-up")
    place.run("cdk/redrive.sh", "quarantine")


def destroy(place: Place, look: Look) -> None:
    look.empty_buckets()
    place.cdk("destroy", "--all", "--force")
    left = look.everything()
    if left:
        raise Failure(f"cdk destroy has left {', '.join(sorted(left))}")


def deploy_after_destroy(place: Place, look: Look) -> None:
    """What runs is what is built now, not what was uploaded first."""
    place.deploy()
    place.functions("promote")
    expect("code that is live", look.program("live"), look.built_program())


STEPS: Sequence[Step] = (
    Step("Deploy, and look at what is there", deploy),
    Step("Deploy again: nothing changes", deploy_again),
    Step("Change a setting", change_a_setting, "update"),
    Step("A change that fails is taken back", change_that_is_taken_back, "failing update"),
    Step("One event, end to end", one_event, "smoke-test"),
    Step("Move the code, fail, and go back", code_moves_and_comes_back),
    Step("A canary", canary, "canary"),
    Step("The nightly run", report, "nightly run"),
    Step("Force every alarm", lambda place, _: forced_alarms.force(place)),
    Step("Redrive", redrive, "redrive"),
    Step("Destroy", destroy),
    Step("Deploy after the destroy", deploy_after_destroy),
    Step("Destroy again", destroy),
)


@dataclass(frozen=True)
class Row:
    title: str
    result: str
    seconds: float


def rehearse(place: Place, console: Console, begin: Callable[[], None] = lambda: None) -> list[Row]:
    """Goes through the steps; the one that fails ends it. Prints the table in any case."""
    look = Look(place)
    rows: list[Row] = []
    begin()
    try:
        for step in STEPS:
            if step.needs and (why := place.leave_out.get(step.needs)):
                rows.append(Row(step.title, f"left out: {why}", 0))
                continue
            console.print(f"\n[bold]{step.title}[/]")
            started = time.monotonic()
            try:
                step.action(place, look)
            except Exception:
                rows.append(Row(step.title, "FAILED", time.monotonic() - started))
                raise
            rows.append(Row(step.title, "done", time.monotonic() - started))
    finally:
        console.print(table(rows))
    return rows


def table(rows: Sequence[Row]) -> Table:
    """Every step with what became of it."""
    shown = Table(box=None, pad_edge=False, show_footer=True)
    shown.add_column("step", footer="total")
    shown.add_column("result")
    shown.add_column("seconds", justify="right", footer=f"{sum(row.seconds for row in rows):.1f}")
    for row in rows:
        shown.add_row(row.title, row.result, f"{row.seconds:.1f}" if row.seconds else "")
    return shown


def cost_bound(root: Path) -> str:
    """What it may cost at most, from the prices that cdk/COST.md is made of."""
    command = ["node", "--import", "tsx", "bin/rehearsal-cost.ts"]
    return subprocess.run(
        command, cwd=root / "cdk", capture_output=True, text=True, encoding="utf-8", check=True
    ).stdout.strip()


def account_place(name: str, context: dict[str, str]) -> Place:
    """The account and region of the AWS CLI's configuration, as cdk/region.sh has set it."""
    session = boto3.session.Session()
    region = os.environ.get("AWS_REGION") or session.region_name
    if not region:
        raise Failure("no region: set AWS_REGION to that of the rehearsal")
    account = boto3.client("sts", region_name=region).get_caller_identity()["Account"]
    folder = ROOT / ".local/rehearsal" / name
    return Place(ROOT, name, region, account, dict(os.environ), folder / "log", context, folder / "cdk.out")


def main() -> int:
    """Status 1, with one line, when a step fails; what is left then stays for a look, and a line says how it goes."""
    parser = argparse.ArgumentParser(prog="rehearse", description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "--name", default=f"reh{time.strftime('%m%d%H%M')}", help="of the deployment; default: a fresh one"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--architecture", default="arm64", choices=["arm64", "x86_64"])
    options = parser.parse_args()
    console, errors = consoles()
    context = {"keepData": "false", "architecture": options.architecture, "githubRepository": "owner/name"}
    place = None
    try:
        place = account_place(options.name, context)
        console.print(
            f"account {place.account}, {place.region}, deployment {place.name}\n{cost_bound(ROOT)}", highlight=False
        )
        if not options.yes and input(f"Type {place.name} to go on: ") != place.name:
            errors.print("rehearse: not begun")
            return 1
        rehearse(place, console)
    except (Failure, BotoCoreError, ClientError, KeyboardInterrupt, EOFError) as error:
        said = str(error) or "interrupted"
        errors.print(f"rehearse: {said}", markup=False, highlight=False, soft_wrap=True)
        if isinstance(error, Failure) and error.details:
            errors.print(error.details, markup=False, highlight=False, soft_wrap=True)
        if place and place.log.exists():
            errors.print(
                f"rehearse: what is left goes with: cd cdk && npx cdk destroy --all -c tributary:name={place.name} "
                "-c tributary:keepData=false",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
