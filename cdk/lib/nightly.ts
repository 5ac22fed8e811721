/** The nightly run: a state machine that submits the report to Spark, waits, and tries again; and the schedule that starts it. */
import { fileURLToPath } from "node:url";

import { Aws, RemovalPolicy, Stack } from "aws-cdk-lib";
import { CfnApplication } from "aws-cdk-lib/aws-emrserverless";
import { PolicyDocument, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { IKey } from "aws-cdk-lib/aws-kms";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import type { IBucket } from "aws-cdk-lib/aws-s3";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import { CfnSchedule } from "aws-cdk-lib/aws-scheduler";
import { CfnStateMachine } from "aws-cdk-lib/aws-stepfunctions";
import { Construct } from "constructs";

import { jobPermissions } from "./job-permissions.ts";
import { nightlyName, PREFIX } from "./names.ts";
import { allow } from "./policy.ts";
import type { Settings } from "./settings.ts";

export interface NightlyProps {
  readonly settings: Settings;
  readonly lake: IBucket;
  readonly artifacts: IBucket;
  readonly key: IKey | undefined;
}

/** How often a run that failed is begun anew before the night is given up. */
const RETRIES = 2;
/** What a run may take beyond its own limit: the application's start, and the wait before a retry. */
const SLACK_MINUTES = 10;

export class Nightly extends Construct {
  readonly application: CfnApplication;
  readonly jobRole: Role;
  readonly machine: CfnStateMachine;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: NightlyProps,
  ) {
    super(scope, id);
    const { settings } = props;
    const logGroup = new LogGroup(this, "Log", {
      logGroupName: `/aws/emr-serverless/${settings.name}`,
      retention: settings.logDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    // With the stack, so that the first night finds them, and the night after a deployment finds those of its own.
    const jobs = { package: this.packageAsset(), report: this.entryPoint("report") };
    this.application = this.makeApplication(logGroup.logGroupName);
    this.jobRole = new Role(this, "JobRole", {
      assumedBy: new ServicePrincipal("emr-serverless.amazonaws.com", {
        // Whoever may pass the role may use it for this application only.
        conditions: { ArnEquals: { "aws:SourceArn": this.application.attrArn } },
      }),
      description: "Tributary: the Spark jobs",
      inlinePolicies: {
        job: new PolicyDocument({ statements: jobPermissions(props, logGroup, Object.values(jobs)) }),
      },
    });
    this.machine = this.makeMachine(jobs);
    this.schedule();
  }

  /** `emr/tributary_emr` as the ZIP file that Python imports from. */
  private packageAsset(): Asset {
    return new Asset(this, "Package", {
      path: fileURLToPath(new URL("../../emr", import.meta.url)),
      exclude: ["*", ".*", "!tributary_emr", "tributary_emr/*", "!tributary_emr/*.py", "!tributary_emr/*.properties"],
    });
  }

  private entryPoint(job: string): Asset {
    return new Asset(this, "Report", {
      path: fileURLToPath(new URL(`../../emr/tributary_emr/${job}.py`, import.meta.url)),
    });
  }

  private makeApplication(logGroupName: string): CfnApplication {
    const { settings } = this.props;
    return new CfnApplication(this, "Application", {
      name: `${settings.name}-report`,
      type: "SPARK",
      releaseLabel: settings.reportRelease,
      architecture: settings.architecture === "arm64" ? "ARM64" : "X86_64",
      autoStartConfiguration: { enabled: true },
      autoStopConfiguration: { enabled: true, idleTimeoutMinutes: settings.reportIdleMinutes },
      maximumCapacity: {
        cpu: `${String(settings.reportMaximumVcpu)} vCPU`,
        memory: `${String(settings.reportMaximumMemoryGb)} GB`,
        disk: `${String(settings.reportMaximumDiskGb)} GB`,
      },
      monitoringConfiguration: {
        cloudWatchLoggingConfiguration: { enabled: true, logGroupName, logStreamNamePrefix: "report" },
        managedPersistenceMonitoringConfiguration: { enabled: true },
      },
    });
  }

  /**
   * Submits the job and waits for its end (https://docs.aws.amazon.com/step-functions/latest/dg/connect-emr-serverless.html).
   *
   * A job that failed, that was cancelled because of its time, or that was not taken at all fails the task alike, and the
   * task is tried again; so the machine's own metrics know every way in which a night can end.
   */
  private makeMachine(jobs: { package: Asset; report: Asset }): CfnStateMachine {
    const { settings, lake } = this.props;
    const { reportTimeoutMinutes } = settings;
    const at = `s3://${lake.bucketName}/`;
    const taskSeconds = (reportTimeoutMinutes + SLACK_MINUTES) * 60;
    const definition = {
      Comment: "Tributary: the nightly run",
      StartAt: "Report",
      TimeoutSeconds: (RETRIES + 1) * (taskSeconds + SLACK_MINUTES * 60),
      States: {
        Report: {
          Type: "Task",
          Resource: `arn:${Aws.PARTITION}:states:::emr-serverless:startJobRun.sync`,
          Parameters: {
            ApplicationId: this.application.attrApplicationId,
            ExecutionRoleArn: this.jobRole.roleArn,
            Name: `${settings.name}-report`,
            ExecutionTimeoutMinutes: reportTimeoutMinutes,
            JobDriver: {
              SparkSubmit: {
                EntryPoint: jobs.report.s3ObjectUrl,
                EntryPointArguments: [
                  "--input",
                  `${at}${PREFIX.events}`,
                  "--output",
                  `${at}${PREFIX.reports}p95_event_duration.csv`,
                ],
                SparkSubmitParameters: `--py-files ${jobs.package.s3ObjectUrl} ${settings.reportSparkSubmit}`.trim(),
              },
            },
            Tags: { project: settings.name },
          },
          TimeoutSeconds: taskSeconds,
          Retry: [
            {
              ErrorEquals: ["States.TaskFailed", "States.Timeout"],
              IntervalSeconds: 60,
              BackoffRate: 2,
              MaxAttempts: RETRIES,
            },
          ],
          End: true,
        },
      },
    };
    return new CfnStateMachine(this, "Machine", {
      stateMachineName: nightlyName(settings),
      roleArn: this.machineRole().roleArn,
      definitionString: Stack.of(this).toJsonString(definition),
    });
  }

  /** As the guide has it for `startJobRun.sync`: https://docs.aws.amazon.com/step-functions/latest/dg/emr-serverless-iam.html. */
  private machineRole(): Role {
    const runs = `${this.application.attrArn}/jobruns/*`;
    const rule = Stack.of(this).formatArn({
      service: "events",
      resource: "rule",
      resourceName: "StepFunctionsGetEventsForEMRServerlessJobRule",
    });
    return new Role(this, "MachineRole", {
      assumedBy: new ServicePrincipal("states.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID } },
      }),
      description: "Tributary: the nightly run",
      inlinePolicies: {
        run: new PolicyDocument({
          statements: [
            allow("Submit", ["emr-serverless:StartJobRun"], [this.application.attrArn]),
            allow("Tag", ["emr-serverless:TagResource"], [this.application.attrArn, runs]),
            allow("Follow", ["emr-serverless:GetJobRun", "emr-serverless:CancelJobRun"], [runs]),
            allow("PassJobRole", ["iam:PassRole"], [this.jobRole.roleArn], {
              StringEquals: { "iam:PassedToService": "emr-serverless.amazonaws.com" },
            }),
            // The rule by which Step Functions hears of a run's end.
            allow("HearOfTheEnd", ["events:PutTargets", "events:PutRule", "events:DescribeRule"], [rule]),
          ],
        }),
      },
    });
  }

  private schedule(): void {
    const { settings } = this.props;
    const role = new Role(this, "ScheduleRole", {
      assumedBy: new ServicePrincipal("scheduler.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID } },
      }),
      description: "Tributary: starts the nightly run",
      inlinePolicies: {
        start: new PolicyDocument({ statements: [allow("Start", ["states:StartExecution"], [this.machine.ref])] }),
      },
    });
    new CfnSchedule(this, "Schedule", {
      name: nightlyName(settings),
      description: "The nightly run of Tributary",
      scheduleExpression: settings.reportSchedule,
      scheduleExpressionTimezone: settings.reportTimezone,
      flexibleTimeWindow: { mode: "FLEXIBLE", maximumWindowInMinutes: 15 },
      state: settings.reportEnabled ? "ENABLED" : "DISABLED",
      target: {
        arn: this.machine.ref,
        roleArn: role.roleArn,
        input: "{}",
        retryPolicy: { maximumRetryAttempts: 5, maximumEventAgeInSeconds: 3600 },
      },
    });
  }
}
