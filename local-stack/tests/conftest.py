"""Shared by the tests of the orchestration."""

from pathlib import Path

import pytest

from tributary_local.settings import Settings


@pytest.fixture
def environment() -> dict[str, str]:
    """As local-stack/env.sh sets it."""
    return {
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "AWS_REGION": "us-east-1",
        "TRIBUTARY_BUCKET": "lake",
        "TRIBUTARY_STREAM": "events",
        "TRIBUTARY_BROKERS": "127.0.0.1:9092",
        "TRIBUTARY_SHARDS": "2",
        "TRIBUTARY_ON_FAILURE_QUEUE": "on-failure",
    }


@pytest.fixture
def settings(tmp_path: Path, environment: dict[str, str]) -> Settings:
    """A stack whose every file is below the test's own directory."""
    return Settings.from_environment(tmp_path, environment)
