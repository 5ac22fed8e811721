/** Every permission of every role, written out. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { Stack } from "aws-cdk-lib";

import { EVERYTHING, make, MSK, MSK_IAM, resources, text } from "./support.ts";

interface Statement {
  readonly Sid?: string;
  readonly Effect: string;
  readonly Action: string | string[];
  readonly Resource: unknown;
  readonly Condition?: unknown;
}

const list = <Value>(value: Value | Value[]): Value[] => (Array.isArray(value) ? value : [value]);

/** The statements of all roles of a stack, or of those of one construct. */
function statements(stack: Stack, construct = ""): Statement[] {
  return Object.entries(resources(stack))
    .filter(([id, { Type }]) => Type === "AWS::IAM::Role" && id.startsWith(construct))
    .flatMap(([, { Properties }]) =>
      list((Properties.Policies ?? []) as { PolicyDocument: { Statement: Statement[] } }[]),
    )
    .flatMap(({ PolicyDocument }) => PolicyDocument.Statement);
}

/** `Sid: actions on resources if condition`, account, region and partition left out. */
function readable({ Sid, Action, Resource, Condition }: Statement): string {
  const where = list(Resource)
    .map(text)
    .map((resource) =>
      resource
        .replaceAll("<Partition>", "aws")
        .replaceAll(/<Region>|<AccountId>/g, "")
        .replaceAll("--", "-"),
    );
  const condition = Condition ? ` if ${JSON.stringify(Condition)}` : "";
  return `${Sid ?? "?"}: ${list(Action).join(", ")} on ${where.join(", ")}${condition}`;
}

const LAKE = "arn:aws:s3:::tributary-lake-";
const COMMON = [
  `ListCommitted: s3:ListBucket on ${LAKE} if {"StringLike":{"s3:prefix":["events/*","rollups/*"]}}`,
  `ReadCommitted: s3:GetObject on ${LAKE}/events/*, ${LAKE}/rollups/*`,
  `Commit: s3:PutObject on ${LAKE}/events/*, ${LAKE}/rollups/*, ${LAKE}/quarantine/*`,
  "GiveUpList: s3:ListBucket on arn:aws:s3:::tributary-on-failure-",
  "GiveUpPut: s3:PutObject on arn:aws:s3:::tributary-on-failure-/aws/lambda/*",
  'PublishMetrics: cloudwatch:PutMetricData on * if {"StringEquals":{"cloudwatch:namespace":"Tributary"}}',
];
const log = (logGroup: string): string => `WriteLog: logs:CreateLogStream, logs:PutLogEvents on <${logGroup}.Arn>`;
const TRACE = "Trace: xray:PutTraceSegments, xray:PutTelemetryRecords on *";

test("the function reads its stream and its window, writes what it commits, and can do nothing else", () => {
  assert.deepEqual(statements(make().ingest, "Kinesis").map(readable), [
    "ReadStream: kinesis:DescribeStream, kinesis:DescribeStreamSummary, kinesis:GetRecords, kinesis:GetShardIterator, kinesis:ListShards on arn:aws:kinesis:::stream/tributary-events",
    ...COMMON,
    log("KinesisIngestLogC9C3ED5D"),
    TRACE,
  ]);
});

test("the redrive takes what was given up and reads quarantine, and invokes nothing but the alias", () => {
  const found = statements(make().ingest, "Redrive").map(readable);
  assert.deepEqual(found.slice(0, 4), [
    "ListGivenUp: s3:ListBucket on arn:aws:s3:::tributary-on-failure-",
    "TakeGivenUp: s3:GetObject, s3:DeleteObject on arn:aws:s3:::tributary-on-failure-/aws/lambda/*",
    `ListQuarantine: s3:ListBucket on ${LAKE} if {"StringLike":{"s3:prefix":["quarantine/*"]}}`,
    `ReadQuarantine: s3:GetObject on ${LAKE}/quarantine/*`,
  ]);
  assert.match(found[4] ?? "", /^Deliver: lambda:InvokeFunction on <KinesisIngestLive\w+>$/);
  assert.equal(found.length, 6);
});

test("without tracing there is no permission to trace, and with a key one to use it", () => {
  const untraced = statements(make({ tracing: false }).ingest, "Kinesis").map(readable);
  assert(!untraced.includes(TRACE));
  const arn = "arn:aws:kms:eu-west-1:123456789012:key/1";
  assert(
    statements(make({ kmsKey: arn }).ingest, "Kinesis")
      .map(readable)
      .includes(`UseKey: kms:Decrypt, kms:GenerateDataKey on ${arn}`),
  );
});

test("the function of a topic reads its secret and makes interfaces, and an MSK cluster's finds its brokers", () => {
  const kafka = statements(make({ kafka: MSK }).ingest, "Kafka").map(readable);
  assert.deepEqual(kafka.slice(0, 5), [
    `ReadSecret: secretsmanager:GetSecretValue on ${MSK.secretArn}`,
    `ReadSecretKey: kms:Decrypt on ${MSK.secretKeyArn}`,
    "Interfaces: ec2:CreateNetworkInterface, ec2:DeleteNetworkInterface on arn:aws:ec2:::network-interface/*, arn:aws:ec2:::subnet/*, arn:aws:ec2:::security-group/*",
    "DescribeNetwork: ec2:DescribeNetworkInterfaces, ec2:DescribeVpcs, ec2:DescribeSubnets, ec2:DescribeSecurityGroups on *",
    `FindBrokers: kafka:DescribeClusterV2, kafka:GetBootstrapBrokers on ${MSK.clusterArn}`,
  ]);
  assert(kafka.includes(COMMON[0] ?? ""));
  assert(!kafka.some((statement) => statement.includes("kinesis:")));
});

test("with IAM a topic's function joins the cluster, reads the one topic, and uses the one group", () => {
  const kafka = statements(make({ kafka: MSK_IAM, stream: false }).ingest, "Kafka").map(readable);
  const within = (kind: string) => MSK.clusterArn.replace(":cluster/", `:${kind}/`);
  assert.deepEqual(kafka.slice(3, 6), [
    `JoinCluster: kafka-cluster:Connect, kafka-cluster:DescribeClusterDynamicConfiguration on ${MSK.clusterArn}`,
    `ReadTopic: kafka-cluster:DescribeTopic, kafka-cluster:ReadData on ${within("topic")}/tributary-events`,
    `UseGroup: kafka-cluster:AlterGroup, kafka-cluster:DescribeGroup on ${within("group")}/tributary`,
  ]);
  assert(!kafka.some((statement) => statement.includes("secretsmanager:")));
});

test("a Spark job reads the lake and writes reports, and the nightly run starts it on one application", () => {
  const { query } = make();
  assert(query);
  const found = statements(query).map(readable);
  const brief = found.map((each) =>
    each.replaceAll(/<Nightly([A-Za-z]+)[0-9A-F]{8}/g, "<$1").replaceAll(/[0-9a-f]{64}/g, "…"),
  );
  assert.deepEqual(brief, [
    `ListLake: s3:ListBucket on ${LAKE}`,
    `ReadLake: s3:GetObject on ${LAKE}/events, ${LAKE}/events/*, ${LAKE}/rollups, ${LAKE}/rollups/*`,
    `WriteReports: s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload on ${LAKE}/reports, ${LAKE}/reports/*`,
    "ReadJobs: s3:GetObject on arn:aws:s3:::cdk-hnb659fds-assets-/….zip, arn:aws:s3:::cdk-hnb659fds-assets-/….py",
    "ReadSubmitted: s3:GetObject on arn:aws:s3:::tributary-artifacts-/emr/*",
    "WriteLog: logs:CreateLogStream, logs:DescribeLogStreams, logs:PutLogEvents on <Log.Arn>",
    "FindLog: logs:DescribeLogGroups on arn:aws:logs:::log-group:*",
    "Submit: emr-serverless:StartJobRun on <Application.Arn>",
    "Tag: emr-serverless:TagResource on <Application.Arn>, <Application.Arn>/jobruns/*",
    "Follow: emr-serverless:GetJobRun, emr-serverless:CancelJobRun on <Application.Arn>/jobruns/*",
    'PassJobRole: iam:PassRole on <JobRole.Arn> if {"StringEquals":{"iam:PassedToService":"emr-serverless.amazonaws.com"}}',
    "HearOfTheEnd: events:PutTargets, events:PutRule, events:DescribeRule on arn:aws:events:::rule/StepFunctionsGetEventsForEMRServerlessJobRule",
    "Start: states:StartExecution on <Machine>",
  ]);
});

test("a deployment assumes the roles of the CDK, moves the code of one function, and sends one event", () => {
  const { deployRole } = make();
  assert(deployRole);
  const role = (task: string): string => `arn:aws:iam:::role/cdk-hnb659fds-${task}-role-`;
  const functionArn = "arn:aws:lambda:::function:tributary-ingest-kinesis";
  assert.deepEqual(statements(deployRole, "Role").map(readable), [
    `Cdk: sts:AssumeRole on ${["deploy", "file-publishing", "lookup"].map(role).join(", ")}`,
    `MoveCode: lambda:GetAlias, lambda:GetFunction, lambda:GetFunctionConfiguration, lambda:InvokeFunction, lambda:CreateAlias, lambda:PublishVersion, lambda:UpdateAlias, lambda:UpdateFunctionCode on ${functionArn}, ${functionArn}:*`,
    "SendEvent: kinesis:PutRecord on arn:aws:kinesis:::stream/tributary-events",
    `FindEvent: s3:ListBucket on ${LAKE} if {"StringLike":{"s3:prefix":["events/*","quarantine/*"]}}`,
    `ReadEvent: s3:GetObject on ${LAKE}/events/*, ${LAKE}/quarantine/*`,
    "SeeAlarms: cloudwatch:DescribeAlarms on *",
  ]);
});

test("what shows the difference may look and nothing else, and is let in before anybody approves", () => {
  const { deployRole } = make();
  assert(deployRole);
  assert.deepEqual(statements(deployRole, "DiffRole").map(readable), [
    "Cdk: sts:AssumeRole on arn:aws:iam:::role/cdk-hnb659fds-lookup-role-",
  ]);
  const roles = Object.entries(resources(deployRole)).filter(([id]) => id.startsWith("DiffRole"));
  assert.match(JSON.stringify(roles), /"repo:owner\/name:environment:production-diff"/);
});

test("only the one repository's environment may deploy, or its branch", () => {
  const trusted = (given: Record<string, unknown>): unknown => {
    const { deployRole } = make(given);
    assert(deployRole);
    const [, role] = Object.entries(resources(deployRole)).find(([id]) => id.startsWith("Role")) ?? [];
    const policy = role?.Properties.AssumeRolePolicyDocument as { Statement: [{ Condition: unknown; Action: string }] };
    assert.equal(policy.Statement[0].Action, "sts:AssumeRoleWithWebIdentity");
    return policy.Statement[0].Condition;
  };
  const only = (subject: string) => ({
    StringEquals: {
      "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
      "token.actions.githubusercontent.com:sub": subject,
    },
  });
  assert.deepEqual(trusted({}), only("repo:owner/name:environment:production"));
  assert.deepEqual(trusted({ githubEnvironment: "" }), only("repo:owner/name:ref:refs/heads/main"));
  assert.deepEqual(trusted({ githubRepository: "owner-1/name-2" }), only("repo:owner-1/name-2:environment:production"));
});

test("without a repository there is no deploy role", () => {
  assert.equal(make({ githubRepository: "" }).deployRole, undefined);
});

/** Actions for which AWS's service authorization reference lists no resource, so that "*" is the only way. */
const WITHOUT_RESOURCES = new Set([
  "cloudwatch:DescribeAlarms",
  "cloudwatch:DescribeAlarmsForMetric",
  "cloudwatch:GetMetricData",
  "cloudwatch:ListMetrics",
  "cloudwatch:PutMetricData",
  "ec2:DescribeNetworkInterfaces",
  "ec2:DescribeSecurityGroups",
  "ec2:DescribeSubnets",
  "ec2:DescribeVpcs",
  "xray:PutTelemetryRecords",
  "xray:PutTraceSegments",
]);

test("no statement allows an action by wildcard, and none all resources where some can be named", () => {
  const { app } = make(EVERYTHING);
  const stacks = app.node.children.filter((child) => Stack.isStack(child));
  const all = stacks.flatMap((stack) => statements(stack));
  assert(all.length > 30, "all roles are looked at");
  for (const statement of all) {
    assert.equal(statement.Effect, "Allow");
    for (const action of list(statement.Action)) {
      assert(!action.includes("*"), `${readable(statement)}: ${action}`);
      const everywhere = list(statement.Resource).includes("*");
      assert(!everywhere || WITHOUT_RESOURCES.has(action), readable(statement));
    }
  }
});

test("no role has a managed policy, and no policy stands outside of a role", () => {
  const { app } = make(EVERYTHING);
  for (const stack of app.node.children.filter((child) => Stack.isStack(child))) {
    for (const [id, { Type, Properties }] of Object.entries(resources(stack))) {
      assert.equal(Properties.ManagedPolicyArns, undefined, id);
      assert(!["AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::User"].includes(Type), id);
    }
  }
});
