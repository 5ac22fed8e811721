"""emr/submit as a process of its own against moto's services; the tests move the runs on."""

import io
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import moto.emrserverless.models
import pytest
from botocore.stub import Stubber
from emr_of_tests import ROLE, Aws, read_until
from emr_of_tests import moto as moto_services

from tributary_emr import artifacts, compact, submit
from tributary_emr.runs import ClusterStep, ServerlessRun
from tributary_emr.submission import S3Object, SubmitError

CSV = "day,device_type\n2026-11-22,lock\n"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    # moto's own runs have succeeded when they begin.
    monkeypatch.setattr(moto.emrserverless.models, "JOB_STATUS", "SUBMITTED")
    with moto_services() as services:
        for name, value in services.environ.items():
            monkeypatch.setenv(name, value)
        yield services


def test_a_run_is_followed_to_its_end_and_its_csv_fetched(aws: Aws, tmp_path: Path) -> None:
    local = tmp_path / "out" / "report.csv"
    with aws.submitting(*aws.serverless, "--csv", str(local), "--", "--approximate") as process:
        read_until(process, "SUBMITTED")
        (run,) = aws.job_runs
        run.state, run.state_details = "RUNNING", "2 executors"
        read_until(process, "RUNNING  2 executors")
        aws.put_result(CSV)
        run.state, run.state_details = "SUCCESS", ""
        said, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert said.splitlines()[-2:] == ["→ s3://lake/reports/p95_event_duration.csv", f"the same → {local}"]
    assert local.read_text() == CSV
    assert run.execution_role_arn == ROLE
    sparkSubmit = run.job_driver["sparkSubmit"]
    assert sparkSubmit["entryPointArguments"] == [
        *("--input", "s3://lake/events/", "--output", "s3://lake/reports/p95_event_duration.csv", "--approximate")
    ]
    assert "--conf spark.executor.memory=14g" in sparkSubmit["sparkSubmitParameters"]


def test_a_run_that_fails_fails_the_command_with_its_reason(aws: Aws) -> None:
    with aws.submitting(*aws.serverless) as process:
        read_until(process, "SUBMITTED")
        run = aws.job_runs[0]
        run.state_details = "Job failed, please check complete logs in configured logging destination."
        run.state = "FAILED"
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors == f"submit: run {run.id} ended as FAILED: {run.state_details}\n"


@pytest.mark.parametrize(
    ("options", "state", "said"),
    [([], "RUNNING", "goes on; to see it: aws emr-serverless"), (["--cancel-on-interrupt"], "CANCELLED", "cancelling")],
)
def test_an_interrupt_leaves_the_run_alone_unless_told_to_cancel(
    aws: Aws, options: list[str], state: str, said: str
) -> None:
    with aws.submitting(*aws.serverless, *options) as process:
        read_until(process, "SUBMITTED")
        aws.job_runs[0].state = "RUNNING"
        read_until(process, "RUNNING")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert aws.job_runs[0].state == state
    assert said in errors
    assert f"--job-run-id {aws.job_runs[0].id}" in errors


def test_after_the_timeout_the_run_is_cancelled(aws: Aws) -> None:
    run = ServerlessRun(aws.application, ROLE)
    job, _ = submit.job_of(submit.arguments(aws.serverless))
    run.start(job, "token")
    aws.job_runs[0].state = "RUNNING"
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    progress = submit.Progress(io.StringIO(), clock=lambda: now[0])
    with pytest.raises(SubmitError, match="not done after 5 minutes: cancelled"):
        submit.follow(run, progress, poll=10, timeout=300, sleep=sleep)
    assert now == [300.0]
    assert aws.job_runs[0].state == "CANCELLED"


def test_the_timeout_token_and_logs_go_to_the_service(aws: Aws) -> None:
    options = submit.arguments([*aws.serverless, "--timeout", "30", "--log-uri", "s3://logs/emr/"])
    job, _ = submit.job_of(options)
    run = ServerlessRun(aws.application, ROLE, timeout_minutes=options.timeout, log_uri=options.log_uri)
    run.start(job, "build-7")
    (started,) = aws.job_runs
    assert (started.client_token, started.execution_timeout_minutes) == ("build-7", 30)
    monitoring = started.configuration_overrides["monitoringConfiguration"]
    assert monitoring == {"s3MonitoringConfiguration": {"logUri": "s3://logs/emr/"}}


def test_a_state_is_one_line_however_often_it_is_seen() -> None:
    out = io.StringIO()
    now = [0.0]
    progress = submit.Progress(out, clock=lambda: now[0])
    for state in ("PENDING", "PENDING", "RUNNING", "RUNNING"):
        progress.show(submit.Status(state))
        now[0] += 60
    assert out.getvalue() == "  0:00:00  PENDING\n  0:02:00  RUNNING\n"


def test_a_step_is_followed_to_its_end(aws: Aws, tmp_path: Path) -> None:
    local = tmp_path / "report.csv"
    with aws.submitting(*aws.step, "--csv", str(local), "--client-token", "build-7") as process:
        read_until(process, "RUNNING")
        (step,) = aws.steps
        aws.put_result(CSV)
        step.state = "COMPLETED"
        process.communicate(timeout=120)
    assert process.returncode == 0
    assert local.read_text() == CSV
    assert step.name == "tributary-report build-7"
    assert step.jar == "command-runner.jar"
    assert step.args[:3] == ["spark-submit", "--deploy-mode", "client"]
    assert step.args[-5:] == [
        *(step.args[-5], "--input", "s3://lake/events/", "--output", "s3://lake/reports/p95_event_duration.csv")
    ]
    assert re.fullmatch(r"s3://artifacts/emr/[0-9a-f]{16}/report\.py", step.args[-5])
    assert not any("emr-serverless" in argument or "executor.memory" in argument for argument in step.args)


def test_the_same_token_follows_the_step_that_is_there(aws: Aws) -> None:
    job, _ = submit.job_of(submit.arguments(aws.step))
    ids = []
    for token in ("build-7", "build-7", "build-8"):
        run = ClusterStep(aws.cluster)
        run.start(job, token)
        ids.append(run.id)
    assert [step.id for step in aws.steps] == [ids[0], ids[2]]
    assert ids[0] == ids[1]


def test_cancelling_a_step_ends_its_process(aws: Aws) -> None:
    run = ClusterStep(aws.cluster)
    run.id = "s-1"
    # moto has no CancelSteps.
    with Stubber(run._emr) as emr:
        asked = {"ClusterId": aws.cluster, "StepIds": ["s-1"], "StepCancellationOption": "TERMINATE_PROCESS"}
        emr.add_response("cancel_steps", {"CancelStepsInfoList": [{"StepId": "s-1", "Status": "SUBMITTED"}]}, asked)
        run.cancel()
        emr.assert_no_pending_responses()


def test_the_spark_ui_of_a_run_is_its_dashboard_and_a_refusal_is_a_line(aws: Aws) -> None:
    run = ServerlessRun("00f1", ROLE)
    run.id = "00f2"
    out = io.StringIO()
    # moto has no GetDashboardForJobRun.
    with Stubber(run._emr) as emr:
        asked = {"applicationId": "00f1", "jobRunId": "00f2"}
        emr.add_response("get_dashboard_for_job_run", {"url": "https://spark.example/"}, asked)
        submit.show_ui(run, submit.Progress(out))
        emr.add_client_error("get_dashboard_for_job_run", "AccessDeniedException", "User is not authorized")
        submit.show_ui(run, submit.Progress(out))
    assert out.getvalue().splitlines() == [
        "Spark UI: https://spark.example/",
        "Spark UI: no link, not allowed to GetDashboardForJobRun: User is not authorized",
    ]


def test_the_spark_ui_of_a_cluster_is_waited_for(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ClusterStep("j-1")
    pauses: list[float] = []
    monkeypatch.setattr("tributary_emr.runs.time.sleep", pauses.append)
    arn = "arn:aws:elasticmapreduce:us-east-1:123456789012:cluster/j-1"
    # moto has no persistent UIs.
    with Stubber(run._emr) as emr:
        emr.add_response("describe_cluster", {"Cluster": {"ClusterArn": arn}}, {"ClusterId": "j-1"})
        ui = {"PersistentAppUIId": "p-1"}
        emr.add_response("create_persistent_app_ui", ui, {"TargetResourceArn": arn, "ProfilerType": "SHS"})
        asked = {"PersistentAppUIId": "p-1", "PersistentAppUIType": "SHS"}
        link = "get_persistent_app_ui_presigned_url"
        emr.add_response(link, {"PresignedURLReady": False}, asked)
        emr.add_response(link, {"PresignedURLReady": True, "PresignedURL": "https://shs.example/"}, asked)
        assert run.ui() == "https://shs.example/"
    assert len(pauses) == 1


def test_what_is_uploaded_runs_by_itself(aws: Aws, tmp_path: Path) -> None:
    for name in submit.JOBS:
        job, _ = submit.job_of(submit.arguments([*aws.serverless, "--job", name]))
        submit.upload(job)
        files = []
        for place in (job.package, job.entry_point):
            files.append(tmp_path / Path(place.key).name)
            files[-1].write_bytes(aws.client("s3").get_object(Bucket=place.bucket, Key=place.key)["Body"].read())
        done = subprocess.run(
            [sys.executable, files[1], "--help"],
            env=aws.environ | {"PYTHONPATH": str(files[0])},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(f"usage: tributary_emr.{name} ")


def test_the_same_sources_give_the_same_artifacts() -> None:
    first, second = artifacts.artifacts("report"), artifacts.artifacts("report")
    assert first == second
    names = zipfile.ZipFile(io.BytesIO(first.package)).namelist()
    assert {"tributary_emr/__init__.py", "tributary_emr/transforms.py"} <= set(names)


def test_the_averages_are_one_csv_in_the_lake(aws: Aws) -> None:
    job, output = submit.job_of(submit.arguments([*aws.serverless, "--job", "averages", "--", "--day", "2026-11-22"]))
    assert str(output) == "s3://lake/reports/averages.csv"
    assert job.arguments == ["--input", "s3://lake/rollups/", "--output", str(output), "--day", "2026-11-22"]


def test_a_compaction_of_a_larger_lake_commits_larger_portions(aws: Aws) -> None:
    job, _ = submit.job_of(submit.arguments([*aws.serverless, "--job", "compact", "--size", "100GB"]))
    options = compact.arguments(job.arguments)
    assert (options.slice_mib, options.slice_objects) == (16 * 1024, 100_000)


def test_the_compaction_is_submitted_with_iceberg_and_the_table_in_glue(aws: Aws) -> None:
    job, output = submit.job_of(submit.arguments([*aws.serverless, "--job", "compact", "--", "--reach-hours", "72"]))
    assert output is None
    assert job.arguments == [
        *("--input", "s3://lake/events/", "--catalog", "glue", "--warehouse", "s3://lake/table/"),
        *("--namespace", "history", "--reach-hours", "72"),
    ]
    assert job.settings["spark.jars"] == "/usr/share/aws/iceberg/lib/iceberg-spark3-runtime.jar"
    job, output = submit.job_of(submit.arguments([*aws.serverless, "--namespace", "other_history"]))
    assert job.arguments[-2:] == ["--namespace", "other_history"]
    assert "spark.jars" in job.settings


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("{application}", "0000"), r"submit: there is no EMR Serverless application 0000 in us-east-1\n"),
        (("s3://artifacts/emr/", "s3://nowhere/"), r"submit: there is no bucket nowhere\n"),
        # moto's way of not being allowed to pass a role.
        ((ROLE, ROLE.replace("1234", "9999")), r"submit: not allowed to StartJobRun: Cross-account pass role .*\n"),
        (("{role}", "no-arn-at-all-no-arn"), r"submit: StartJobRun: .*\n|submit: .*executionRoleArn.*\n"),
    ],
)
def test_what_aws_refuses_is_one_clear_line(aws: Aws, change: tuple[str, str], said: str) -> None:
    old = change[0].format(application=aws.application, role=ROLE)
    done = aws.submit(*(change[1] if argument == old else argument for argument in aws.serverless))
    assert done.returncode == 1
    assert re.fullmatch(said, done.stderr)


def test_no_credentials_no_region_and_no_endpoint_are_one_clear_line(aws: Aws) -> None:
    done = aws.submit(*aws.serverless, AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Could not connect to the endpoint URL" in done.stderr
    done = aws.submit(*aws.serverless, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert done.stderr == "submit: no AWS credentials: log in, or set AWS_PROFILE\n"
    done = aws.submit(*aws.serverless, AWS_REGION=None, AWS_DEFAULT_REGION=None)
    assert done.stderr == "submit: no AWS region: set AWS_REGION\n"


def test_a_result_that_is_not_there_is_one_clear_line(aws: Aws, tmp_path: Path) -> None:
    with aws.submitting(*aws.serverless, "--csv", str(tmp_path / "report.csv")) as process:
        read_until(process, "SUBMITTED")
        aws.job_runs[0].state = "SUCCESS"
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors.startswith("submit: GetObject: The specified key does not exist.")
    assert list(tmp_path.iterdir()) == []


BOTH = ["--application-id", "00f1", "--execution-role-arn", ROLE]
PLACES = ["--lake", "lake", "--artifacts", "s3://artifacts/emr"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (PLACES, "--application-id --cluster-id is required"),
        ([*BOTH, "--cluster-id", "j-1", *PLACES], "not allowed with argument"),
        (["--application-id", "00f1", *PLACES], "--application-id needs --execution-role-arn"),
        (["--cluster-id", "j-1", "--log-uri", "s3://l/", *PLACES], "are for EMR Serverless"),
        ([*BOTH, "--artifacts", "s3://artifacts"], "no lake: give --lake, or set TRIBUTARY_BUCKET"),
        ([*BOTH, "--lake", "lake", "--artifacts", "artifacts/emr"], "artifacts/emr is no s3://bucket/key"),
        ([*BOTH, *PLACES, "--conf", "executor.memory=1g"], "executor.memory=1g is no spark.key=value"),
        ([*BOTH, *PLACES, "--conf", "spark.app.name=my job"], "spark.app.name=my job is no spark.key=value"),
        ([*BOTH, *PLACES, "--timeout", "4"], "--timeout 4 is under 5 minutes"),
        ([*BOTH, *PLACES, "--csv", "a.csv", "--output", "s3://lake/reports/a/"], "does not end in .csv"),
        ([*BOTH, *PLACES, "--job", "compact", "--csv", "a.csv"], "takes neither --output nor --csv"),
        ([*BOTH, *PLACES, "--size", "2GB"], "invalid choice: '2GB'"),
    ],
)
def test_bad_usage_is_named(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRIBUTARY_BUCKET", raising=False)
    with pytest.raises(SystemExit) as exit_of:
        submit.arguments(given)
    assert exit_of.value.code == 2
    assert said in capsys.readouterr().err


def test_the_result_is_written_to_a_pipe_or_a_device_and_does_not_replace_it(aws: Aws, tmp_path: Path) -> None:
    aws.put_result(CSV)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True) as reader:
        submit.fetch(S3Object("lake", "reports/p95_event_duration.csv"), pipe)
        read, _ = reader.communicate(timeout=10)
    assert read == CSV
    assert pipe.is_fifo()


@pytest.mark.parametrize("given", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_either_name_of_the_region_will_do_and_it_counts_before_the_configuration(
    aws: Aws, given: str, tmp_path: Path
) -> None:
    configuration = tmp_path / "config"
    configuration.write_text("[default]\nregion = ap-south-1\n")
    other = {"AWS_REGION": None, "AWS_DEFAULT_REGION": None, given: "us-east-1"}
    # An application that is not there is looked for in the region that counts.
    arguments = ["--application-id", "none", "--execution-role-arn", ROLE, *aws.places]
    ended = aws.submit(*arguments, **other, AWS_CONFIG_FILE=str(configuration))
    assert "there is no EMR Serverless application none in us-east-1" in ended.stderr
