"""The table's upkeep: files of a day are put together, old snapshots expire, files that nothing refers to go."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from tributary_emr.table import BRANCH, FILE_BYTES, Conflict, Table

# Iceberg's default.
_DEFAULT_FILE_BYTES = 512 << 20

#: Property of the table: when files that nothing refers to were last looked for, in seconds since the Unix epoch.
ORPHANS = "tributary.orphans-removed"
_ORPHANS_EVERY = timedelta(days=7)
#: A branch of a load lives as long as the load: one that is older was left by a run that was killed.
_BRANCH_LIFE = timedelta(days=1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The knobs of the upkeep."""
    group = parser.add_argument_group("upkeep")
    group.add_argument(
        "--small-files",
        type=int,
        default=5,
        metavar="N",
        help="rewrite a day that has so many small files (default: %(default)s; 0: never)",
    )
    group.add_argument(
        "--snapshot-days",
        type=int,
        default=7,
        metavar="N",
        help="keep snapshots of so many days, and the last 10 (default: %(default)s; 0: all)",
    )
    group.add_argument(
        "--orphan-days",
        type=int,
        default=3,
        metavar="N",
        help="once a week, delete files of the warehouse that are older and that nothing refers to "
        "(default: %(default)s; 0: never)",
    )


def keep_up(table: Table, options: argparse.Namespace, *, now: datetime) -> list[str]:
    """Does what is due, and says what it did. Readers see the same rows all the while; raises `LakeError`."""
    table = table.refreshed()
    if table.snapshot_id is None:
        return []
    done: list[str] = []
    try:
        for step in (_drop_branches, _rewrite, _expire, _remove_orphans):
            done += step(table, options, now)
    except Conflict as conflict:
        done.append(f"the rest of the upkeep is left to the next run: {conflict}")
    return done


def _drop_branches(table: Table, options: argparse.Namespace, now: datetime) -> Iterator[str]:
    for branch in table.branches():
        made = branch[len(BRANCH) :].partition("_")[0]
        is_old = made.isdecimal() and int(made) < (now - _BRANCH_LIFE).timestamp()
        if is_old and table.drop_branch(branch):
            yield f"dropped {branch}, which a killed run had left"


def _rewrite(table: Table, options: argparse.Namespace, now: datetime) -> Iterator[str]:
    if not options.small_files:
        return
    # Iceberg takes each day by itself, and also rewrites small files that are together larger than a file should be. By
    # its own bound, three quarters, the two halves of one and a half are small, and would be rewritten each night.
    small = int(table.property(FILE_BYTES) or _DEFAULT_FILE_BYTES) * 2 // 5
    rewritten = table.call(
        "rewrite_data_files",
        strategy="'sort'",
        options=f"map('min-input-files', '{options.small_files}', 'min-file-size-bytes', '{small}')",
    )
    if rewritten["rewritten_data_files_count"]:
        yield f"rewrote {rewritten['rewritten_data_files_count']:,} files as {rewritten['added_data_files_count']:,}"


def _expire(table: Table, options: argparse.Namespace, now: datetime) -> Iterator[str]:
    if not options.snapshot_days:
        return
    until = now - timedelta(days=options.snapshot_days)
    made = table.snapshots()
    if len(made) > 10 and min(made) < until.timestamp() * 1000:
        expired = table.call("expire_snapshots", older_than=_literal(until), retain_last="10")
        yield f"expired snapshots; deleted {expired['deleted_data_files_count']:,} data files"


def _remove_orphans(table: Table, options: argparse.Namespace, now: datetime) -> Iterator[str]:
    last = table.property(ORPHANS)
    if not options.orphan_days or (last is not None and int(last) > (now - _ORPHANS_EVERY).timestamp()):
        return
    if last is not None:
        found = table.call("remove_orphan_files", older_than=_literal(now - timedelta(days=options.orphan_days)))
        if found["rows"]:
            yield f"deleted {found['rows']:,} files that nothing refers to"
    table.set_property(ORPHANS, str(int(now.timestamp())))


def _literal(time: datetime) -> str:
    # CALL takes literals alone.
    return f"TIMESTAMP '{time.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}Z'"
