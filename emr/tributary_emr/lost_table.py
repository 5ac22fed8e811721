"""A table that its catalog has lost: the files are there, and know everything."""

from __future__ import annotations

import re

from pyspark.sql import SparkSession

from tributary_emr.catalog import Catalog
from tributary_emr.lake import SPARK_ERRORS, LakeError, list_folder, reason

_METADATA = re.compile(r"(\d+)-[^/]*\.metadata\.json")


def refuse_if_lost(spark: SparkSession, catalog: Catalog) -> None:
    """Raises `LakeError` if the catalog, which has no table, has had one."""
    # A new one in its place would be without the history, and its upkeep would delete what it does not know.
    if list_folder(spark, f"{catalog.location}/data"):
        raise LakeError(
            f"the table {catalog}: the catalog has lost it, and its files are in {catalog.location}: "
            "compact --restore gives it back"
        )


def restore(spark: SparkSession, catalog: Catalog) -> str:
    """Gives the table back to its catalog as its newest metadata has it, and says which file that is.

    Whether or not that file was committed: it has rows and what is loaded of one state. (Of two with one number, of
    which a killed run has left one, either.) Raises `LakeError`.
    """
    folder = f"{catalog.location}/metadata"
    names = [stored.uri.rpartition("/")[2] for stored in list_folder(spark, folder)]
    versions = {int(match[1]): name for name in names if (match := _METADATA.fullmatch(name))}
    if not versions:
        raise LakeError(f"the table {catalog}: there is no metadata of it in {catalog.location}")
    newest = f"{folder}/{versions[max(versions)]}"
    own, _, name = catalog.table.partition(".")
    try:
        spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {own}.{catalog.namespace}")
        spark.sql(f"CALL {own}.system.register_table(table => {literal(name)}, metadata_file => {literal(newest)})")
    except SPARK_ERRORS as error:
        raise LakeError(f"the table {catalog}: cannot be restored: {reason(error)}") from error
    return newest


def literal(text: str) -> str:
    """`text` in SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
