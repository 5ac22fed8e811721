/** The role of the repository's own workflow: no key is kept anywhere, and it can do what a deployment does. */
import { CfnOutput, Duration, Stack, type StackProps } from "aws-cdk-lib";
import { CfnOIDCProvider, FederatedPrincipal, PolicyDocument, Role, type PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { Construct } from "constructs";

import { functionName, PREFIX } from "./names.ts";
import { allow, NO_RESOURCE_LEVEL } from "./policy.ts";
import type { Settings } from "./settings.ts";
import type { Storage } from "./storage.ts";
import { stored, type Stored } from "./stored.ts";

const ISSUER = "token.actions.githubusercontent.com";

export class DeployRole extends Stack {
  readonly role: Role;
  /** Sees what would change, for whoever approves it. */
  readonly diffRole: Role;

  constructor(scope: Construct, id: string, settings: Settings, storage: Storage, props: StackProps) {
    super(scope, id, props);
    const held = stored(this, settings, storage);
    const provider =
      settings.githubProviderArn ||
      new CfnOIDCProvider(this, "GitHub", { url: `https://${ISSUER}`, clientIdList: ["sts.amazonaws.com"] }).attrArn;
    const trusted = (environment: string): FederatedPrincipal =>
      new FederatedPrincipal(
        provider,
        {
          StringEquals: {
            [`${ISSUER}:aud`]: "sts.amazonaws.com",
            [`${ISSUER}:sub`]: subject(settings, environment),
          },
        },
        "sts:AssumeRoleWithWebIdentity",
      );
    this.role = new Role(this, "Role", {
      roleName: `${settings.name}-deploy`,
      description: `Tributary: deployment by ${settings.githubRepository}`,
      maxSessionDuration: Duration.hours(1),
      assumedBy: trusted(settings.githubEnvironment),
      inlinePolicies: {
        stacks: new PolicyDocument({
          statements: [this.bootstrapRoles(settings, ["deploy", "file-publishing", "lookup"])],
        }),
        code: new PolicyDocument({ statements: [this.functionCode(settings)] }),
        smoke: new PolicyDocument({ statements: smokeTest(held) }),
      },
    });
    const { githubEnvironment } = settings;
    this.diffRole = new Role(this, "DiffRole", {
      roleName: `${settings.name}-diff`,
      description: `Tributary: what a deployment by ${settings.githubRepository} would change`,
      maxSessionDuration: Duration.hours(1),
      // An environment without reviewers, beside the one with them.
      assumedBy: trusted(githubEnvironment ? `${githubEnvironment}-diff` : ""),
      inlinePolicies: {
        look: new PolicyDocument({ statements: [this.bootstrapRoles(settings, ["lookup"])] }),
      },
    });
    new CfnOutput(this, "RoleArn", { value: this.role.roleArn });
    new CfnOutput(this, "DiffRoleArn", { value: this.diffRole.roleArn });
  }

  /** CDK works with these; what they may do was decided at `cdk bootstrap`. */
  private bootstrapRoles({ bootstrapQualifier }: Settings, tasks: readonly string[]): PolicyStatement {
    const { account, region } = this;
    const roles = tasks.map((task) =>
      this.formatArn({
        service: "iam",
        region: "",
        resource: "role",
        resourceName: `cdk-${bootstrapQualifier}-${task}-role-${account}-${region}`,
      }),
    );
    return allow("Cdk", ["sts:AssumeRole"], roles);
  }

  /** What `make deploy-functions` and `make rollback-functions` call. */
  private functionCode(settings: Settings): PolicyStatement {
    const binaries = [...(settings.stream ? ["ingest-kinesis"] : []), ...(settings.kafka ? ["ingest-redpanda"] : [])];
    const functions = binaries.map((binary) => functionName(settings, binary));
    const arns = functions.flatMap((name) => {
      const arn = this.formatArn({ service: "lambda", resource: `function:${name}` });
      // The alias, and versions: numbers that are not known yet.
      return [arn, `${arn}:*`];
    });
    const actions = ["GetAlias", "GetFunction", "GetFunctionConfiguration", "InvokeFunction"];
    const changes = ["CreateAlias", "PublishVersion", "UpdateAlias", "UpdateFunctionCode"];
    return allow(
      "MoveCode",
      [...actions, ...changes].map((action) => `lambda:${action}`),
      arns,
    );
  }
}

/** Who GitHub says the workflow is: one repository, and its environment or branch. */
function subject({ githubRepository, githubBranch }: Settings, environment: string): string {
  const from = environment ? `environment:${environment}` : `ref:refs/heads/${githubBranch}`;
  return `repo:${githubRepository}:${from}`;
}

/** One event in, and a look at the lake for it. */
function smokeTest({ stream, lake, key }: Stored): PolicyStatement[] {
  return [
    ...(stream ? [allow("SendEvent", ["kinesis:PutRecord"], [stream.streamArn])] : []),
    allow("FindEvent", ["s3:ListBucket"], [lake.bucketArn], {
      StringLike: { "s3:prefix": [PREFIX.events, PREFIX.quarantine].map((prefix) => `${prefix}*`) },
    }),
    allow(
      "ReadEvent",
      ["s3:GetObject"],
      [
        lake.arnForObjects(`${PREFIX.events}*`),
        // One that was rejected is there.
        lake.arnForObjects(`${PREFIX.quarantine}*`),
      ],
    ),
    // The canary.
    allow("SeeAlarms", ["cloudwatch:DescribeAlarms"], NO_RESOURCE_LEVEL),
    ...(key ? [allow("UseKey", ["kms:Decrypt", "kms:GenerateDataKey"], [key.keyArn])] : []),
  ];
}
