"""Where the table is: its catalog, its warehouse, its name. The jobs are the same for every catalog.

On AWS the catalog is Glue; on a laptop it is one SQLite file, by Iceberg's JDBC catalog.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tributary_emr.lake import LakeError

#: Spark's name for the catalog.
SPARK_NAME = "lake"
#: The table's own name, in its namespace.
TABLE = "events"
GLUE = "glue"
_JDBC = "jdbc:"
_SQLITE = "jdbc:sqlite:"


@dataclass(frozen=True)
class Catalog:
    """The catalog of the table, and where its files are."""

    kind: str
    """`glue`, or the address of a JDBC database such as `jdbc:sqlite:/home/me/lake.db`."""
    warehouse: str
    """The URI under which the files of tables are."""
    namespace: str
    """Glue calls it a database."""

    @property
    def table(self) -> str:
        """The table's identifier in Spark's SQL."""
        return f"{SPARK_NAME}.{self.namespace}.{TABLE}"

    @property
    def location(self) -> str:
        """The URI of the folder of the table's files, whatever the catalog would choose."""
        return f"{self.warehouse.rstrip('/')}/{self.namespace}/{TABLE}"

    def __str__(self) -> str:
        return f"{self.namespace}.{TABLE} in {self.kind}"

    def spark_config(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Spark's configuration for the catalog. `environ` has AWS's variables of a local stack."""
        own = {"warehouse": self.warehouse, "cache-enabled": "false"}
        if self.kind == GLUE:
            own["type"] = "glue"
        else:
            # A second job that commits holds SQLite's lock for as long as a commit takes.
            own |= {"type": "jdbc", "uri": self.kind, "jdbc.schema-version": "V1", "jdbc.busy_timeout": "30000"}
            if self.kind.startswith(_SQLITE):
                # Iceberg 1.10 leaves its question for the tables open when there are some, which locks out every
                # other process that commits for as long as this one lives.
                own["jdbc.init-catalog-tables"] = str(not _has_tables(self.kind[len(_SQLITE) :])).lower()
        if urlsplit(self.warehouse).scheme == "s3":
            own |= {"io-impl": "org.apache.iceberg.aws.s3.S3FileIO"} | _endpoint(environ)
        prefix = f"spark.sql.catalog.{SPARK_NAME}"
        return {
            "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
            prefix: "org.apache.iceberg.spark.SparkCatalog",
            **{f"{prefix}.{key}": value for key, value in own.items()},
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say where the table is."""
    group = parser.add_argument_group("the table")
    group.add_argument(
        "--catalog", metavar="CATALOG", help="glue, or a database like jdbc:sqlite:FILE (default: $TRIBUTARY_CATALOG)"
    )
    group.add_argument(
        "--warehouse", metavar="URI", help="where its files are (default: s3://$TRIBUTARY_BUCKET/table/)"
    )
    group.add_argument("--namespace", default="history", metavar="NAME", help="its database (default: %(default)s)")


def of_options(options: argparse.Namespace, environ: Mapping[str, str]) -> Catalog | None:
    """What `add_arguments` has read; `None` where no catalog is named. Raises `LakeError`."""
    kind = options.catalog or environ.get("TRIBUTARY_CATALOG")
    if not kind:
        return None
    if kind != GLUE and not kind.startswith(_JDBC):
        raise LakeError(f"--catalog {kind}: must be {GLUE}, or an address that begins with {_JDBC}")
    if not re.fullmatch(r"[a-z0-9_]+", options.namespace):
        raise LakeError(f"--namespace {options.namespace}: must be of a to z, 0 to 9 and _")
    if kind.startswith(_SQLITE) and not (folder := Path(kind[len(_SQLITE) :]).parent).is_dir():
        raise LakeError(f"--catalog {kind}: there is no folder {folder}")
    warehouse = options.warehouse
    if not warehouse:
        if not (bucket := environ.get("TRIBUTARY_BUCKET")):
            raise LakeError("no warehouse: give --warehouse, or set TRIBUTARY_BUCKET")
        warehouse = f"s3://{bucket}/table/"
    return Catalog(kind, warehouse, options.namespace)


def required(options: argparse.Namespace, environ: Mapping[str, str]) -> Catalog:
    """The same, for a job that cannot do without; raises `LakeError`."""
    found = of_options(options, environ)
    if found is None:
        raise LakeError("no table: give --catalog, or set TRIBUTARY_CATALOG")
    return found


def _has_tables(file: str) -> bool:
    """Whether Iceberg has made its tables in the SQLite database; what is no database has none."""
    if not Path(file).is_file():
        return False
    try:
        with closing(sqlite3.connect(file)) as database:
            found = database.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'iceberg_%'").fetchone()
    except sqlite3.Error:
        return False
    return found[0] >= 2


def _endpoint(environ: Mapping[str, str]) -> dict[str, str]:
    config = {}
    if region := environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"):
        config["client.region"] = region
    if endpoint := environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL"):
        config |= {"s3.endpoint": endpoint, "s3.path-style-access": "true"}
    if endpoint := environ.get("AWS_ENDPOINT_URL_GLUE") or environ.get("AWS_ENDPOINT_URL"):
        config["glue.endpoint"] = endpoint
    return config
