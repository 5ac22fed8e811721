"""The pure part of a submission: settings, requests, states, errors."""

import re
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tributary_emr import spark_settings, submission
from tributary_emr.submission import Job, S3Object, Status

README = (Path(__file__).parents[1] / "README.md").read_text()
JOB = Job(
    "tributary-report",
    S3Object("artifacts", "emr/1/report.py"),
    S3Object("artifacts", "emr/1/tributary_emr.zip"),
    ["--input", "s3://lake/events/"],
    {"spark.b": "2", "spark.a": "1"},
)

#: Memory in GB that a worker of so many vCPUs may have, Spark's overhead of 10 % included.
#: https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/app-behavior.html
WORKER_GB = {1: (2, 8), 2: (4, 16), 4: (8, 30), 8: (16, 60), 16: (32, 120)}


@pytest.mark.parametrize("size", spark_settings.SIZES)
@pytest.mark.parametrize("part", ["driver", "executor"])
def test_the_workers_are_of_a_size_that_emr_serverless_has(size: str, part: str) -> None:
    settings = spark_settings.serverless(size, {})
    gigabytes = int(settings[f"spark.{part}.memory"].removesuffix("g"))
    least, most = WORKER_GB[int(settings[f"spark.{part}.cores"])]
    assert least <= gigabytes * 1.1 <= most
    disk = settings.get(f"spark.emr-serverless.{part}.disk", "20g")
    assert 20 <= int(disk.removesuffix("g")) <= 200


@pytest.mark.parametrize("size", spark_settings.SIZES)
def test_the_table_of_the_docs_is_that_of_the_code(size: str) -> None:
    (header,) = re.findall(r"^\| setting \|.*$", README, re.MULTILINE)
    column = [cell.strip() for cell in header.split("|")].index(size)
    for name, value in spark_settings.serverless(size, {}).items():
        (row,) = re.findall(rf"^\| `{re.escape(name)}` \|.*$", README, re.MULTILINE)
        assert [cell.strip() for cell in row.split("|")][column] == value, name
    options = spark_settings.SLICES[size]
    for name, value in zip(options[::2], options[1::2], strict=True):
        (row,) = re.findall(rf"^\| `compact {name}` \|.*$", README, re.MULTILINE)
        assert [cell.strip() for cell in row.split("|")][column] == value, name


def test_a_cluster_sizes_its_own_executors_and_overrides_win() -> None:
    settings = spark_settings.cluster("10TB", {"spark.sql.shuffle.partitions": "7"})
    assert settings["spark.sql.shuffle.partitions"] == "7"
    assert not [name for name in settings if "memory" in name or "cores" in name or "emr-serverless" in name]
    assert spark_settings.serverless("1GB", {"spark.executor.cores": "2"})["spark.executor.cores"] == "2"


def test_the_settings_of_a_request_are_ordered() -> None:
    request = submission.start_job_run_request(
        JOB, application_id="00f1", role="arn", token="t", timeout_minutes=None, log_uri=None
    )
    assert request == {
        "applicationId": "00f1",
        "clientToken": "t",
        "executionRoleArn": "arn",
        "name": "tributary-report",
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": "s3://artifacts/emr/1/report.py",
                "entryPointArguments": ["--input", "s3://lake/events/"],
                "sparkSubmitParameters": "--py-files s3://artifacts/emr/1/tributary_emr.zip "
                "--conf spark.a=1 --conf spark.b=2",
            }
        },
    }


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("QUEUED", Status("QUEUED")),
        ("SCHEDULED", Status("SCHEDULED")),
        ("RUNNING", Status("RUNNING", started=True)),
        ("CANCELLING", Status("CANCELLING")),
        ("CANCELLED", Status("CANCELLED", finished=True)),
        ("FAILED", Status("FAILED", started=True, finished=True)),
        ("SUCCESS", Status("SUCCESS", started=True, finished=True, succeeded=True)),
    ],
)
def test_a_state_of_a_job_run(state: str, expected: Status) -> None:
    assert submission.job_run_status({"jobRun": {"state": state, "stateDetails": ""}}) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("PENDING", Status("PENDING")),
        ("CANCEL_PENDING", Status("CANCEL_PENDING")),
        ("RUNNING", Status("RUNNING", started=True)),
        ("COMPLETED", Status("COMPLETED", started=True, finished=True, succeeded=True)),
        ("CANCELLED", Status("CANCELLED", finished=True)),
        ("INTERRUPTED", Status("INTERRUPTED", finished=True)),
    ],
)
def test_a_state_of_a_step(state: str, expected: Status) -> None:
    assert submission.step_status({"Step": {"Status": {"State": state}}}) == expected


def test_a_failed_step_says_why_and_where_its_log_is() -> None:
    failure = {"Reason": "Unknown Error.", "Message": "exit code 1", "LogFile": "s3://logs/j-1/stderr.gz"}
    status = {"State": "FAILED", "StateChangeReason": {}, "FailureDetails": failure}
    assert submission.step_status({"Step": {"Status": status}}) == Status(
        "FAILED", "Unknown Error.; exit code 1; s3://logs/j-1/stderr.gz", started=True, finished=True
    )


def test_what_a_run_is_billed_for() -> None:
    used = {"vCPUHour": 0.5, "memoryGBHour": 2.25, "storageGBHour": 10.0}
    told = submission.billed({"jobRun": {"billedResourceUtilization": used}})
    assert told == "0.500 vCPU h, 2.250 GB h memory, 10.000 GB h storage"
    assert submission.billed({"jobRun": {}}) == ""


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("AccessDenied", "User: x is not authorized", "not allowed to PutObject: User: x is not authorized"),
        ("NoSuchBucket", "The specified bucket does not exist", "there is no bucket"),
        ("ExpiredTokenException", "expired", "the AWS credentials have expired: log in again"),
        (
            "InvalidRequestException",
            "Cluster id 'j-1' is not valid.\nmore",
            "PutObject: Cluster id 'j-1' is not valid.",
        ),
        ("502", "<html>\n<body>", "PutObject: no reason given (502)"),
    ],
)
def test_a_refusal_is_one_line(code: str, message: str, expected: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": message}}, "PutObject")
    told = submission.explanation(error)
    assert told.startswith(expected)
    assert "\n" not in told


@pytest.mark.parametrize("uri", ["lake/events", "s3a://lake/events", "s3:///events", "s3://lake/a?b"])
def test_what_is_no_place_on_s3_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="is no s3://bucket/key"):
        S3Object.of_uri(uri)
