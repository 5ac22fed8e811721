"""One Spark session for all tests, and a small lake made of the rows that a test names."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lake_of_tests import Lake
from pyspark.sql import SparkSession

from tributary_emr.catalog import SPARK_NAME, Catalog
from tributary_emr.session import local_config, make_own

_NAMESPACES = itertools.count()


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("catalog")
    return Catalog(f"jdbc:sqlite:{folder}/lake.db", f"{folder}/table", "history")


@pytest.fixture(scope="session")
def spark(catalog: Catalog) -> Iterator[SparkSession]:
    make_own(os.environ)
    builder = SparkSession.builder.appName("tests")
    for key, value in (local_config({}, uris=[], table=True) | catalog.spark_config({})).items():
        builder = builder.config(key, value)
    session = (
        builder.config("spark.sql.shuffle.partitions", "2")
        # Far from UTC, and half an hour off: no result may depend on it.
        .config("spark.sql.session.timeZone", "Asia/Kolkata")
        .getOrCreate()
    )
    # Iceberg's catalog leaves the database locked if it finds that somebody else has made its tables meanwhile.
    session.sql(f"SHOW NAMESPACES IN {SPARK_NAME}").collect()
    yield session
    session.stop()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


@pytest.fixture
def where(catalog: Catalog) -> Catalog:
    """A table of the test's own, which is not there yet."""
    return Catalog(catalog.kind, catalog.warehouse, f"history_{next(_NAMESPACES)}")
