"""The compact job: loads the objects of `events/` that are new into the table, and keeps both in order.

    python -m tributary_emr.compact --input s3a://tributary-lake/events/ --catalog jdbc:sqlite:.local/lake.db

README.md says why every crash of it is harmless. Exit status: 0, 1 when an object or the table stops it, 2 on bad
usage.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone

from pyspark.sql import SparkSession

from tributary_emr import aws, catalog, lost_table, upkeep
from tributary_emr.catalog import Catalog
from tributary_emr.lake import SPARK_ERRORS, LakeError, bucket_uri, reason
from tributary_emr.load import Account, Stopped, load
from tributary_emr.loaded import Loaded, Named, day_of, newest_ms, slices
from tributary_emr.object_facts import read_facts
from tributary_emr.session import SessionError, open_session
from tributary_emr.table import BRANCH, TAGGED, Conflict, Table
from tributary_emr.tail import Listing, list_objects
from tributary_emr.terminal import MOST_NAMED, name_left_out, printable, use_any_encoding

#: A load that loses to another one starts over, so many times.
_ATTEMPTS = 5
#: Where a run can be ended on purpose: the first four for each portion, "tagged" once more for all of them.
STEPS = ("read", "staged", "published", "tagged", "kept up")


@dataclass
class Run:
    """What a run did."""

    account: Account = field(default_factory=Account)
    faults: list[str] = field(default_factory=list)
    """What was left out, each with its reason."""
    tagged: int = 0
    upkeep: list[str] = field(default_factory=list)
    rows: int = 0
    """Of the table."""
    lag_ms: int = 0
    """How long ago the oldest object was written that is not loaded; 0 when all are."""


def compact(
    spark: SparkSession,
    source: str,
    where: Catalog,
    options: argparse.Namespace,
    *,
    now: datetime,
    at: Callable[[str], None] = lambda step: None,
) -> Run:
    """Loads what is new under the URI `source` into the table, tags it, and does the upkeep.

    `at` is told each of `STEPS`. Raises `LakeError`; `Stopped` names the objects that must not be loaded.
    """
    run = Run()
    if options.restore:
        run.upkeep.append(f"restored the table from {lost_table.restore(spark, where)}")
    table = Table.create(spark, where)
    loaded, tags = table.loaded(), options.tag and aws.can_tag(source)
    firsts = [loaded.first_day, *([table.tagged().first_day] if tags else [])]
    first = None if options.all or None in firsts else min(firsts)
    listing = list_objects(spark, source, first)
    _leave_out(run, listing.faults(), options)
    new = [found for found in listing.objects if not loaded.holds(found)]
    left_out: set[Named] = set()
    job = _Job(spark, where, options, listing, now, at, tags)
    for portion in slices(new, most_objects=options.slice_objects, most_bytes=options.slice_mib << 20):
        facts = read_facts(spark, portion)
        _leave_out(run, [f"{fact.found.stored.key}: {fact.fault}" for fact in facts if fact.fault], options)
        left_out |= {fact.found for fact in facts if fact.fault}
        good = {fact.found: fact.rows for fact in facts if not fact.fault}
        if good:
            _load_portion(job, good, run)
    oldest = min((found.stored.modified_ms for found in left_out), default=None)
    run.lag_ms = 0 if oldest is None else max(0, int(now.timestamp() * 1000) - oldest)
    held = _opened(spark, where).loaded()
    run.tagged += _tag(job, [found for found in listing.objects if held.holds(found)])
    at("tagged")
    run.upkeep += upkeep.keep_up(_opened(spark, where), options, now=now)
    at("kept up")
    run.rows = _opened(spark, where).row_count
    if job.refused:
        raise job.refused[0]
    return run


@dataclass(frozen=True)
class _Job:
    """What a run works with."""

    spark: SparkSession
    where: Catalog
    options: argparse.Namespace
    listing: Listing
    now: datetime
    at: Callable[[str], None]
    tags: bool
    loaded: set[Named] = field(default_factory=set)
    """What this run has loaded, or another one meanwhile."""
    tagged: set[Named] = field(default_factory=set)
    """What this run has tagged, or will not."""
    refused: list[LakeError] = field(default_factory=list)
    """Why nothing more is tagged. What can be loaded is loaded first."""

    @property
    def reach(self) -> timedelta:
        return timedelta(hours=self.options.reach_hours)

    @property
    def first_remembered(self) -> date:
        """The first day whose logs are kept in mind, unless something of an earlier one is left to be done."""
        return day_of(newest_ms(self.listing.objects) or 0) - timedelta(days=self.options.remember_days)

    def kept(self, state: Loaded, *others: Loaded) -> Loaded:
        """`state` without what nobody needs any more; `others` say what else is left to be done."""
        firsts = [each.first_day or date.min for each in (state, *others)]
        return state.without_before(min(self.first_remembered, *firsts))


def _load_portion(job: _Job, objects: dict[Named, int], run: Run) -> None:
    for _ in range(_ATTEMPTS):
        table = _opened(job.spark, job.where)
        before = table.loaded()
        # Another run may have loaded some of them since.
        rest = {found: rows for found, rows in objects.items() if not before.holds(found)}
        if not rest:
            return
        if before.from_ms is None:
            # Nobody has loaded anything yet, or somebody has rolled it back.
            job.loaded.clear()
        job.loaded.update(objects)
        after = before.with_objects(rest, job.listing.objects).looked_at(job.listing, job.reach, job.loaded)
        after = job.kept(after, *([table.tagged()] if job.tags else []))
        _expect_tags(table, min(found.name.cell_start_ms for found in rest))
        branch = f"{BRANCH}{int(job.now.timestamp())}_{secrets.token_hex(4)}"
        try:
            run.account += load(table, branch, rest, after, job.at)
        except Conflict:
            job.loaded.difference_update(rest)
            continue
        run.tagged += _tag(job, list(rest))
        job.at("tagged")
        return
    raise LakeError(
        f"the table {job.where}: {_ATTEMPTS} commits met another one: let one run end before the next one begins"
    )


def _leave_out(run: Run, faults: Sequence[str], options: argparse.Namespace) -> None:
    if faults and options.on_unreadable == "stop":
        raise Stopped(faults)
    run.faults += faults


def _expect_tags(table: Table, cell_start_ms: int) -> None:
    """Has the table say that something as old as this cell is to be tagged: before it is loaded, or a run that is
    killed in between would leave it.
    """
    tagged = table.tagged()
    if tagged.from_ms is not None and cell_start_ms < tagged.from_ms:
        table.set_property(TAGGED, replace(tagged, from_ms=cell_start_ms).to_text())


def _tag(job: _Job, objects: Sequence[Named]) -> int:
    """Tags `objects`, which the table holds, so that they may expire; gives back how many were not known to be tagged.

    What stays untagged is found by the next run: the table says from when on there is such an object.
    """
    if not job.tags or job.refused:
        return 0
    tagged = _opened(job.spark, job.where).tagged()
    due = [found for found in objects if not tagged.holds(found) and found not in job.tagged]
    try:
        done = aws.tag_objects(job.spark, due)
    except LakeError as error:
        job.refused.append(error)
        return 0
    # A rollup that is missing for so long is not to come; its object stays.
    given_up = [found for found in due if day_of(found.stored.modified_ms) < job.first_remembered]
    job.tagged.update(done, given_up)
    # Another run may have tagged meanwhile.
    table = _opened(job.spark, job.where)
    tagged = table.tagged()
    new = [found for found in done if not tagged.holds(found)]
    after = job.kept(tagged.with_objects(new, job.listing.objects).looked_at(job.listing, job.reach, job.tagged))
    if after != tagged:
        table.set_property(TAGGED, after.to_text())
    return len(done)


def _opened(spark: SparkSession, where: Catalog) -> Table:
    table = Table.open(spark, where)
    if table is None:
        raise LakeError(f"the table {where}: somebody has dropped it")
    return table


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; exits with status 2 on bad usage."""
    parser = argparse.ArgumentParser(
        prog="tributary_emr.compact",
        description="Loads new objects of events/ into the table, and keeps both in order.",
    )
    parser.add_argument("--input", metavar="URI", help="events/ of the lake (default: s3a://$TRIBUTARY_BUCKET/events/)")
    catalog.add_arguments(parser)
    group = parser.add_argument_group("the load")
    group.add_argument(
        "--on-unreadable",
        choices=("stop", "skip"),
        default="stop",
        help="an object that cannot be loaded ends the run (the default), or is left out and named by each run",
    )
    group.add_argument(
        "--reach-hours",
        type=int,
        default=48,
        metavar="N",
        help="how long after its arrival a record can still be committed: the stream's retention and the horizon "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--restore", action="store_true", help="first give a table that the catalog has lost back to it, from its files"
    )
    group.add_argument("--all", action="store_true", help="look at every object, as after a redrive of old batches")
    group.add_argument(
        "--remember-days",
        type=int,
        default=45,
        metavar="N",
        help="know what is loaded of so many days; --all reads what is older once more (default: %(default)s)",
    )
    group.add_argument(
        "--slice-objects", type=int, default=20_000, metavar="N", help="in a commit (default: %(default)s)"
    )
    group.add_argument("--slice-mib", type=int, default=1024, metavar="N", help="in a commit (default: %(default)s)")
    group.add_argument(
        "--no-tag", dest="tag", action="store_false", help="do not tag what the table holds; it cannot expire then"
    )
    group.add_argument("--metrics", metavar="STREAM", help="publish TableRows and TableLag, of this stream")
    group.add_argument("--end-at", choices=STEPS, help="end like a killed process after this step, for tests")
    upkeep.add_arguments(parser)
    options = parser.parse_args(argv)
    for name in ("reach_hours", "remember_days", "slice_objects", "slice_mib"):
        if getattr(options, name) < 1:
            parser.error(f"argument --{name.replace('_', '-')}: {getattr(options, name)} is not above 0")
    if options.remember_days * 24 < options.reach_hours + 24:
        parser.error(f"argument --remember-days: {options.remember_days} days are shorter than the reach")
    return options


def main(argv: Sequence[str]) -> int:
    """The command; returns the exit status."""
    use_any_encoding()
    options = arguments(argv)
    try:
        source = options.input or f"{bucket_uri(os.environ)}/events/"
        where = catalog.required(options, os.environ)
        spark = open_session("tributary-compact", os.environ, uris=(source, where.warehouse), catalog=where)
        try:
            started = time.monotonic()
            now = datetime.now(timezone.utc)
            run = compact(spark, source, where, options, now=now, at=_ending_at(options.end_at))
            _show(run, where, time.monotonic() - started)
            if options.metrics:
                metrics = {"TableRows": (run.rows, "Count"), "TableLag": (run.lag_ms, "Milliseconds")}
                aws.publish(spark, metrics, {"Stream": options.metrics})
        finally:
            spark.stop()
    except Stopped as error:
        for fault in error.faults[:MOST_NAMED]:
            print(f"compact: {printable(fault)}", file=sys.stderr)
        more = f" ({len(error.faults):,} objects)" if len(error.faults) > MOST_NAMED else ""
        print(f"compact: nothing more was loaded{more}; --on-unreadable skip leaves such objects out", file=sys.stderr)
        return 1
    except (LakeError, SessionError, OSError, *SPARK_ERRORS) as error:
        print(f"compact: {printable(reason(error))}", file=sys.stderr)
        return 1
    return 0


def _show(run: Run, where: Catalog, seconds: float) -> None:
    account = run.account
    print(f"{account.objects:,} objects loaded in {seconds:.1f} s → {where}, {run.rows:,} rows")
    print(f"{account.read:,} rows read = {account.added:,} added + {account.copies:,} copies")
    if account.replaced:
        print(f"{account.replaced:,} of the copies were in the table, and gave way to one that arrived earlier")
    if run.tagged:
        print(f"{run.tagged:,} objects and their rollups may expire: they carry the tag {'='.join(aws.TAG)}")
    for line in run.upkeep:
        print(line)
    name_left_out("compact", run.faults)


def _ending_at(step: str | None) -> Callable[[str], None]:
    def at(reached: str) -> None:
        if reached == step:
            # Nothing is wound down.
            os._exit(137)

    return at


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
