/** The nightly run's states: compact, report, and on one night of the week validate. */
import { PREFIX } from "./names.ts";
import { reachHours, type Settings } from "./settings.ts";
import { SLICES, sparkSubmit } from "./spark-settings.ts";

/** The jobs, in the order of a night; files of emr/tributary_emr. */
export const JOBS = ["compact", "report", "validate_table"] as const;
export type Job = (typeof JOBS)[number];

/** How often a run that failed is begun anew before the night is given up. */
const RETRIES = 2;
/** What a run may take beyond its own limit: the application's start, and the wait before a retry. */
const SLACK_MINUTES = 10;
/** The job's own default, in days. */
const REMEMBER_DAYS = 45;
/** What a week's validation looks at, by arrival: each object once. */
export const VALIDATE_DAYS = 8;
/** A night is over before the next one begins. */
const NIGHT_SECONDS = 23 * 3600;

export interface Night {
  readonly settings: Settings;
  readonly partition: string;
  readonly lake: string;
  /** Glue's database of the table. */
  readonly database: string;
  /** Dimension of the metrics. */
  readonly stream: string;
  readonly applicationId: string;
  readonly jobRoleArn: string;
  /** Where the code is. */
  readonly packageUri: string;
  readonly entryPoints: Readonly<Record<Job, string>>;
}

type State = Readonly<Record<string, unknown>>;

/**
 * The state machine's definition.
 *
 * A job that failed, that was cancelled because of its time, or that was not taken at all fails its task alike, and the
 * task is tried again; so the machine's own metrics know every way in which a night can end. A night whose compaction
 * failed still makes the report, which reads what the table lacks from the objects; it has failed at its end.
 */
export function nightlyDefinition(night: Night): State {
  const { settings } = night;
  const taskSeconds = (settings.reportTimeoutMinutes + SLACK_MINUTES) * 60;
  const [compacted, reported] = ["$.compact", "$.report"];
  const isThere = (variable: string, Next: string): State => ({ Variable: variable, IsPresent: true, Next });
  return {
    Comment: "Tributary: the nightly run",
    StartAt: "Compact",
    TimeoutSeconds: Math.min(NIGHT_SECONDS, JOBS.length * (RETRIES + 1) * (taskSeconds + SLACK_MINUTES * 60)),
    States: {
      Compact: { ...task(night, "compact", taskSeconds), ...goingOn(compacted, "Report") },
      Report: { ...task(night, "report", taskSeconds), ...goingOn(reported, "IsValidated") },
      IsValidated: {
        Type: "Choice",
        QueryLanguage: "JSONata",
        Choices: [{ Condition: `{% ${isValidated(settings.validateWeekday)} %}`, Next: "Validate" }],
        Default: "HasFailed",
      },
      Validate: { ...task(night, "validate_table", taskSeconds), Next: "HasFailed" },
      HasFailed: {
        Type: "Choice",
        Choices: [isThere(compacted, "CompactFailed"), isThere(reported, "ReportFailed")],
        Default: "Done",
      },
      CompactFailed: { Type: "Fail", ErrorPath: `${compacted}.Error`, CausePath: `${compacted}.Cause` },
      ReportFailed: { Type: "Fail", ErrorPath: `${reported}.Error`, CausePath: `${reported}.Cause` },
      Done: { Type: "Succeed" },
    },
  };
}

/** After its tries the night goes on, and remembers the failure. */
const goingOn = (ResultPath: string, Next: string): State => ({
  Catch: [{ ErrorEquals: ["States.ALL"], ResultPath, Next }],
  Next,
});

/**
 * Whether this night has the validation, as JSONata: by the weekday of its start, or because its input says so
 * (`{"validate": true}`). Day 0 of the Unix epoch was a Thursday.
 */
export function isValidated(weekday: number): string {
  const asked = "$states.input.validate = true";
  if (weekday < 0) return asked;
  const days = "$floor($toMillis($states.context.Execution.StartTime) / 86400000)";
  return `${asked} or (${days} + 4) % 7 = ${String(weekday)}`;
}

/** Submits a job and waits for its end: https://docs.aws.amazon.com/step-functions/latest/dg/connect-emr-serverless.html. */
function task(night: Night, job: Job, taskSeconds: number): State {
  const { settings } = night;
  const parameters = [`--py-files ${night.packageUri}`, sparkSubmit(settings.sparkSize), settings.reportSparkSubmit];
  return {
    Type: "Task",
    Resource: `arn:${night.partition}:states:::emr-serverless:startJobRun.sync`,
    Parameters: {
      ApplicationId: night.applicationId,
      ExecutionRoleArn: night.jobRoleArn,
      Name: `${settings.name}-${job}`,
      ExecutionTimeoutMinutes: settings.reportTimeoutMinutes,
      JobDriver: {
        SparkSubmit: {
          EntryPoint: night.entryPoints[job],
          EntryPointArguments: argumentsOf(night, job),
          SparkSubmitParameters: parameters.join(" ").trim(),
        },
      },
      Tags: { project: settings.name },
    },
    ResultPath: null,
    TimeoutSeconds: taskSeconds,
    Retry: [
      {
        ErrorEquals: ["States.TaskFailed", "States.Timeout"],
        IntervalSeconds: 60,
        BackoffRate: 2,
        MaxAttempts: RETRIES,
      },
    ],
  };
}

function argumentsOf({ settings, lake, database, stream }: Night, job: Job): string[] {
  const at = `s3://${lake}/`;
  const table = ["--catalog", "glue", "--warehouse", `${at}${PREFIX.table}`, "--namespace", database];
  const input = ["--input", `${at}${PREFIX.events}`, ...table];
  const reach = Math.max(48, reachHours(settings));
  switch (job) {
    case "compact":
      return [
        ...input,
        ...["--metrics", stream],
        ...["--on-unreadable", settings.compactOnUnreadable],
        ...["--reach-hours", String(reach)],
        ...["--remember-days", String(Math.max(REMEMBER_DAYS, Math.ceil(reach / 24) + 1))],
        ...SLICES[settings.sparkSize],
      ];
    case "report":
      return [...input, "--output", `${at}${PREFIX.reports}p95_event_duration.csv`];
    case "validate_table":
      return [...input, "--days", String(VALIDATE_DAYS)];
  }
}
