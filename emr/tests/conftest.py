"""One Spark session for all tests, and a small lake made of the rows that a test names."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lake_of_tests import Lake
from pyspark.sql import SparkSession

from tributary_emr.session import local_config, make_own


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    make_own(os.environ)
    builder = SparkSession.builder.appName("tests")
    for key, value in local_config({}, uris=[]).items():
        builder = builder.config(key, value)
    session = (
        builder.config("spark.sql.shuffle.partitions", "2")
        # Far from UTC, and half an hour off: no result may depend on it.
        .config("spark.sql.session.timeZone", "Asia/Kolkata")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)
