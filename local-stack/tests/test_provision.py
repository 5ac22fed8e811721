"""provision.sh gives a bucket the rules that the CDK gives it, and nothing but what it says."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# cdk/test compares it with the stacks.
TEMPLATE = ROOT / "cdk/test/snapshots/default.tributary-storage.json"
JOB_ROLE = "arn:aws:iam::123456789012:role/tributary-job-us-east-1"
PSEUDO = {"AWS::Partition": "aws", "AWS::AccountId": "123456789012", "AWS::Region": "us-east-1"}
# In the place of the AWS CLI: notes what it is asked, a line for each argument.
AWS = """#!/bin/sh
number=$(mktemp "$CALLS/XXXXXX")
for argument; do printf '%s\\0' "$argument"; done >"$number"
case "$*" in *describe-stream-summary*) printf 'ACTIVE\\t24\\tKMS\\n' ;; esac
"""


@pytest.fixture
def calls(tmp_path: Path) -> dict[str, dict[str, str]]:
    """What is asked of the S3 API: options by operation."""
    return provisioned(tmp_path, TRIBUTARY_BUCKET="lake", TRIBUTARY_JOB_ROLE=JOB_ROLE)


def provisioned(directory: Path, **settings: str) -> dict[str, dict[str, str]]:
    """What is asked of the S3 API: options by operation."""
    done = provision(directory, **settings)
    assert (done.returncode, done.stderr) == (0, "")
    found = {}
    for file in (directory / "calls").iterdir():
        service, operation, *options = file.read_text(encoding="utf-8").rstrip("\0").split("\0")
        if service == "s3api":
            found[operation] = dict(zip(options[::2], options[1::2], strict=True))
    return found


def refusal(directory: Path, **settings: str) -> str:
    """What is said, in one line, in place of any call."""
    done = provision(directory, **settings)
    assert (done.returncode, done.stderr.count("\n"), list((directory / "calls").iterdir())) == (1, 1, [])
    return done.stderr


def provision(directory: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """As on a machine that has nothing but an AWS CLI."""
    for name in ("local-stack/provision.sh", "local-stack/set-up/shell.sh", "cdk/region.sh"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, directory / name)
    shutil.copytree(ROOT / "cdk/lib/lake-bucket", directory / "cdk/lib/lake-bucket")
    (directory / "bin").mkdir()
    (directory / "bin/aws").write_text(AWS, encoding="utf-8")
    (directory / "bin/aws").chmod(0o755)
    (directory / "calls").mkdir()
    environment = {
        "PATH": f"{directory}/bin:{os.environ['PATH']}",
        "CALLS": f"{directory}/calls",
        "AWS_REGION": "us-east-1",
    }
    # Relative, and with a CDPATH that leads elsewhere.
    return subprocess.run(
        ["local-stack/provision.sh"],
        cwd=directory,
        env={**environment, "CDPATH": "/usr:/", **settings},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture
def resources() -> dict[str, dict[str, Any]]:
    """Of the lake's bucket, by type."""
    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))["Resources"]
    buckets = [name for name, found in template.items() if found["Type"] == "AWS::S3::Bucket"]
    (bucket,) = [name for name in buckets if name.startswith("Lake")]
    (policy,) = [
        found
        for found in template.values()
        if found["Type"] == "AWS::S3::BucketPolicy" and found["Properties"]["Bucket"] == {"Ref": bucket}
    ]
    return {"bucket": template[bucket]["Properties"], "policy": policy["Properties"]}


def resolved(value: Any) -> Any:
    """A template's value with the bucket's ARN in it, as one text."""
    if isinstance(value, list):
        return [resolved(each) for each in value]
    if isinstance(value, dict):
        if "Fn::GetAtt" in value:
            return "arn:aws:s3:::lake"
        if "Ref" in value:
            return PSEUDO[value["Ref"]]
        if "Fn::Join" in value:
            separator, parts = value["Fn::Join"]
            return separator.join(resolved(parts))
        return {name: resolved(each) for name, each in value.items() if name != "Sid"}
    return value


def test_the_policy_is_the_cdks(calls: dict[str, dict[str, str]], resources: dict[str, dict[str, Any]]) -> None:
    given = json.loads(calls["put-bucket-policy"]["--policy"])
    assert resolved(given["Statement"]) == resolved(resources["policy"]["PolicyDocument"]["Statement"])
    assert given["Version"] == resources["policy"]["PolicyDocument"]["Version"]


def test_what_is_denied_is_named_once_by_sid(calls: dict[str, dict[str, str]]) -> None:
    statements = json.loads(calls["put-bucket-policy"]["--policy"])["Statement"]
    assert [statement["Sid"] for statement in statements] == [
        *("TlsOnly", "Tls12", "CreateOnly", "NoDeletes", "TagsByTheJob", "TableByTheJob")
    ]
    for statement in statements[2:4]:
        assert statement["Resource"] == [
            f"arn:aws:s3:::lake/{prefix}/*" for prefix in ("events", "rollups", "quarantine")
        ]


def test_the_role_of_the_jobs_alone_may_tag_and_write_the_table(calls: dict[str, dict[str, str]]) -> None:
    *_, tags, table = json.loads(calls["put-bucket-policy"]["--policy"])["Statement"]
    for statement in (tags, table):
        assert statement["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": JOB_ROLE}}


def test_without_a_role_of_the_jobs_nobody_is_kept_from_the_table(tmp_path: Path) -> None:
    calls = provisioned(tmp_path, TRIBUTARY_BUCKET="lake")
    table = json.loads(calls["put-bucket-policy"]["--policy"])["Statement"][-1]
    assert table["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:*:*:*:*"}}


@pytest.mark.parametrize(("retention", "least"), [("24", 2), ("168", 8)])
def test_nothing_expires_that_a_redelivery_still_needs(tmp_path: Path, retention: str, least: int) -> None:
    settings = {"TRIBUTARY_BUCKET": "lake", "TRIBUTARY_RETENTION_HOURS": retention}
    (tmp_path / "refused").mkdir()
    said = refusal(tmp_path / "refused", **settings, TRIBUTARY_EXPIRE_DAYS=str(least - 1))
    assert said.startswith(f"provision: TRIBUTARY_EXPIRE_DAYS is '{least - 1}'; it must be at least {least}: ")
    (tmp_path / "taken").mkdir()
    calls = provisioned(tmp_path / "taken", **settings, TRIBUTARY_EXPIRE_DAYS=str(least))
    rules = json.loads(calls["put-bucket-lifecycle-configuration"]["--lifecycle-configuration"])["Rules"]
    assert [rule["Expiration"] for rule in rules if "And" in rule["Filter"]] == [{"Days": least}] * 2


def test_the_lifecycle_is_the_cdks(calls: dict[str, dict[str, str]], resources: dict[str, dict[str, Any]]) -> None:
    given = json.loads(calls["put-bucket-lifecycle-configuration"]["--lifecycle-configuration"])["Rules"]
    as_in_template = [
        {
            "Id": rule["ID"],
            "Status": rule["Status"],
            **({"Prefix": prefix} if (prefix := _filter(rule)["Prefix"]) else {}),
            **({"TagFilters": tags} if (tags := _filter(rule).get("Tags")) else {}),
            **({"ExpirationInDays": rule["Expiration"]["Days"]} if "Expiration" in rule else {}),
            **{name: rule[name] for name in ("AbortIncompleteMultipartUpload",) if name in rule},
        }
        for rule in given
    ]
    assert as_in_template == resources["bucket"]["LifecycleConfiguration"]["Rules"]


def _filter(rule: dict[str, Any]) -> dict[str, Any]:
    return rule["Filter"].get("And", rule["Filter"])


def test_encryption_ownership_and_public_access_are_the_cdks(
    calls: dict[str, dict[str, str]], resources: dict[str, dict[str, Any]]
) -> None:
    bucket = resources["bucket"]
    (rule,) = json.loads(calls["put-bucket-encryption"]["--server-side-encryption-configuration"])["Rules"]
    (wanted,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ApplyServerSideEncryptionByDefault"] == wanted["ServerSideEncryptionByDefault"]
    access = calls["put-public-access-block"]["--public-access-block-configuration"]
    assert dict(pair.split("=") for pair in access.split(",")) == {
        name: "true" for name, on in bucket["PublicAccessBlockConfiguration"].items() if on
    }
    (owner,) = bucket["OwnershipControls"]["Rules"]
    given = calls["put-bucket-ownership-controls"]["--ownership-controls"]
    assert given == f"Rules=[{{ObjectOwnership={owner['ObjectOwnership']}}}]"


def test_the_days_of_quarantine_and_the_partition_are_put_in(tmp_path: Path) -> None:
    calls = provisioned(tmp_path, TRIBUTARY_BUCKET="lake", TRIBUTARY_QUARANTINE_DAYS="30", AWS_REGION="cn-north-1")
    lifecycle = calls["put-bucket-lifecycle-configuration"]["--lifecycle-configuration"]
    assert json.loads(lifecycle)["Rules"][0]["Expiration"] == {"Days": 30}
    policy = calls["put-bucket-policy"]["--policy"]
    assert set(re.findall(r'"(arn:[^"/]*)', policy)) == {"arn:aws-cn:s3:::lake", "arn:aws-cn:*:*:*:*"}
