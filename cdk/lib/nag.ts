/** cdk-nag's findings (AwsSolutions) that are accepted, each with its reason. What is not listed fails `cdk synth`. */
import { Validations, type App } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";

/** One finding, or the like of it under several names. */
export interface Accepted {
  /** Path of the construct, from the stack's name without its prefix. */
  readonly path: RegExp;
  readonly finding: RegExp;
  readonly reason: string;
}

const wildcard = (resource: string): RegExp => new RegExp(`^AwsSolutions-IAM5\\[Resource::${resource}\\]$`);

export const ACCEPTED: readonly Accepted[] = [
  {
    path: /^storage\/(Lake|OnFailure|Artifacts|Results)\//,
    finding: /^AwsSolutions-S1$/,
    reason: "Access logs are a bucket to pay for and to guard; who wants them has CloudTrail's data events.",
  },
  {
    path: /^storage\/Stream\//,
    finding: /^AwsSolutions-KDS3$/,
    reason: "A key of one's own is a choice (kmsKey): it can be shared, restricted and revoked, Kinesis' own cannot.",
  },
  {
    path: /^(ingest|query|deploy-role)\//,
    finding: wildcard(".+/(events|rollups|quarantine|reports|emr|aws/lambda)/\\*"),
    reason: "Objects have no names yet; the prefix is as narrow as it gets.",
  },
  {
    path: /^ingest\/Kinesis\/Ingest\/Role\//,
    finding: wildcard("\\*"),
    reason: "PutMetricData and X-Ray's actions have no resources; the first has a condition on its namespace.",
  },
  {
    path: /^ingest\/Kafka\/Ingest\/Role\//,
    finding: wildcard("\\*"),
    reason: "The same, and the Describe actions of EC2, which have no resources either.",
  },
  {
    path: /^ingest\/Kafka\/Ingest\/Role\//,
    finding: wildcard("arn:.+:(network-interface|subnet|security-group)/\\*"),
    reason: "Lambda makes the interface of its pollers; which ids it touches is not known before.",
  },
  {
    path: /^ingest\/Redrive\/Function\//,
    finding: /^AwsSolutions-L1$/,
    reason: "Python's newest runtime comes to some regions late; this one is everywhere, and supported until 2029.",
  },
  {
    path: /^query\/Nightly\/JobRole\//,
    finding: wildcard("arn:.+:log-group:\\*"),
    reason: "DescribeLogGroups can only be granted for all groups of a region; it tells names, no content.",
  },
  {
    path: /^query\/Nightly\/MachineRole\//,
    finding: wildcard(".+/jobruns/\\*"),
    reason: "The run that is started, tagged and followed has no id yet; the application is named.",
  },
  {
    path: /^query\/Nightly\/Machine$/,
    finding: /^AwsSolutions-SF[12]$/,
    reason: "One state: its history is kept for 90 days, and the run has its own log. Nothing is left to trace.",
  },
  {
    path: /^monitoring\/GrafanaRole\//,
    finding: wildcard("\\*"),
    reason: "Reading metrics and alarms has no resources.",
  },
  {
    path: /^deploy-role\/Role\//,
    finding: wildcard("\\*"),
    reason: "DescribeAlarms is given for all alarms or none; it reads.",
  },
  {
    path: /^deploy-role\//,
    finding: wildcard("arn:.+:function:[a-z0-9-]+:\\*"),
    reason: "Versions are numbers that are not known yet; the function is named.",
  },
];

/**
 * Acknowledges what is accepted, finding by finding, on the one resource that has it.
 *
 * Returns the reasons that were needed, for the test that none is listed in vain.
 */
export function acknowledge(app: App, prefix: string): ReadonlySet<Accepted> {
  const needed = new Set<Accepted>();
  for (const { ruleName, violatingResources } of new AwsSolutionsChecks(app).validateScope(app).violations) {
    for (const { constructPath } of violatingResources) {
      const path = constructPath?.slice(`${prefix}-`.length) ?? "";
      const accepted = ACCEPTED.find((each) => each.path.test(path) && each.finding.test(ruleName));
      if (!accepted || constructPath === undefined) continue;
      const scope = constructPath.split("/").reduce((at, id) => at.node.findChild(id), app.node.root);
      Validations.of(scope).acknowledge({ id: ruleName, reason: accepted.reason });
      needed.add(accepted);
    }
  }
  return needed;
}
