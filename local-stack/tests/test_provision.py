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
# In the place of the AWS CLI: notes what it is asked, a line for each argument.
AWS = """#!/bin/sh
number=$(mktemp "$CALLS/XXXXXX")
for argument; do printf '%s\\0' "$argument"; done >"$number"
case "$*" in *describe-stream-summary*) printf 'ACTIVE\\t24\\tKMS\\n' ;; esac
"""


@pytest.fixture
def calls(tmp_path: Path) -> dict[str, dict[str, str]]:
    """What is asked of the S3 API: options by operation."""
    return provisioned(tmp_path, TRIBUTARY_BUCKET="lake")


def provisioned(directory: Path, **settings: str) -> dict[str, dict[str, str]]:
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
    done = subprocess.run(
        ["local-stack/provision.sh"],
        cwd=directory,
        env={**environment, "CDPATH": "/usr:/", **settings},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = {}
    for file in (directory / "calls").iterdir():
        service, operation, *options = file.read_text(encoding="utf-8").rstrip("\0").split("\0")
        if service == "s3api":
            found[operation] = dict(zip(options[::2], options[1::2], strict=True))
    return found


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
    assert [statement["Sid"] for statement in statements] == ["TlsOnly", "Tls12", "CreateOnly", "NoDeletes"]
    for statement in statements[2:]:
        assert statement["Resource"] == [
            f"arn:aws:s3:::lake/{prefix}/*" for prefix in ("events", "rollups", "quarantine")
        ]


def test_the_lifecycle_is_the_cdks(calls: dict[str, dict[str, str]], resources: dict[str, dict[str, Any]]) -> None:
    given = json.loads(calls["put-bucket-lifecycle-configuration"]["--lifecycle-configuration"])["Rules"]
    as_in_template = [
        {
            "Id": rule["ID"],
            "Status": rule["Status"],
            **({"Prefix": rule["Filter"]["Prefix"]} if rule["Filter"]["Prefix"] else {}),
            **({"ExpirationInDays": rule["Expiration"]["Days"]} if "Expiration" in rule else {}),
            **{name: rule[name] for name in ("AbortIncompleteMultipartUpload",) if name in rule},
        }
        for rule in given
    ]
    assert as_in_template == resources["bucket"]["LifecycleConfiguration"]["Rules"]


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
    assert set(re.findall(r'"(arn:[^"/]*)', policy)) == {"arn:aws-cn:s3:::lake"}
