"""What is deployed, as the account's own APIs tell it, compared with what was asked for."""

import hashlib
import io
import json
import re
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from tributary_local.failure import Failure
from tributary_local.runs.place import Place

BUCKETS = ("lake", "on-failure", "artifacts", "results")


def expect(what: str, found: object, wanted: object) -> None:
    """Raises Failure unless they are equal."""
    if found != wanted:
        raise Failure(f"{what} is {found!r}, must be {wanted!r}")


class Look:
    """At the stacks of one deployment."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.name = place.name
        self.function = place.function
        self.stream = place.stream

    def client(self, service: str) -> Any:
        return self.place.client(service)

    def bucket(self, suffix: str) -> str:
        return self.place.bucket(suffix)

    def at_storage(self) -> None:
        """Buckets with their guards, a create that is one, and the stream."""
        s3 = self.client("s3")
        for suffix in BUCKETS:
            bucket = self.bucket(suffix)
            blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
            expect(f"public access of {bucket}", set(blocked.values()), {True})
            rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
            encryption = rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
            expect(f"encryption of {bucket}", encryption, "AES256")
        self._policy_of_the_lake(s3)
        self._create_only_once(s3)
        stream = self.client("kinesis").describe_stream_summary(StreamName=self.stream)["StreamDescriptionSummary"]
        expect("shards of the stream", stream["OpenShardCount"], 4)
        expect("retention of the stream", stream["RetentionPeriodHours"], 24)

    def _policy_of_the_lake(self, s3: Any) -> None:
        # LocalStack keeps the policy without enforcing it: the document has to do.
        document = json.loads(s3.get_bucket_policy(Bucket=self.bucket("lake"))["Policy"])
        by_sid = {statement.get("Sid"): statement for statement in document["Statement"]}
        expect("effect of every statement", {statement["Effect"] for statement in document["Statement"]}, {"Deny"})
        committed = [f"arn:aws:s3:::{self.bucket('lake')}/{prefix}/*" for prefix in ("events", "rollups", "quarantine")]
        create_only, no_deletes = by_sid["CreateOnly"], by_sid["NoDeletes"]
        expect("resources of CreateOnly", create_only["Resource"], committed)
        expect("resources of NoDeletes", no_deletes["Resource"], committed)
        expect(
            "condition of CreateOnly",
            create_only["Condition"],
            {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
        )

    def _create_only_once(self, s3: Any) -> None:
        place = {"Bucket": self.bucket("lake"), "Key": "events/date=2026-01-01/probe"}
        s3.put_object(**place, Body=b"first", IfNoneMatch="*")
        try:
            s3.put_object(**place, Body=b"second", IfNoneMatch="*")
        except ClientError as error:
            expect("answer to a second create", error.response["Error"]["Code"], "PreconditionFailed")
            return
        raise Failure("a second create of one key was accepted")

    def at_ingest(self) -> None:
        """The function, and the mapping that invokes its alias."""
        function = self.configuration()
        expect("runtime", function["Runtime"], "provided.al2023")
        expect("bucket of the function", function["Environment"]["TRIBUTARY_BUCKET"], self.bucket("lake"))
        expect("tracing", function["TracingConfig"], {"Mode": "Active"})
        mappings = self.client("lambda").list_event_source_mappings(FunctionName=f"{self.function}:live")
        expect("number of mappings of the alias", len(mappings["EventSourceMappings"]), 1)
        mapping = mappings["EventSourceMappings"][0]
        wanted = {
            "BatchSize": 10_000,
            "MaximumBatchingWindowInSeconds": 10,
            "ParallelizationFactor": 1,
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": -1,
            "MaximumRecordAgeInSeconds": 72_000,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:s3:::{self.bucket('on-failure')}"}},
            "MetricsConfig": {"Metrics": ["EventCount"]},
            "StartingPosition": "TRIM_HORIZON",
        }
        expect("event source mapping", {name: mapping.get(name) for name in wanted}, wanted)
        log = f"/aws/lambda/{self.function}"
        groups = self.client("logs").describe_log_groups(logGroupNamePrefix=log)["logGroups"]
        expect("log groups of the function", [group["logGroupName"] for group in groups], [log])

    def at_monitoring(self) -> None:
        """Every alarm that this deployment is to have, each of which tells the topic."""
        definition = json.loads((self.place.root / "grafana/alarms.json").read_text(encoding="utf-8"))
        sources = {"any", "kinesis"} | (set() if self.place.context.get("query") == "false" else {"nightly"})
        wanted = {f"{self.name}-{alarm['name']}" for alarm in definition["alarms"] if alarm["source"] in sources}
        alarms = self.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{self.name}-")["MetricAlarms"]
        expect("alarms", {alarm["AlarmName"] for alarm in alarms}, wanted)
        topic = f"arn:aws:sns:{self.place.region}:{self.place.account}:{self.name}-alarms"
        expect("actions of the alarms", {action for alarm in alarms for action in alarm["AlarmActions"]}, {topic})
        attributes = self.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
        expect("whether the topic is encrypted", bool(attributes.get("KmsMasterKeyId")), True)

    def at_deploy_role(self) -> None:
        """Whom it trusts."""
        role = self.client("iam").get_role(RoleName=f"{self.name}-deploy")["Role"]
        condition = role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]["StringEquals"]
        expect(
            "subject that the deploy role trusts",
            condition["token.actions.githubusercontent.com:sub"],
            "repo:owner/name:environment:production",
        )

    def configuration(self) -> dict[str, Any]:
        """What a deployment of code must not change."""
        function = self.client("lambda").get_function_configuration(FunctionName=self.function)
        names = ("Runtime", "Role", "Timeout", "MemorySize", "TracingConfig", "Architectures", "LoggingConfig")
        return {"Environment": function["Environment"]["Variables"], **{name: function[name] for name in names}}

    def live_version(self) -> str:
        return self.client("lambda").get_alias(FunctionName=self.function, Name="live")["FunctionVersion"]

    def code(self, version: str) -> str:
        """Hash of the code of a version."""
        client = self.client("lambda")
        return client.get_function_configuration(FunctionName=self.function, Qualifier=version)["CodeSha256"]

    def empty_buckets(self) -> None:
        """CloudFormation deletes no bucket that holds something."""
        s3 = self.client("s3")
        for suffix in BUCKETS:
            bucket = self.bucket(suffix)
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for stored in page.get("Contents", []):
                    s3.delete_object(Bucket=bucket, Key=stored["Key"])

    def variable(self, version: str, name: str) -> str:
        """A variable of the function's environment."""
        functions = self.client("lambda")
        found = functions.get_function_configuration(FunctionName=self.function, Qualifier=self._number(version))
        return found["Environment"]["Variables"][name]

    def _number(self, version: str) -> str:
        # LocalStack finds no configuration by an alias.
        return self.live_version() if version == "live" else version

    def weights(self) -> dict[str, float]:
        """Of other versions, besides the one that is live."""
        alias = self.client("lambda").get_alias(FunctionName=self.function, Name="live")
        return (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}

    def built_program(self) -> str:
        """Hash of what is built now."""
        with zipfile.ZipFile(io.BytesIO(self.package(self.place.root))) as archive:
            return hashlib.sha256(archive.read("bootstrap")).hexdigest()

    def change_latest_code(self) -> None:
        """The same program in another package, so that it is new code to Lambda."""
        self.marks = getattr(self, "marks", 0) + 1
        package = self.package(self.place.root, comment=f"rehearsal {self.marks}")
        functions = self.client("lambda")
        functions.update_function_code(FunctionName=self.function, ZipFile=package)
        functions.get_waiter("function_updated").wait(FunctionName=self.function)

    def package(self, root: Path, comment: str = "") -> bytes:
        """The built program as it is uploaded."""
        artifacts = self.place.environment.get("ARTIFACTS") or f"target/deploy/{self.place.context['architecture']}"
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, mode in (("bootstrap", 0o755), ("contract.toml", 0o644)):
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.external_attr = mode << 16
                content = (root / artifacts / "ingest-kinesis" / name).read_bytes()
                archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
            archive.comment = comment.encode()
        return out.getvalue()

    def program(self, version: str) -> str:
        """Hash of the program that a version runs, whatever it was packed with."""
        found = self.client("lambda").get_function(FunctionName=self.function, Qualifier=self._number(version))
        with urllib.request.urlopen(found["Code"]["Location"]) as answer:
            archive = zipfile.ZipFile(io.BytesIO(answer.read()))
        return hashlib.sha256(archive.read("bootstrap")).hexdigest()

    def everything(self) -> set[str]:
        """Whatever the account holds of the kinds that the stacks make, by this deployment's name."""
        return {each for each in self._everything() if re.search(rf"[ /:]{self.name}-", each)}

    def _everything(self) -> Iterator[str]:
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        yield from (f"stack {stack['StackName']}" for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE")
        yield from (f"bucket {bucket['Name']}" for bucket in self.client("s3").list_buckets()["Buckets"])
        yield from (f"stream {name}" for name in self.client("kinesis").list_streams()["StreamNames"])
        functions = self.client("lambda")
        yield from (f"function {each['FunctionName']}" for each in functions.list_functions()["Functions"])
        mappings = functions.list_event_source_mappings()["EventSourceMappings"]
        # Deleting takes as long as what is under way: an answer comes at once, the end later.
        staying = (mapping for mapping in mappings if mapping["State"] != "Deleting")
        yield from (f"mapping {mapping['UUID']} of {mapping['FunctionArn']}" for mapping in staying)
        yield from (f"role {role['RoleName']}" for role in self.client("iam").list_roles()["Roles"])
        groups = self.client("logs").describe_log_groups()["logGroups"]
        yield from (f"log group {group['logGroupName']}" for group in groups)
        alarms = self.client("cloudwatch").describe_alarms()["MetricAlarms"]
        yield from (f"alarm {alarm['AlarmName']}" for alarm in alarms)
        yield from (f"topic {topic['TopicArn']}" for topic in self.client("sns").list_topics()["Topics"])
        yield from (f"key alias {alias['AliasName']}" for alias in self.client("kms").list_aliases()["Aliases"])
