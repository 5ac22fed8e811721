/** Permissions that no recorded request uses, each with why it is there. What is not listed fails the test. */

export interface Unrecorded {
  readonly role: string;
  readonly sid: string;
  readonly actions: readonly string[];
  readonly why: string;
}

/** What both functions have that is used by Lambda itself, with their role. */
const byLambda = (role: string): Unrecorded[] => [
  {
    role,
    sid: "GiveUpList",
    actions: ["s3:ListBucket"],
    why: "Lambda looks at the destination: https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html",
  },
  {
    role,
    sid: "GiveUpPut",
    actions: ["s3:PutObject"],
    why: "Lambda writes what is given up: the same page",
  },
  {
    role,
    sid: "WriteLog",
    actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
    why: "Lambda carries the log: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html",
  },
  {
    role,
    sid: "Trace",
    actions: ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
    why: "Lambda sends the traces: https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html",
  },
];

const MSK = "https://docs.aws.amazon.com/lambda/latest/dg/with-msk-permissions.html";
const MSK_IAM = "https://docs.aws.amazon.com/lambda/latest/dg/msk-cluster-auth.html";
const kafka = (sid: string, actions: readonly string[], why: string): Unrecorded => ({
  role: "ingest/KafkaIngestRole",
  sid,
  actions,
  why: `Lambda's pollers, which ${why}`,
});

const job = (sid: string, actions: readonly string[], why: string): Unrecorded => ({
  role: "query/NightlyJobRole",
  sid,
  actions,
  why,
});

const machine = (sid: string, actions: readonly string[], why: string): Unrecorded => ({
  role: "query/NightlyMachineRole",
  sid,
  actions,
  why: `${why}: https://docs.aws.amazon.com/step-functions/latest/dg/emr-serverless-iam.html`,
});

export const UNRECORDED: readonly Unrecorded[] = [
  {
    role: "ingest/RedriveRole",
    sid: "WriteLog",
    actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
    why: "Lambda carries the log: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html",
  },
  {
    role: "deploy-role/DiffRole",
    sid: "Cdk",
    actions: ["sts:AssumeRole"],
    why: "cdk diff looks with the lookup role of the bootstrap: https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html",
  },
  {
    role: "deploy-role/Role",
    sid: "Cdk",
    actions: ["sts:AssumeRole"],
    why: "the CDK's command line works with the roles of its bootstrap: https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html",
  },
  {
    role: "ingest/KinesisIngestRole",
    sid: "ReadStream",
    actions: ["kinesis:DescribeStream"],
    why: "Lambda's pollers: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html lists it",
  },
  ...byLambda("ingest/KinesisIngestRole"),
  ...byLambda("ingest/KafkaIngestRole"),
  kafka("ReadSecret", ["secretsmanager:GetSecretValue"], `log in: ${MSK}`),
  kafka("ReadSecretKey", ["kms:Decrypt"], `read the secret: ${MSK}`),
  kafka(
    "Interfaces",
    ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"],
    `reach the brokers in their VPC: ${MSK}`,
  ),
  kafka(
    "DescribeNetwork",
    ["ec2:DescribeNetworkInterfaces", "ec2:DescribeVpcs", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups"],
    `reach the brokers in their VPC: ${MSK}`,
  ),
  kafka("FindBrokers", ["kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"], `find the brokers of MSK: ${MSK}`),
  kafka(
    "JoinCluster",
    ["kafka-cluster:Connect", "kafka-cluster:DescribeClusterDynamicConfiguration"],
    `log in by IAM: ${MSK_IAM}`,
  ),
  kafka("ReadTopic", ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"], `read by IAM: ${MSK_IAM}`),
  kafka("UseGroup", ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"], `commit by IAM: ${MSK_IAM}`),
  job("WriteReports", ["s3:AbortMultipartUpload"], "a large part of a report that failed on its way"),
  job("ReadJobs", ["s3:GetObject"], "EMR Serverless fetches the job's code with this role; here it lies on the disk"),
  job("ReadSubmitted", ["s3:GetObject"], "the same for what emr/submit has put there"),
  job(
    "WriteLog",
    ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
    "EMR Serverless: https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/logging.html",
  ),
  job("FindLog", ["logs:DescribeLogGroups"], "the same page"),
  machine("Submit", ["emr-serverless:StartJobRun"], "Step Functions submits; what it does is not to be seen from here"),
  machine("Tag", ["emr-serverless:TagResource"], "a run that is submitted with tags"),
  machine("Follow", ["emr-serverless:GetJobRun", "emr-serverless:CancelJobRun"], "Step Functions waits"),
  machine("PassJobRole", ["iam:PassRole"], "Step Functions submits"),
  machine(
    "HearOfTheEnd",
    ["events:PutTargets", "events:PutRule", "events:DescribeRule"],
    "the rule that tells Step Functions",
  ),
  {
    role: "query/NightlyScheduleRole",
    sid: "Start",
    actions: ["states:StartExecution"],
    why: "EventBridge Scheduler: https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html",
  },
  {
    role: "monitoring/GrafanaRole",
    sid: "ReadMetrics",
    actions: [
      "cloudwatch:DescribeAlarms",
      "cloudwatch:DescribeAlarmsForMetric",
      "cloudwatch:GetMetricData",
      "cloudwatch:ListMetrics",
    ],
    why: "Grafana: https://grafana.com/docs/grafana/latest/datasources/aws-cloudwatch/configure/",
  },
];
