"""What an AWS request asks for, as IAM sees it: who, which action, on which resource, with which condition keys.

Pure: a request as it went over the wire in, what IAM would be asked out. The project's own services only; whatever else
comes is refused, so that no request goes unseen. Actions of S3 by operation:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html. Elsewhere an action has the
name of its operation.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

import botocore.session

REGION, ACCOUNT = "us-east-1", "000000000000"
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/[^/]+/([^/]+)/aws4_request")
_DIGITS = re.compile(r"\d+")
_HEX = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|[0-9a-f]{16,}")


class UnknownRequestError(Exception):
    """A request of which it is not known what IAM would be asked."""


@dataclass(frozen=True)
class Seen:
    """One request, as it went over the wire, with the status of its answer."""

    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    status: int


@dataclass(frozen=True, order=True)
class Asked:
    """What IAM is asked for it. Numbers and ids in names are 0, so that two recordings of one behaviour are equal."""

    principal: str
    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()
    missing: bool = False
    """Whether what was asked for is not there: S3 then also asks for ListBucket before it says so."""

    def as_json(self) -> dict:
        """The form of the file."""
        shown = {"principal": self.principal, "action": self.action, "resource": self.resource}
        if self.context:
            shown["context"] = dict(self.context)
        return {**shown, "missing": True} if self.missing else shown


@dataclass(frozen=True)
class Names:
    """What the names of one run stand for: `{"tributary-lake": "lake"}`."""

    buckets: Mapping[str, str] = field(default_factory=dict)
    streams: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)

    def bucket(self, name: str) -> str:
        return f"arn:aws:s3:::{_known(self.buckets, name, 'bucket')}"

    def stream(self, name: str) -> str:
        return f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{_known(self.streams, name, 'stream')}"

    def function(self, name: str) -> str:
        base, _, qualifier = name.partition(":")
        shown = f"{_known(self.functions, base, 'function')}{':' if qualifier else ''}{_shape(qualifier)}"
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{shown}"


def asked(seen: Seen, names: Names) -> list[Asked]:
    """Every question that IAM is asked for one request; none if it needs no permission. Raises UnknownRequestError."""
    found = _CREDENTIAL.search(seen.headers.get("authorization", ""))
    if not found:
        raise UnknownRequestError(f"{seen.method} {seen.target} is not signed")
    principal, service = found.groups()
    reader = _READERS.get(service)
    if reader is None:
        raise UnknownRequestError(f"{seen.method} {seen.target}: nothing is known of the service {service}")
    return [
        Asked(principal, action, resource, tuple(sorted(context.items())), missing)
        for action, resource, context, missing in reader(seen, names)
    ]


_Question = tuple[str, str, dict[str, str], bool]


def _s3(seen: Seen, names: Names) -> Iterator[_Question]:
    url = urlsplit(seen.target)
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    query = parse_qs(url.query, keep_blank_values=True)
    query.pop("x-id", None)
    arn = names.bucket(bucket)
    place = f"{arn}/{_shape(key)}"
    missing = seen.status == 404
    operation = (seen.method, "key" if key else "bucket", next((flag for flag in _SUBRESOURCES if flag in query), ""))
    match operation:
        case ("GET" | "HEAD", "key", ""):
            yield "s3:GetObject", place, {}, missing
        case ("GET", "bucket", ""):
            context = {f"s3:{name}": query[name][0] for name in ("prefix", "delimiter") if query.get(name, [""])[0]}
            yield "s3:ListBucket", arn, {name: _shape(value) for name, value in context.items()}, False
        case ("HEAD", "bucket", ""):
            yield "s3:ListBucket", arn, {}, False
        case ("PUT", "key", "") if source := seen.headers.get("x-amz-copy-source"):
            from_bucket, _, from_key = unquote(source).lstrip("/").partition("/")
            yield "s3:GetObject", f"{names.bucket(from_bucket)}/{_shape(from_key)}", {}, missing
            yield "s3:PutObject", place, {"s3:ObjectCreationOperation": "true"}, False
        case ("PUT", "key", "") | ("POST", "key", "uploadId"):
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
            condition = {"s3:if-none-match": "*"} if seen.headers.get("if-none-match") else {}
            yield "s3:PutObject", place, {"s3:ObjectCreationOperation": "true", **condition}, False
        case ("PUT", "key", "uploadId") | ("POST", "key", "uploads"):
            yield "s3:PutObject", place, {"s3:ObjectCreationOperation": "false"}, False
        case ("DELETE", "key", "uploadId"):
            yield "s3:AbortMultipartUpload", place, {}, False
        case ("DELETE", "key", ""):
            yield "s3:DeleteObject", place, {}, False
        case ("POST", "bucket", "delete"):
            for deleted in re.findall(rb"<Key>(.*?)</Key>", seen.body):
                yield "s3:DeleteObject", f"{arn}/{_shape(deleted.decode())}", {}, False
        case _:
            raise UnknownRequestError(f"S3: {seen.method} {seen.target}")


_SUBRESOURCES = ("uploadId", "uploads", "delete", "location", "tagging", "acl", "policy", "versioning", "encryption")


def _kinesis(seen: Seen, names: Names) -> Iterator[_Question]:
    operation = _target(seen)
    parameters = (
        json.loads(seen.body) if seen.headers.get("content-type", "").startswith("application/x-amz-json") else {}
    )
    arn = parameters.get("StreamARN", "")
    name = parameters.get("StreamName") or arn.rpartition("/")[2] or next(iter(names.streams))
    yield f"kinesis:{operation}", names.stream(name), {}, False


def _cloudwatch(seen: Seen, _: Names) -> Iterator[_Question]:
    operation = _target(seen)
    body = gzip.decompress(seen.body) if seen.headers.get("content-encoding") == "gzip" else seen.body
    context = {}
    if operation == "PutMetricData":
        # CBOR (RFC 8949): a short text is one byte, 0x60 and its length, and then the text; JSON has it in quotes.
        after = body.partition(b"Namespace")[2]
        quoted = re.match(rb'"\s*:\s*"([^"]+)"', after)
        name = quoted.group(1) if quoted else after[1 : 1 + (after[0] & 0x1F)]
        context = {"cloudwatch:namespace": name.decode()}
    yield f"cloudwatch:{operation}", "*", context, False


def _lambda(seen: Seen, names: Names) -> Iterator[_Question]:
    operation, parameters = _rest("lambda", seen)
    function = parameters.get("FunctionName", "").rpartition(":function:")[2] or parameters.get("FunctionName", "")
    qualifier = parse_qs(urlsplit(seen.target).query).get("Qualifier", [parameters.get("Name", "")])[0]
    resource = names.function(f"{function}:{qualifier}" if qualifier else function) if function else "*"
    action = "InvokeFunction" if operation == "Invoke" else operation
    yield f"lambda:{action}", resource, {}, False


def _emr_serverless(seen: Seen, _: Names) -> Iterator[_Question]:
    operation, parameters = _rest("emr-serverless", seen)
    application = f"arn:aws:emr-serverless:{REGION}:{ACCOUNT}:/applications/{parameters.get('applicationId', '')}"
    resource = f"{application}/jobruns/{parameters['jobRunId']}" if "jobRunId" in parameters else application
    yield f"emr-serverless:{operation}", _ids(resource, "applications", "jobruns"), {}, False
    if operation == "StartJobRun":
        role = json.loads(seen.body)["executionRoleArn"].rpartition("/")[2]
        passed = {"iam:PassedToService": "emr-serverless.amazonaws.com"}
        yield "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{role}", passed, False


def _emr(seen: Seen, _: Names) -> Iterator[_Question]:
    cluster = f"arn:aws:elasticmapreduce:{REGION}:{ACCOUNT}:cluster/j-0"
    yield f"elasticmapreduce:{_target(seen)}", cluster, {}, False


def _sts(seen: Seen, _: Names) -> Iterator[_Question]:
    if b"Action=GetCallerIdentity" not in seen.body:
        raise UnknownRequestError(f"STS: {seen.body[:80]!r}")
    # Needs no permission: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
    return iter(())


def _sqs(_: Seen, __: Names) -> Iterator[_Question]:
    # The local stack's on-failure queue; a deployment has a bucket in its place.
    return iter(())


def _alarms(seen: Seen, names: Names) -> Iterator[_Question]:
    if found := re.search(rb"Action=(\w+)", seen.body):
        yield f"cloudwatch:{found.group(1).decode()}", "*", {}, False
        return
    yield from _cloudwatch(seen, names)


_READERS: dict[str, Callable[[Seen, Names], Iterator[_Question]]] = {
    "s3": _s3,
    "kinesis": _kinesis,
    "monitoring": _alarms,
    "lambda": _lambda,
    "emr-serverless": _emr_serverless,
    "elasticmapreduce": _emr,
    "sts": _sts,
    "sqs": _sqs,
}


def _target(seen: Seen) -> str:
    if "/operation/" in seen.target:
        return seen.target.rpartition("/operation/")[2]
    operation = seen.headers.get("x-amz-target", "").rpartition(".")[2]
    if not operation:
        raise UnknownRequestError(f"{seen.method} {seen.target} names no operation")
    return operation


def _rest(service: str, seen: Seen) -> tuple[str, dict[str, str]]:
    """The operation of a REST request and the parameters in its path, by the SDK's own description of the service."""
    path = urlsplit(seen.target).path
    model = botocore.session.get_session().get_service_model(service)
    found = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        pattern = re.sub(
            r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(http["requestUri"].partition("?")[0].rstrip("/"))
        )
        if http["method"] == seen.method and (match := re.fullmatch(f"{pattern}/?", path)):
            found.append((len(pattern), name, {key: unquote(value) for key, value in match.groupdict().items()}))
    if not found:
        raise UnknownRequestError(f"{service}: {seen.method} {seen.target}")
    _, name, parameters = min(found, key=lambda each: len(each[2]))
    return name, parameters


def _known(names: Mapping[str, str], name: str, kind: str) -> str:
    if name not in names:
        raise UnknownRequestError(f"{kind} {name} is none of {', '.join(names) or 'none'}")
    return names[name]


def _shape(text: str) -> str:
    return _DIGITS.sub("0", _HEX.sub("0", text))


def _ids(resource: str, *kinds: str) -> str:
    for kind in kinds:
        resource = re.sub(rf"/{kind}/[^/]+", f"/{kind}/0", resource)
    return resource
