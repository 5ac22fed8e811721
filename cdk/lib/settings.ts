/** Every knob of the deployment: its default, its rule, and what it is for. A test compares the README's table with this file. */
import { KAFKA_RULE, readKafka, type KafkaSettings } from "./kafka-settings.ts";
import { choice, flag, integer, isRecord, isText, parsed, text, type Knob } from "./knobs.ts";

/** The periods that CloudWatch Logs knows. */
const LOG_DAYS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

/** Every knob, in the order of the README's table. */
export const KNOBS = {
  name: text(
    "tributary",
    /^[a-z][a-z0-9-]{1,19}$/,
    "2 to 20 lower-case letters, digits and hyphens, a letter first",
    "prefix of the stacks and of every name, so that one account can hold several",
  ),
  tags: {
    default: {},
    rule: "an object of text values",
    meaning: "tags on everything, besides `project`",
    read: (given) => {
      const value = parsed(given);
      return isRecord(value) && Object.values(value).every(isText) ? (value as Record<string, string>) : undefined;
    },
  } satisfies Knob<Record<string, string>> as Knob<Record<string, string>>,
  keepData: flag(
    true,
    "buckets and stream outlive their stack, which is protected from deletion; false is for throwaway accounts",
  ),
  kmsKey: text(
    "none",
    /^(none|create|arn:[a-z-]+:kms:.+)$/,
    "none, create, or the ARN of a KMS key",
    "what encrypts buckets and stream: S3's and Kinesis' own keys, a key made here, or one that exists",
  ),
  quarantineDays: integer(90, 1, 3650, "days until quarantined records are deleted"),
  onFailureDays: integer(90, 1, 3650, "days until batches that were given up are deleted"),
  resultDays: integer(7, 1, 3650, "days until what Athena has answered is deleted"),
  expireDays: integer(
    30,
    1,
    3650,
    "days until what the table holds is deleted under `events/` and `rollups/`; not under `retentionHours` and `horizonMinutes` together; 0 is never",
    [0],
  ),
  breakGlassRoleArn: text(
    "",
    /^$|^arn:[a-z-]+:iam::\d{12}:role\/.+/,
    "empty, or the ARN of a role",
    "the one role that may delete under `events/` and `rollups/`, and besides the jobs under `table/`",
  ),
  stream: flag(true, "whether there is a Kinesis stream with its function; false leaves the Kafka topic alone"),
  shards: integer(4, 0, 10_000, "shards of the stream; 0 is on-demand"),
  retentionHours: integer(24, 24, 8760, "how long the stream keeps records"),
  architecture: choice(["arm64", "x86_64"], "processor of the function and of Spark's workers"),
  artifacts: text("", /.*/, "a folder", "where the built functions are; `../target/deploy/<architecture>` if empty"),
  memoryMb: integer(512, 128, 10_240, "memory of the function; processor time comes in proportion"),
  timeoutSeconds: integer(60, 10, 900, "how long one invocation may take"),
  horizonMinutes: integer(15, 0, 1440, "the function's `TRIBUTARY_HORIZON_MINUTES`"),
  latenessMinutes: integer(60, 0, 525_600, "the function's `TRIBUTARY_LATENESS_MINUTES`"),
  keepTestEvents: flag(false, "the function's `TRIBUTARY_KEEP_TEST_EVENTS`"),
  metrics: flag(true, "the function's `TRIBUTARY_METRICS`"),
  logLevel: choice(["info", "debug", "warn", "error"], "the function's `RUST_LOG`"),
  logDays: {
    default: 30,
    rule: "a period that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, … 3653 days",
    meaning: "days until log lines are deleted",
    read: (given) => LOG_DAYS.find((days) => days === Number(given)),
  } satisfies Knob<number> as Knob<number>,
  tracing: flag(true, "X-Ray traces of the function"),
  reservedConcurrency: integer(
    0,
    0,
    10_000,
    "execution environments set aside for the function, and its limit; 0 is none",
  ),
  batchSize: integer(10_000, 1, 10_000, "records of one batch at most"),
  batchingWindowSeconds: integer(10, 0, 300, "how long a batch may be waited for; longer makes fewer, larger objects"),
  parallelizationFactor: integer(1, 1, 10, "batches of one shard at the same time"),
  retryAttempts: integer(
    -1,
    0,
    10_000,
    "how often a batch is tried again before it is given up; -1 is endless, and on a topic 10,000 times, the most that Lambda can be told",
    [-1],
  ),
  maximumRecordAgeSeconds: integer(
    72_000,
    60,
    604_800,
    "age at which a batch is given up to the on-failure bucket, whole; under the retention, or the stream loses it first; -1 is never",
    [-1],
  ),
  partialResponses: flag(
    true,
    "whether the function says which records of a Kinesis batch it has not committed (`TRIBUTARY_PARTIAL_RESPONSES`), and the mapping reads it; else the whole batch comes again",
  ),
  startingPosition: choice(["TRIM_HORIZON", "LATEST"], "where a new mapping begins to read"),
  kafka: {
    default: undefined,
    rule: KAFKA_RULE,
    meaning: "a second function, `ingest-redpanda`, on a Kafka or Redpanda topic; none by default",
    read: readKafka,
  } satisfies Knob<KafkaSettings | undefined> as Knob<KafkaSettings | undefined>,
  query: flag(true, "whether there are tables and nightly jobs; their knobs follow"),
  reportRelease: text(
    "emr-7.13.0",
    /^emr-7\.[1-9]\d\.\d+$/,
    "an EMR 7 release from emr-7.10.0 on",
    "EMR release: Spark 3.5, whose `s3://` is S3A",
  ),
  reportSparkSubmit: text(
    "",
    /^$|^--/,
    "empty, or parameters of spark-submit",
    "further parameters of spark-submit, for every job; they replace those of `sparkSize`",
  ),
  sparkSize: choice(
    ["1GB", "100GB", "10TB"],
    "size of `events/`, by which Spark is set: emr/README.md; the limits below have to allow for it",
  ),
  reportSchedule: text("cron(0 3 * * ? *)", /^(cron|rate)\(.+\)$/, "cron(…) or rate(…)", "when the nightly jobs run"),
  reportTimezone: text(
    "UTC",
    /^[A-Za-z_]+(\/[A-Za-z_+-]+)*$/,
    "a time zone such as Europe/Berlin",
    "time zone of `reportSchedule`",
  ),
  reportEnabled: flag(true, "whether the schedule starts anything"),
  reportTimeoutMinutes: integer(60, 5, 1440, "after which a run of a job is cancelled"),
  compactOnUnreadable: choice(
    ["stop", "skip"],
    "an object that the table cannot load: stop fails the night, skip leaves it out, and TableBehind tells",
  ),
  validateWeekday: integer(
    0,
    0,
    6,
    "weekday, by UTC, of the night that compares table and objects; 0 is Sunday, -1 never",
    [-1],
  ),
  reportMaximumVcpu: integer(16, 4, 4000, "limit of the Spark application, all runs together"),
  reportMaximumMemoryGb: integer(64, 16, 30_000, "the same for memory"),
  reportMaximumDiskGb: integer(200, 40, 200_000, "the same for local disk"),
  reportIdleMinutes: integer(5, 1, 10_080, "idle minutes until the application stops"),
  catalogFrom: text(
    "2026-01-01",
    /^\d{4}-\d{2}-\d{2}$/,
    "a date such as 2026-01-01",
    "first date of the tables' partition projection",
  ),
  alarmEmail: text("", /^$|^[^@\s]+@[^@\s]+$/, "empty, or an e-mail address", "who gets the alarms"),
  alarmsLeftOut: {
    default: [],
    rule: "a list of names of grafana/alarms.json",
    meaning: 'alarms not to make: `["NoData"]` for a stream that may be silent',
    read: (given) => {
      const value = parsed(given);
      return Array.isArray(value) && value.every(isText) ? value : undefined;
    },
  } satisfies Knob<string[]> as Knob<string[]>,
  managedGrafana: flag(false, "an Amazon Managed Grafana workspace; needs IAM Identity Center"),
  githubRepository: text(
    "",
    /^$|^[\w.-]+\/[\w.-]+$/,
    "empty, or owner/name",
    "repository whose workflow may deploy; no deploy role if empty. Repositories made since June 2026 are named with their ids in tokens: `owner-123/name-456`",
  ),
  githubEnvironment: text(
    "production",
    /^[\w.-]*$/,
    "empty, or the name of an environment",
    "its environment that may deploy",
  ),
  githubBranch: text(
    "main",
    /^[\w./-]+$/,
    "the name of a branch",
    "its branch that may deploy, if there is no environment",
  ),
  githubProviderArn: text(
    "",
    /^$|^arn:[a-z-]+:iam::\d{12}:oidc-provider\/.+/,
    "empty, or the ARN of an OIDC provider",
    "GitHub's OIDC provider where the account has it already; made here if empty",
  ),
  bootstrapQualifier: text(
    "hnb659fds",
    /^[a-z0-9]{1,10}$/,
    "up to 10 lower-case letters and digits",
    "of `cdk bootstrap`",
  ),
};

type Knobs = typeof KNOBS;

/** The settings of one deployment. */
export type Settings = { readonly [Name in keyof Knobs]: Knobs[Name] extends Knob<infer Value> ? Value : never };

/** A setting that cannot be used; the message names it, its value and the rule. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

/**
 * The settings that `given` describes, defaults for the rest.
 *
 * Throws SettingsError for a name that is none, and for a value that breaks its rule.
 */
export function readSettings(given: Record<string, unknown>): Settings {
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(KNOBS, name)) {
      throw new SettingsError(`setting '${name}' does not exist; cdk/README.md lists those that do`);
    }
  }
  const settings = Object.fromEntries(
    Object.entries<Knob<unknown>>(KNOBS).map(([name, knob]) => [name, valueOf(name, knob, given[name])]),
  ) as unknown as Settings;
  checkTogether(settings);
  return settings;
}

function valueOf(name: string, knob: Knob<unknown>, given: unknown): unknown {
  if (given === undefined) return knob.default;
  const value = knob.read(given);
  if (value === undefined) {
    throw new SettingsError(`${name} is ${JSON.stringify(given)}, must be ${knob.rule}`);
  }
  return value;
}

/** How long after its arrival a record can still be committed, in whole hours. */
export const reachHours = ({ retentionHours, horizonMinutes }: Settings): number =>
  retentionHours + Math.ceil(horizonMinutes / 60);

function checkTogether(settings: Settings): void {
  const { maximumRecordAgeSeconds: age, retentionHours, kmsKey, stream, kafka, expireDays } = settings;
  if (!stream && !kafka) throw new SettingsError("stream is false, must be true unless there is a kafka to read from");
  if (age >= retentionHours * 3600) {
    throw new SettingsError(
      `maximumRecordAgeSeconds is ${String(age)}, must be below retentionHours (${String(retentionHours)} h): ` +
        "records that the stream has lost cannot be given up",
    );
  }
  const leastDays = Math.ceil(reachHours(settings) / 24);
  if (expireDays !== 0 && expireDays < leastDays) {
    throw new SettingsError(
      `expireDays is ${String(expireDays)}, must be at least ${String(leastDays)} (retentionHours and horizonMinutes): ` +
        "ids that a redelivery needs would be gone",
    );
  }
  if (kmsKey.startsWith("arn:") && !/^arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key\/[\w-]+$/.test(kmsKey)) {
    throw new SettingsError(`kmsKey is "${kmsKey}", must be none, create, or the ARN of a KMS key (not of an alias)`);
  }
}

/** Settings from the CDK context: the object `tributary` of cdk.json, overridden by `-c tributary:NAME=VALUE`. */
export function settingsOfContext(context: Record<string, unknown>): Settings {
  const object = context.tributary ?? {};
  if (!isRecord(object)) throw new SettingsError("context 'tributary' must be an object of settings");
  const overrides = Object.entries(context)
    .filter(([key]) => key.startsWith("tributary:"))
    .map(([key, value]) => [key.slice("tributary:".length), value]);
  return readSettings({ ...object, ...(Object.fromEntries(overrides) as Record<string, unknown>) });
}
