"""What IAM is asked for a request, by the request as it goes over the wire."""

import json

import pytest

from tributary_local.recording.requests import Names, Seen, UnknownRequestError, asked

NAMES = Names({"my-lake": "lake"}, {"my-events": "events"}, {"my-ingest": "ingest"})


def seen(service: str, method: str, target: str, status: int = 200, body: bytes = b"", **headers: str) -> Seen:
    signed = f"AWS4-HMAC-SHA256 Credential=part/20261128/us-east-1/{service}/aws4_request, SignedHeaders=host"
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Seen(method, target, {"authorization": signed, **given}, body, status)


def questions(*arguments: object, **keywords: object) -> list[tuple]:
    found = asked(seen(*arguments, **keywords), NAMES)
    assert all(each.principal == "part" for each in found)
    return [(each.action, each.resource.rpartition(":::")[2], dict(each.context), each.missing) for each in found]


def test_reading_an_object_asks_for_it_and_remembers_that_it_is_not_there() -> None:
    assert questions("s3", "HEAD", "/my-lake/events", 404) == [("s3:GetObject", "lake/events", {}, True)]
    assert questions("s3", "GET", "/my-lake/events/date=2026-11-28/x.7.parquet?x-id=GetObject") == [
        ("s3:GetObject", "lake/events/date=0-0-0/x.0.parquet", {}, False)
    ]


def test_a_listing_is_asked_for_with_its_prefix_and_a_bucket_without_one() -> None:
    listed = questions("s3", "GET", "/my-lake?list-type=2&prefix=events%2F&delimiter=%2F")
    assert listed == [("s3:ListBucket", "lake", {"s3:prefix": "events/", "s3:delimiter": "/"}, False)]
    assert questions("s3", "HEAD", "/my-lake") == [("s3:ListBucket", "lake", {}, False)]


def test_a_write_says_whether_it_only_creates_and_whether_an_object_comes_of_it() -> None:
    (created,) = questions("s3", "PUT", "/my-lake/events/x", if_none_match="*")
    assert created[2] == {"s3:ObjectCreationOperation": "true", "s3:if-none-match": "*"}
    (part,) = questions("s3", "PUT", "/my-lake/events/x?partNumber=1&uploadId=u")
    assert part[2] == {"s3:ObjectCreationOperation": "false"}


def test_a_copy_reads_and_writes_and_a_bulk_deletion_deletes_each() -> None:
    copied = questions("s3", "PUT", "/my-lake/reports/b", x_amz_copy_source="/my-lake/reports/a")
    assert [action for action, *_ in copied] == ["s3:GetObject", "s3:PutObject"]
    body = b"<Delete><Object><Key>reports/a</Key></Object><Object><Key>reports/b</Key></Object></Delete>"
    deleted = questions("s3", "POST", "/my-lake?delete", body=body)
    assert [resource for _, resource, *_ in deleted] == ["lake/reports/a", "lake/reports/b"]


def test_metrics_are_asked_for_with_their_namespace_in_each_protocol() -> None:
    path = "/service/GraniteServiceVersion20100801/operation/PutMetricData"
    cbor = b"\xa1" + b"\x69Namespace" + b"\x69Tributary"
    assert questions("monitoring", "POST", path, body=cbor)[0][2] == {"cloudwatch:namespace": "Tributary"}
    target = "GraniteServiceVersion20100801.PutMetricData"
    spoken = json.dumps({"Namespace": "Tributary"}).encode()
    asked_for = questions("monitoring", "POST", "/", body=spoken, x_amz_target=target)
    assert asked_for[0][2] == {"cloudwatch:namespace": "Tributary"}


def test_operations_of_rest_services_are_found_by_their_paths() -> None:
    (alias,) = questions("lambda", "GET", "/2015-03-31/functions/my-ingest/aliases/live")
    assert alias[0] == "lambda:GetAlias"
    assert alias[1].endswith(":function:ingest:live")
    (invoked,) = questions("lambda", "POST", "/2015-03-31/functions/my-ingest/invocations?Qualifier=12")
    assert (invoked[0], invoked[1].rpartition(":function:")[2]) == ("lambda:InvokeFunction", "ingest:0")


def test_who_starts_a_job_also_passes_its_role() -> None:
    body = json.dumps({"executionRoleArn": "arn:aws:iam::1:role/job"}).encode()
    actions = [action for action, *_ in questions("emr-serverless", "POST", "/applications/00f/jobruns", body=body)]
    assert actions == ["emr-serverless:StartJobRun", "iam:PassRole"]


@pytest.mark.parametrize(
    "request_",
    [
        seen("s3", "GET", "/another/x"),
        seen("s3", "GET", "/my-lake?acl"),
        seen("dynamodb", "POST", "/"),
        Seen("GET", "/my-lake/x", {}, b"", 200),
    ],
)
def test_a_request_that_nobody_knows_is_refused_so_that_none_goes_unseen(request_: Seen) -> None:
    with pytest.raises(UnknownRequestError):
        asked(request_, NAMES)
