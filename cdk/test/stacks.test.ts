import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Stack } from "aws-cdk-lib";
import { Match, Template } from "aws-cdk-lib/assertions";

import { CONTRACT } from "../lib/artifact.ts";
import { EVENTS_COLUMNS, ROLLUPS_COLUMNS } from "../lib/catalog.ts";
import { IN_TABLE, TABLE } from "../lib/names.ts";
import { isValidated } from "../lib/nightly-machine.ts";
import { COMMON, SIZES, SLICES, TABLE as TABLE_SETTINGS } from "../lib/spark-settings.ts";
import {
  elfHeader,
  EVERYTHING,
  KAFKA,
  make,
  MSK,
  MSK_IAM,
  only,
  resources,
  stacksOf,
  text,
  type Made,
} from "./support.ts";

interface MadeFunction {
  readonly id: string;
  readonly variables: Record<string, string>;
}

const functions = ({ ingest }: Made): MadeFunction[] =>
  Object.entries(resources(ingest))
    .filter(([id, { Type }]) => Type === "AWS::Lambda::Function" && id.includes("Ingest"))
    .map(([id, { Properties }]) => {
      const { Variables } = Properties.Environment as { Variables: Record<string, string> };
      return { id, variables: Variables };
    });

const of = (stack: Stack | undefined): Template => {
  assert(stack);
  return Template.fromStack(stack);
};

test("buckets and stream outlive their stack but not their failed creation, and the stack does not go by mistake", () => {
  const { storage } = make({ kmsKey: "create" });
  assert.equal(storage.terminationProtection, true);
  for (const [id, { Type, DeletionPolicy }] of Object.entries(resources(storage))) {
    if (["AWS::S3::Bucket", "AWS::Kinesis::Stream", "AWS::KMS::Key"].includes(Type))
      assert.equal(DeletionPolicy, "RetainExceptOnCreate", id);
  }
});

test("a deployment that keeps nothing takes everything with it, for throwaway accounts", () => {
  const { storage } = make({ keepData: false });
  assert.equal(storage.terminationProtection, false);
  for (const { DeletionPolicy } of Object.values(resources(storage)))
    assert.doesNotMatch(DeletionPolicy ?? "", /Retain/);
});

test("every bucket is private, encrypted, owned by the account, and reached by TLS only", () => {
  for (const kmsKey of ["none", "create"]) {
    const { storage } = make({ kmsKey });
    const all = Object.values(resources(storage));
    const buckets = all.filter(({ Type }) => Type === "AWS::S3::Bucket");
    assert.equal(buckets.length, 4);
    for (const { Properties } of buckets) {
      assert.deepEqual(Object.values(Properties.PublicAccessBlockConfiguration as object), [true, true, true, true]);
      assert.deepEqual(Properties.OwnershipControls, { Rules: [{ ObjectOwnership: "BucketOwnerEnforced" }] });
      assert.match(JSON.stringify(Properties.BucketEncryption), kmsKey === "none" ? /"AES256"/ : /"aws:kms"/);
      assert.equal(Properties.VersioningConfiguration, undefined);
    }
    const policies = all.filter(({ Type }) => Type === "AWS::S3::BucketPolicy");
    assert.equal(policies.length, 4);
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

test("the jobs' role alone tags what may expire and writes under table/, and the role that may break the glass", () => {
  const denied = (given: Record<string, unknown>): Record<string, unknown>[] =>
    Object.values(resources(make(given).storage))
      .filter(({ Type }) => Type === "AWS::S3::BucketPolicy")
      .flatMap(({ Properties }) => (Properties.PolicyDocument as { Statement: Record<string, unknown>[] }).Statement)
      .filter(({ Sid }) => String(Sid).endsWith("ByTheJob"));
  const [tags, table] = denied({});
  assert.deepEqual([tags?.Effect, table?.Effect], ["Deny", "Deny"]);
  assert.match(text(tags?.Action), /^s3:PutObjectTagging .*s3:DeleteObjectTagging/);
  assert.equal(text(tags?.Resource), "<Lake5F1B88EA.Arn>/events/* <Lake5F1B88EA.Arn>/rollups/*");
  assert.deepEqual(table?.Action, ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"]);
  assert.equal(text(table.Resource), "<Lake5F1B88EA.Arn>/table/*");
  const excepted = (statement: Record<string, unknown> | undefined): string =>
    text((statement?.Condition as { ArnNotEquals: Record<string, unknown> }).ArnNotEquals["aws:PrincipalArn"]);
  const jobRole = "arn:<Partition>:iam::<AccountId>:role/tributary-job-<Region>";
  assert.deepEqual([tags, table].map(excepted), [jobRole, jobRole]);
  const breakGlassRoleArn = "arn:aws:iam::123456789012:role/break-glass";
  assert.deepEqual(
    denied({ breakGlassRoleArn }).map(excepted),
    [0, 1].map(() => `${jobRole} ${breakGlassRoleArn}`),
  );
  assert.deepEqual(denied({ query: false }), [], "no job, no table of its");
});

test("Glue's database of the table is kept with the data, and is there exactly when there are jobs", () => {
  const database = (given: Record<string, unknown>) =>
    Object.values(resources(make(given).storage)).filter(({ Type }) => Type === "AWS::Glue::Database");
  const [kept] = database({});
  assert.equal((kept?.Properties.DatabaseInput as { Name: string }).Name, "tributary_history");
  assert.equal(kept?.DeletionPolicy, "RetainExceptOnCreate");
  assert.equal(database({ keepData: false })[0]?.DeletionPolicy, "Delete");
  assert.deepEqual(database({ query: false }), []);
});

test("only what has the job's tag expires under events/ and rollups/, and nothing does where the days are 0", () => {
  const tagged = (given: Record<string, unknown>): unknown[] =>
    Object.values(resources(make(given).storage))
      .filter(({ Type }) => Type === "AWS::S3::Bucket")
      .flatMap(({ Properties }) => (Properties.LifecycleConfiguration as { Rules: Record<string, unknown>[] }).Rules)
      .filter(({ Prefix }) => Prefix === "events/" || Prefix === "rollups/")
      .map(({ Prefix, Status, ExpirationInDays, TagFilters }) => [Prefix, Status, ExpirationInDays, TagFilters]);
  const held = [{ Key: "tributary", Value: "in-table" }];
  assert.deepEqual(tagged({ expireDays: 45 }), [
    ["events/", "Enabled", 45, held],
    ["rollups/", "Enabled", 45, held],
  ]);
  assert.deepEqual(tagged({ expireDays: 0 }), []);
});

test("tag and table are called here as the job calls them", () => {
  const job = (name: string): string =>
    readFileSync(new URL(`../../emr/tributary_emr/${name}.py`, import.meta.url), "utf8");
  const [[key, value] = []] = Object.entries(IN_TABLE);
  assert(job("aws").includes(`TAG = ("${String(key)}", "${String(value)}")`));
  assert(job("catalog").includes(`TABLE = "${TABLE}"`));
});

test("quarantine and given-up batches expire, rows by their tag, and unfinished uploads are tidied away", () => {
  const { storage } = make({ quarantineDays: 30, onFailureDays: 60 });
  const rules = Object.values(resources(storage))
    .filter(({ Type }) => Type === "AWS::S3::Bucket")
    .map(({ Properties }) => (Properties.LifecycleConfiguration as { Rules: Record<string, unknown>[] }).Rules)
    .map((each) => each.map(({ Id, Prefix, ExpirationInDays }) => [Id, Prefix, ExpirationInDays]));
  const uploads = ["unfinished-uploads", undefined, undefined];
  assert.deepEqual(rules, [
    [
      ["quarantine-expires", "quarantine/", 30],
      ["events-in-table-expire", "events/", 30],
      ["rollups-in-table-expire", "rollups/", 30],
      uploads,
    ],
    [["given-up-expires", undefined, 60], uploads],
    [uploads],
    [["results-expire", undefined, 7], uploads],
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
        TRIBUTARY_LATENESS_MINUTES: "60",
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

test("every variable that a function is given is one that it reads", () => {
  const config = readFileSync(new URL("../../functions/ingest/src/config.rs", import.meta.url), "utf8");
  for (const name of [make({ kafka: KAFKA }), make()]
    .flatMap(functions)
    .flatMap(({ variables }) => Object.keys(variables))) {
    assert(name === "RUST_LOG" || config.includes(`"${name}"`), name);
  }
});

test("a mapping reads partial answers exactly where its function gives them", () => {
  const topics = (["off", "partition", "topic-partition"] as const).flatMap((partialResponses) =>
    [KAFKA, MSK, MSK_IAM].map((kafka) => ({ kafka: { ...kafka, partialResponses } })),
  );
  const deployments = [
    {},
    { partialResponses: false },
    ...topics,
    ...topics.map((each) => ({ ...each, stream: false })),
  ];
  const seen = new Set<string>();
  for (const given of deployments) {
    for (const [id, { Type, Properties }] of Object.entries(resources(make(given).ingest))) {
      if (Type !== "AWS::Lambda::EventSourceMapping") continue;
      const [, logicalId = ""] = /<(\w+Ingest)Live/.exec(text(Properties.FunctionName)) ?? [];
      const invoked = functions(make(given)).find((each) => each.id.startsWith(`${logicalId}Function`));
      const answer = invoked?.variables.TRIBUTARY_PARTIAL_RESPONSES ?? "";
      const kinesis = logicalId.startsWith("Kinesis");
      assert((kinesis ? ["on", "off"] : ["off", "partition", "topic-partition"]).includes(answer), `${id}: ${answer}`);
      assert.deepEqual(
        Properties.FunctionResponseTypes,
        answer === "off" ? undefined : ["ReportBatchItemFailures"],
        id,
      );
      seen.add(`${logicalId} ${answer}`);
    }
  }
  assert.equal(seen.size, 5, "both values of a stream, and the three of a topic");
});

test("new code and new settings change the function, and never what `live` points at", () => {
  const withCode = (content: string): string => {
    const folder = mkdtempSync(join(tmpdir(), "tributary-code-"));
    mkdirSync(join(folder, "ingest-kinesis"));
    writeFileSync(join(folder, "ingest-kinesis", "bootstrap"), Buffer.concat([elfHeader(0xb7), Buffer.from(content)]));
    copyFileSync(CONTRACT, join(folder, "ingest-kinesis", "contract.toml"));
    return folder;
  };
  const made = [
    {},
    { artifacts: withCode("one") },
    { artifacts: withCode("two") },
    { memoryMb: 2048, timeoutSeconds: 30, logLevel: "debug", tracing: false, keepTestEvents: true },
    { reservedConcurrency: 4, batchSize: 5, horizonMinutes: 1 },
  ].map((given) => Object.entries(resources(make(given).ingest)));
  const ofType = (...types: string[]) => made.map((all) => all.filter(([, { Type }]) => types.includes(Type)));
  const pinned = ofType("AWS::Lambda::Alias", "AWS::Lambda::Version");
  assert.equal(pinned[0]?.length, 2);
  for (const each of pinned) assert.deepEqual(each, pinned[0]);
  const code = ofType("AWS::Lambda::Function").map((all) =>
    JSON.stringify(all.find(([id]) => id.includes("Ingest"))?.[1].Properties.Code),
  );
  assert.equal(new Set(code).size, 3, "each content has its own key");
});

test("what is uploaded are the program, its contract and the jobs, and nothing that lies beside them", () => {
  const { directory } = make().app.synth();
  const assets = readdirSync(directory).filter((name) => /^asset\.[0-9a-f]{64}$/.test(name));
  const contents = assets.map((asset) => readdirSync(join(directory, asset)));
  assert(contents.some((names) => names.sort().join() === "bootstrap,contract.toml"));
  const [jobs = ""] = assets.filter((asset) => readdirSync(join(directory, asset)).join() === "tributary_emr");
  const modules = readdirSync(join(directory, jobs, "tributary_emr"));
  assert(modules.includes("report.py") && modules.includes("log4j2.properties"));
  assert.deepEqual(
    modules.filter((name) => !/\.(py|properties)$/.test(name)),
    [],
  );
  assert(contents.some((names) => names.join() === "redrive.py"));
  assert.equal(contents.length, 3);
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

test("a topic's batch is not given up after the ten tries that Lambda would make of endless ones", () => {
  const attempts = (given: Record<string, unknown>): unknown =>
    Object.values(resources(make({ stream: false, kafka: KAFKA, ...given }).ingest)).find(
      ({ Type }) => Type === "AWS::Lambda::EventSourceMapping",
    )?.Properties.MaximumRetryAttempts;
  assert.equal(attempts({}), 10_000);
  assert.equal(attempts({ retryAttempts: 3 }), 3);
});

test("without a stream there is a topic, and nothing that is a stream's", () => {
  const made = make({ ...EVERYTHING, stream: false });
  for (const stack of stacksOf(made)) {
    assert.doesNotMatch(JSON.stringify(Template.fromStack(stack).toJSON()), /kinesis|ShardCount/i, stack.stackName);
  }
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
    SourceAccessConfigurations: [{ Type: "SASL_SCRAM_512_AUTH", URI: MSK.secretArn }],
    SelfManagedEventSource: Match.absent(),
  });
});

test("with IAM a mapping has no secret", () => {
  of(make({ kafka: MSK_IAM, stream: false }).ingest).hasResourceProperties("AWS::Lambda::EventSourceMapping", {
    EventSourceArn: MSK.clusterArn,
    SourceAccessConfigurations: Match.absent(),
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

interface State {
  readonly Type: string;
  readonly Resource: string;
  readonly Next?: string;
  readonly Default: string;
  readonly Catch?: [{ readonly ErrorEquals: string[]; readonly ResultPath: string; readonly Next: string }];
  readonly Choices: [{ readonly Variable?: string; readonly Condition?: string; readonly Next: string }];
  readonly Parameters: { readonly JobDriver: { readonly SparkSubmit: Record<string, unknown> } };
  readonly TimeoutSeconds: number;
  readonly Retry: [{ readonly ErrorEquals: string[]; readonly MaxAttempts: number }];
}

interface Machine {
  readonly StartAt: string;
  readonly TimeoutSeconds: number;
  readonly States: Readonly<Record<string, State>>;
}

function machine(given: Record<string, unknown>): Machine {
  const { query } = make(given);
  assert(query);
  const { DefinitionString } = only(query, "AWS::StepFunctions::StateMachine");
  return JSON.parse(text(DefinitionString)) as Machine;
}

test("each job of a night is submitted, waited for, and tried again whatever its end", () => {
  const { TimeoutSeconds: whole, States } = machine({ reportTimeoutMinutes: 30 });
  const tasks = Object.values(States).filter(({ Type }) => Type === "Task");
  assert.equal(tasks.length, 3);
  let longest = 0;
  for (const { Resource, Parameters, TimeoutSeconds, Retry } of tasks) {
    assert.match(Resource, /:states:::emr-serverless:startJobRun\.sync$/);
    assert(TimeoutSeconds > 30 * 60, "Spark's own limit comes first");
    const [retry] = Retry;
    assert.deepEqual(retry.ErrorEquals, ["States.TaskFailed", "States.Timeout"]);
    longest += TimeoutSeconds * (retry.MaxAttempts + 1);
    const { EntryPoint, SparkSubmitParameters } = Parameters.JobDriver.SparkSubmit;
    assert.match(String(EntryPoint), /^s3:\/\/.+\/[0-9a-f]{64}\.py$/);
    assert.match(String(SparkSubmitParameters), /^--py-files s3:\/\/\S+\/[0-9a-f]{64}\.zip --conf spark\./);
  }
  assert(whole > longest, "there is time for every try");
});

test("a night compacts, then reports, and validates on one night of the week; a job that fails fails the night at its end", () => {
  const { StartAt, States } = machine({});
  const path = (fails: readonly string[], weekly: boolean): string[] => {
    const seen: string[] = [];
    const input = new Set<string>();
    for (let at: string | undefined = StartAt; at !== undefined;) {
      seen.push(at);
      const state: State | undefined = States[at];
      assert(state, at);
      if (state.Type === "Task" && fails.includes(at)) {
        const caught: { ResultPath: string; Next: string } | undefined = state.Catch?.[0];
        if (caught) input.add(caught.ResultPath);
        at = caught?.Next;
        continue;
      }
      const chosen =
        state.Type === "Choice" &&
        state.Choices.find(({ Variable, Condition }) => (Condition ? weekly : input.has(Variable ?? "")));
      at = chosen ? chosen.Next : (state.Next ?? state.Default);
    }
    return seen.filter((name) => States[name]?.Type !== "Choice");
  };
  assert.deepEqual(path([], false), ["Compact", "Report", "Done"]);
  assert.deepEqual(path([], true), ["Compact", "Report", "Validate", "Done"]);
  assert.deepEqual(path(["Compact"], false), ["Compact", "Report", "CompactFailed"]);
  assert.deepEqual(path(["Report"], true), ["Compact", "Report", "Validate", "ReportFailed"]);
  assert.deepEqual(path(["Validate"], true), ["Compact", "Report", "Validate"], "nothing catches it");
});

test("the night of the validation is told by the weekday of its start, or by its input", () => {
  assert.equal(isValidated(-1), "$states.input.validate = true");
  const [, offset = "", weekday = ""] =
    /or \(\$floor\(.+ \/ 86400000\) \+ (\d)\) % 7 = (\d)$/.exec(isValidated(3)) ?? [];
  assert.equal(weekday, "3");
  for (let day = 0; day < 7; day++) {
    const milliseconds = Date.UTC(2026, 10, 22 + day, 3);
    assert.equal((Math.floor(milliseconds / 86_400_000) + Number(offset)) % 7, new Date(milliseconds).getUTCDay());
  }
});

test("a night is over before the next one begins, however long a run may take", () => {
  for (const reportTimeoutMinutes of [5, 60, 141, 1440]) {
    assert(machine({ reportTimeoutMinutes }).TimeoutSeconds < 24 * 3600);
  }
});

test("the jobs read the lake and its table, and write the one report", () => {
  const { States } = machine({ retentionHours: 168, compactOnUnreadable: "skip" });
  const lake = "s3://tributary-lake-<AccountId>-<Region>";
  const table = ["--catalog", "glue", "--warehouse", `${lake}/table/`, "--namespace", "tributary_history"];
  const given = (state: string): unknown => States[state]?.Parameters.JobDriver.SparkSubmit.EntryPointArguments;
  const input = ["--input", `${lake}/events/`, ...table];
  assert.deepEqual(given("Compact"), [
    ...input,
    ...["--metrics", "tributary-events", "--on-unreadable", "skip", "--reach-hours", "169", "--remember-days", "45"],
  ]);
  assert.deepEqual(given("Report"), [...input, "--output", `${lake}/reports/p95_event_duration.csv`]);
  assert.deepEqual(given("Validate"), [...input, "--days", "8"]);
});

test("Spark is set by the size of the lake, as emr/submit sets it, and Iceberg is EMR's own", () => {
  const submitted = machine({ sparkSize: "100GB", reportSparkSubmit: "--conf spark.driver.memory=20g" }).States.Compact
    ?.Parameters.JobDriver.SparkSubmit;
  const parameters = String(submitted?.SparkSubmitParameters);
  assert.deepEqual((submitted?.EntryPointArguments as string[]).slice(-4), SLICES["100GB"]);
  assert.match(parameters, /spark\.jars=\/usr\/share\/aws\/iceberg\/lib\/iceberg-spark3-runtime\.jar /);
  assert.match(parameters, /spark\.sql\.shuffle\.partitions=2000 .*--conf spark\.driver\.memory=20g$/);
  const script =
    "import json; from tributary_emr import spark_settings as s; " +
    "print(json.dumps([dict(s.COMMON), dict(s.TABLE), {n: {**s.DATA[n], **s.WORKERS[n]} for n in s.SIZES}, dict(s.SLICES)]))";
  const python = spawnSync("python3", ["-c", script], { cwd: fileURLToPath(new URL("../../emr", import.meta.url)) });
  assert.equal(python.status, 0, String(python.stderr));
  assert.deepEqual([COMMON, TABLE_SETTINGS, SIZES, SLICES], JSON.parse(String(python.stdout)));
});

test("the schedule starts the machine", () => {
  const { query } = make();
  assert(query);
  const { Target } = only(query, "AWS::Scheduler::Schedule") as { Target: { Arn: unknown } };
  assert.match(text(Target.Arn), /^<NightlyMachine\w*>$/);
});

test("Athena's answers go to a bucket of their own, whoever asks, and a query has a limit", () => {
  of(make().query).hasResourceProperties("AWS::Athena::WorkGroup", {
    Name: "tributary",
    WorkGroupConfiguration: { EnforceWorkGroupConfiguration: true, BytesScannedCutoffPerQuery: 10_737_418_240 },
  });
});

test("no stack but that of the data ties another one down with an export", () => {
  for (const given of [{}, { ...EVERYTHING, kmsKey: "none" }]) {
    for (const stack of stacksOf(make(given))) {
      assert.doesNotMatch(JSON.stringify(Template.fromStack(stack).toJSON()), /Fn::ImportValue/, stack.stackName);
    }
  }
});

test("the job role can be used by the one application only", () => {
  const { query } = make();
  assert(query);
  const roles = Object.values(resources(query)).filter(({ Type }) => Type === "AWS::IAM::Role");
  const trusted = roles.map(({ Properties }) => JSON.stringify(Properties.AssumeRolePolicyDocument));
  assert(
    trusted.some((policy) =>
      /"ArnEquals":\{"aws:SourceArn":\{"Fn::GetAtt":\["NightlyApplication\w*","Arn"\]\}\}/.test(policy),
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
  // Typed columns are in neither file, but in the contract that both follow.
  const ofEveryLake = columns("EVENTS");
  const names = new Set(ofEveryLake.map(([name]) => name));
  assert.deepEqual(
    EVENTS_COLUMNS.filter(([name]) => names.has(name)),
    ofEveryLake,
  );
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

test("the redrive invokes the aliases of the functions that there are, and nothing else", () => {
  const reads = (given: Record<string, unknown>): string[] => {
    const redrive = Object.values(resources(make(given).ingest)).find(
      ({ Properties }) => Properties.FunctionName === "tributary-redrive",
    );
    assert(redrive);
    const { Variables } = redrive.Properties.Environment as { Variables: { FUNCTIONS: unknown } };
    return Object.keys(JSON.parse(text(Variables.FUNCTIONS)) as object);
  };
  assert.deepEqual(reads({}), ["kinesis"]);
  assert.deepEqual(reads({ kafka: KAFKA }), ["kinesis", "kafka"]);
  assert.deepEqual(reads({ kafka: KAFKA, stream: false }), ["kafka"]);
});
