import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { Stack } from "aws-cdk-lib";
import { Match, Template } from "aws-cdk-lib/assertions";

import { EVENTS_COLUMNS, ROLLUPS_COLUMNS } from "../lib/catalog.ts";
import { agreement } from "../lib/partial-responses.ts";
import { EVERYTHING, KAFKA, make, MSK, only, resources, text } from "./support.ts";

const of = (stack: Stack | undefined): Template => {
  assert(stack);
  return Template.fromStack(stack);
};

test("buckets and stream outlive their stack, and the stack does not go by mistake", () => {
  const { storage } = make({ kmsKey: "create" });
  assert.equal(storage.terminationProtection, true);
  for (const [id, { Type, DeletionPolicy }] of Object.entries(resources(storage))) {
    if (["AWS::S3::Bucket", "AWS::Kinesis::Stream", "AWS::KMS::Key"].includes(Type))
      assert.equal(DeletionPolicy, "Retain", id);
  }
});

test("a deployment that keeps nothing takes everything with it, for throwaway accounts", () => {
  const { storage } = make({ keepData: false });
  assert.equal(storage.terminationProtection, false);
  for (const { DeletionPolicy } of Object.values(resources(storage))) assert.notEqual(DeletionPolicy, "Retain");
});

test("every bucket is private, encrypted, owned by the account, and reached by TLS only", () => {
  for (const kmsKey of ["none", "create"]) {
    const { storage } = make({ kmsKey });
    const all = Object.values(resources(storage));
    const buckets = all.filter(({ Type }) => Type === "AWS::S3::Bucket");
    assert.equal(buckets.length, 3);
    for (const { Properties } of buckets) {
      assert.deepEqual(Object.values(Properties.PublicAccessBlockConfiguration as object), [true, true, true, true]);
      assert.deepEqual(Properties.OwnershipControls, { Rules: [{ ObjectOwnership: "BucketOwnerEnforced" }] });
      assert.match(JSON.stringify(Properties.BucketEncryption), kmsKey === "none" ? /"AES256"/ : /"aws:kms"/);
      assert.equal(Properties.VersioningConfiguration, undefined);
    }
    const policies = all.filter(({ Type }) => Type === "AWS::S3::BucketPolicy");
    assert.equal(policies.length, 3);
    for (const { Properties } of policies) {
      assert.match(JSON.stringify(Properties), /"Bool":\{"aws:SecureTransport":"false"\}\},"Effect":"Deny"/);
      assert.match(JSON.stringify(Properties), /"NumericLessThan":\{"s3:TlsVersion":1.2\}\},"Effect":"Deny"/);
    }
  }
});

test("nothing under events/, rollups/ and quarantine/ is written without If-None-Match, or deleted", () => {
  const statement = (given: Record<string, unknown>, sid: string): Record<string, unknown> => {
    const policies = Object.values(resources(make(given).storage)).filter(
      ({ Type }) => Type === "AWS::S3::BucketPolicy",
    );
    const statements = policies.flatMap(
      ({ Properties }) => (Properties.PolicyDocument as { Statement: Record<string, unknown>[] }).Statement,
    );
    const found = statements.find(({ Sid }) => Sid === sid);
    assert(found, sid);
    assert.equal(found.Effect, "Deny");
    assert.deepEqual(found.Principal, { AWS: "*" });
    assert.equal(
      text(found.Resource),
      "<Lake5F1B88EA.Arn>/events/* <Lake5F1B88EA.Arn>/rollups/* <Lake5F1B88EA.Arn>/quarantine/*",
    );
    return found;
  };
  const createOnly = statement({}, "CreateOnly");
  assert.equal(createOnly.Action, "s3:PutObject");
  assert.deepEqual(createOnly.Condition, {
    Null: { "s3:if-none-match": "true" },
    Bool: { "s3:ObjectCreationOperation": "true" },
  });
  const noDeletes = statement({}, "NoDeletes");
  assert.deepEqual(noDeletes.Action, ["s3:DeleteObject", "s3:DeleteObjectVersion"]);
  assert.equal(noDeletes.Condition, undefined);
  const breakGlassRoleArn = "arn:aws:iam::123456789012:role/break-glass";
  assert.deepEqual(statement({ breakGlassRoleArn }, "NoDeletes").Condition, {
    ArnNotEquals: { "aws:PrincipalArn": breakGlassRoleArn },
  });
});

test("quarantine and given-up batches expire, rows never do, and unfinished uploads are tidied away", () => {
  const { storage } = make({ quarantineDays: 30, onFailureDays: 60 });
  const rules = Object.values(resources(storage))
    .filter(({ Type }) => Type === "AWS::S3::Bucket")
    .map(({ Properties }) => (Properties.LifecycleConfiguration as { Rules: Record<string, unknown>[] }).Rules)
    .map((each) => each.map(({ Id, Prefix, ExpirationInDays }) => [Id, Prefix, ExpirationInDays]));
  const uploads = ["unfinished-uploads", undefined, undefined];
  assert.deepEqual(rules, [
    [["quarantine-expires", "quarantine/", 30], uploads],
    [["given-up-expires", undefined, 60], uploads],
    [uploads],
  ]);
});

test("the stream is encrypted, and provisioned or on demand", () => {
  of(make({ shards: 6, retentionHours: 48 }).storage).hasResourceProperties("AWS::Kinesis::Stream", {
    Name: "tributary-events",
    ShardCount: 6,
    RetentionPeriodHours: 48,
    StreamEncryption: { EncryptionType: "KMS", KeyId: "alias/aws/kinesis" },
  });
  of(make({ shards: 0 }).storage).hasResourceProperties("AWS::Kinesis::Stream", {
    ShardCount: Match.absent(),
    StreamModeDetails: { StreamMode: "ON_DEMAND" },
  });
});

test("the function is what the settings say", () => {
  const { ingest } = make({ memoryMb: 1024, reservedConcurrency: 20, horizonMinutes: 30, logLevel: "debug" });
  const template = of(ingest);
  template.hasResourceProperties("AWS::Lambda::Function", {
    FunctionName: "tributary-ingest-kinesis",
    Runtime: "provided.al2023",
    Architectures: ["arm64"],
    Handler: "bootstrap",
    MemorySize: 1024,
    Timeout: 60,
    TracingConfig: { Mode: "Active" },
    ReservedConcurrentExecutions: 20,
    Environment: {
      Variables: {
        TRIBUTARY_HORIZON_MINUTES: "30",
        TRIBUTARY_KEEP_TEST_EVENTS: "false",
        TRIBUTARY_METRICS: "true",
        RUST_LOG: "debug",
      },
    },
  });
  template.hasResourceProperties("AWS::Logs::LogGroup", {
    LogGroupName: "/aws/lambda/tributary-ingest-kinesis",
    RetentionInDays: 30,
  });
  template.hasResource("AWS::Lambda::Version", { DeletionPolicy: "Retain" });
  template.hasResourceProperties("AWS::Lambda::Alias", { Name: "live" });
});

test("every variable that the function is given is one that it reads", () => {
  const config = readFileSync(new URL("../../functions/ingest/src/config.rs", import.meta.url), "utf8");
  const { Environment } = only(make().ingest, "AWS::Lambda::Function") as { Environment: { Variables: object } };
  for (const name of Object.keys(Environment.Variables)) {
    assert(name === "RUST_LOG" || config.includes(`"${name}"`), name);
  }
});

test("the code that CloudFormation sees does not change with what is built, so that it never moves code back", () => {
  const { Code } = only(make().ingest, "AWS::Lambda::Function") as { Code: { S3Key: string } };
  const other = only(make({ memoryMb: 2048 }).ingest, "AWS::Lambda::Function") as { Code: { S3Key: string } };
  assert.equal(Code.S3Key, other.Code.S3Key);
});

test("what is uploaded is the program, and nothing that lies beside it", () => {
  const { directory } = make().app.synth();
  const [asset = ""] = readdirSync(directory).filter((name) => /^asset\.[0-9a-f]{64}$/.test(name));
  assert.deepEqual(readdirSync(join(directory, asset)), ["bootstrap"]);
});

test("the mapping reports item failures, bisects, and gives up to the bucket before the stream forgets", () => {
  const mapping = only(
    make({ retryAttempts: 100, parallelizationFactor: 2 }).ingest,
    "AWS::Lambda::EventSourceMapping",
  );
  assert.deepEqual(mapping.FunctionResponseTypes, ["ReportBatchItemFailures"]);
  assert.equal(mapping.BisectBatchOnFunctionError, true);
  assert.equal(mapping.MaximumRetryAttempts, 100);
  assert.equal(mapping.MaximumRecordAgeInSeconds, 72_000);
  assert.equal(mapping.ParallelizationFactor, 2);
  assert.equal(mapping.BatchSize, 10_000);
  assert.equal(mapping.MaximumBatchingWindowInSeconds, 10);
  assert.deepEqual(mapping.MetricsConfig, { Metrics: ["EventCount"] });
  assert.match(text(mapping.FunctionName), /^<part of <KinesisIngestLive\w+>>:live$/);
  const { OnFailure } = mapping.DestinationConfig as { OnFailure: { Destination: unknown } };
  assert.match(text(OnFailure.Destination), /:s3:::tributary-on-failure-/);
});

test("a mapping reads partial answers exactly where its function gives them", () => {
  const { ingest } = make({ kafka: KAFKA });
  assert(ingest);
  const all = Object.values(resources(ingest));
  const properties = (type: string) => all.filter(({ Type }) => Type === type).map(({ Properties }) => Properties);
  const told = properties("AWS::Lambda::Function").map((one) => {
    const { FunctionName, Environment } = one as { FunctionName: string; Environment: { Variables: object } };
    return [FunctionName, (Environment.Variables as Record<string, string>).TRIBUTARY_PARTIAL_RESPONSES];
  });
  assert.deepEqual(Object.fromEntries(told), {
    "tributary-ingest-kinesis": "on",
    "tributary-ingest-redpanda": "partition",
  });
  const read = properties("AWS::Lambda::EventSourceMapping").map((one) => one.FunctionResponseTypes);
  assert.deepEqual(read, [["ReportBatchItemFailures"], ["ReportBatchItemFailures"]]);
  assert.deepEqual(agreement("off").mapping, { reportBatchItemFailures: false });
});

test("there is no function of a topic unless one is asked for", () => {
  of(make().ingest).resourceCountIs("AWS::Lambda::EventSourceMapping", 1);
});

test("a cluster of one's own is reached through its subnets, with provisioned pollers", () => {
  of(make({ kafka: KAFKA }).ingest).hasResourceProperties("AWS::Lambda::EventSourceMapping", {
    SelfManagedEventSource: { Endpoints: { KafkaBootstrapServers: KAFKA.bootstrapServers } },
    SelfManagedKafkaEventSourceConfig: { ConsumerGroupId: "tributary" },
    Topics: ["tributary-events"],
    SourceAccessConfigurations: [
      { Type: "SASL_SCRAM_512_AUTH", URI: KAFKA.secretArn },
      { Type: "VPC_SUBNET", URI: "subnet:subnet-1" },
      { Type: "VPC_SUBNET", URI: "subnet:subnet-2" },
      { Type: "VPC_SECURITY_GROUP", URI: "security_group:sg-1" },
    ],
    ProvisionedPollerConfig: { MinimumPollers: 1, MaximumPollers: 10 },
    FunctionResponseTypes: ["ReportBatchItemFailures"],
    BisectBatchOnFunctionError: true,
    DestinationConfig: Match.anyValue(),
  });
});

test("an MSK cluster is named, and needs no network settings", () => {
  of(make({ kafka: MSK }).ingest).hasResourceProperties("AWS::Lambda::EventSourceMapping", {
    EventSourceArn: MSK.clusterArn,
    AmazonManagedKafkaEventSourceConfig: { ConsumerGroupId: "tributary" },
    SourceAccessConfigurations: [{ Type: "CLIENT_CERTIFICATE_TLS_AUTH", URI: MSK.secretArn }],
    SelfManagedEventSource: Match.absent(),
  });
});

test("the Spark application stops by itself and has a limit", () => {
  of(make().query).hasResourceProperties("AWS::EMRServerless::Application", {
    Type: "SPARK",
    Architecture: "ARM64",
    AutoStopConfiguration: { Enabled: true, IdleTimeoutMinutes: 5 },
    MaximumCapacity: { Cpu: "16 vCPU", Memory: "64 GB", Disk: "200 GB" },
  });
});

test("the schedule starts one run for each firing", () => {
  const { query } = make();
  assert(query);
  const { Target } = only(query, "AWS::Scheduler::Schedule") as { Target: { Arn: unknown; Input: unknown } };
  assert.equal(text(Target.Arn), "arn:<Partition>:scheduler:::aws-sdk:emrserverless:startJobRun");
  const input = JSON.parse(text(Target.Input)) as {
    ClientToken: string;
    JobDriver: { SparkSubmit: Record<string, unknown> };
  };
  assert.equal(input.ClientToken, "<aws.scheduler.execution-id>");
  const jobs = "s3://tributary-artifacts-<AccountId>-<Region>/jobs";
  const lake = "s3://tributary-lake-<AccountId>-<Region>";
  assert.deepEqual(input.JobDriver.SparkSubmit, {
    EntryPoint: `${jobs}/report.py`,
    EntryPointArguments: ["--input", `${lake}/events/`, "--output", `${lake}/reports/p95_event_duration.csv`],
    SparkSubmitParameters: `--py-files ${jobs}/tributary_emr.zip --conf spark.sql.optimizer.windowGroupLimitThreshold=-1`,
  });
});

test("the job role can be used by the one application only", () => {
  const { query } = make();
  assert(query);
  const roles = Object.values(resources(query)).filter(({ Type }) => Type === "AWS::IAM::Role");
  const trusted = roles.map(({ Properties }) => JSON.stringify(Properties.AssumeRolePolicyDocument));
  assert(
    trusted.some((policy) =>
      policy.includes('"ArnEquals":{"aws:SourceArn":{"Fn::GetAtt":["ReportApplication9811B5E9","Arn"]}}'),
    ),
  );
});

test("the tables have the columns that Spark reads, in order", () => {
  const schema = readFileSync(new URL("../../emr/tributary_emr/schema.py", import.meta.url), "utf8");
  const types: Record<string, string> = {
    Timestamp: "timestamp",
    String: "string",
    Double: "double",
    Integer: "int",
    Long: "bigint",
  };
  const columns = (name: string): string[][] => {
    const [, definition = ""] = new RegExp(`^${name} = StructType\\(\\n(.*?)^\\)`, "ms").exec(schema) ?? [];
    const fields = definition.matchAll(/StructField\("(\w+)", (\w+)Type\(\)/g);
    return [...fields].map(([, column = "", type = ""]) => [column, types[type] ?? type]);
  };
  assert.deepEqual(EVENTS_COLUMNS, columns("EVENTS"));
  assert.deepEqual(ROLLUPS_COLUMNS, columns("ROLLUPS"));
});

test("partitions are computed from the date", () => {
  of(make({ catalogFrom: "2026-11-01" }).query).hasResourceProperties("AWS::Glue::Table", {
    TableInput: {
      Name: "events",
      PartitionKeys: [Match.objectLike({ Name: "date" })],
      Parameters: Match.objectLike({ "projection.enabled": "true", "projection.date.range": "2026-11-01,NOW+1DAYS" }),
    },
  });
});

test("everything that can be tagged carries the project and the tags of the settings", () => {
  const { app } = make({ ...EVERYTHING, tags: { team: "data" } });
  let tagged = 0;
  for (const stack of app.node.children.filter((child) => Stack.isStack(child))) {
    for (const [id, { Properties }] of Object.entries(resources(stack))) {
      if (Properties.Tags === undefined) continue;
      tagged++;
      assert.match(JSON.stringify(Properties.Tags), /project.+tributary/, id);
      assert.match(JSON.stringify(Properties.Tags), /team.+data/, id);
    }
  }
  assert(tagged > 15);
});

test("two deployments in one account share no name", () => {
  const names = (name: string): Set<string> => {
    const { app } = make({ ...EVERYTHING, name });
    const stacks = app.node.children.filter((child) => Stack.isStack(child));
    const given = stacks
      .flatMap((stack) => Object.values(resources(stack)))
      .flatMap(({ Properties }) =>
        ["BucketName", "FunctionName", "RoleName", "TopicName", "AlarmName", "LogGroupName", "AliasName", "Name"]
          .map((property) => Properties[property])
          // The alias of a function, and the workspace's id, are names within something.
          .filter((value) => value !== undefined && value !== "live")
          .map(text),
      );
    return new Set([...stacks.map(({ stackName }) => stackName), ...given].filter((each) => !each.startsWith("<")));
  };
  const [one, other] = [names("tributary"), names("second")];
  assert(one.size > 20);
  assert.deepEqual(
    [...one].filter((name) => other.has(name)),
    [],
  );
});
