/** The role of the repository's own workflow: no key is kept anywhere, and it can do what a deployment does. */
import { CfnOutput, Duration, Stack, type StackProps } from "aws-cdk-lib";
import { CfnOIDCProvider, FederatedPrincipal, PolicyDocument, Role, type PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { Construct } from "constructs";

import { functionName, PREFIX } from "./names.ts";
import { allow } from "./policy.ts";
import type { Settings } from "./settings.ts";
import type { Storage } from "./storage.ts";
import { stored, type Stored } from "./stored.ts";

const ISSUER = "token.actions.githubusercontent.com";

export class DeployRole extends Stack {
  readonly role: Role;

  constructor(scope: Construct, id: string, settings: Settings, storage: Storage, props: StackProps) {
    super(scope, id, props);
    const held = stored(this, settings, storage);
    const provider =
      settings.githubProviderArn ||
      new CfnOIDCProvider(this, "GitHub", { url: `https://${ISSUER}`, clientIdList: ["sts.amazonaws.com"] }).attrArn;
    this.role = new Role(this, "Role", {
      roleName: `${settings.name}-deploy`,
      description: `Tributary: deployment by ${settings.githubRepository}`,
      maxSessionDuration: Duration.hours(1),
      assumedBy: new FederatedPrincipal(
        provider,
        { StringEquals: { [`${ISSUER}:aud`]: "sts.amazonaws.com", [`${ISSUER}:sub`]: subject(settings) } },
        "sts:AssumeRoleWithWebIdentity",
      ),
      inlinePolicies: {
        stacks: new PolicyDocument({ statements: [this.bootstrapRoles(settings)] }),
        code: new PolicyDocument({ statements: [this.functionCode(settings)] }),
        smoke: new PolicyDocument({ statements: smokeTest(held) }),
      },
    });
    new CfnOutput(this, "RoleArn", { value: this.role.roleArn });
  }

  /** CDK works with these; what they may do was decided at `cdk bootstrap`. */
  private bootstrapRoles({ bootstrapQualifier }: Settings): PolicyStatement {
    const { account, region } = this;
    const roles = ["deploy", "file-publishing", "lookup"].map((task) =>
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
    const actions = ["GetAlias", "GetFunction", "GetFunctionConfiguration", "ListVersionsByFunction"];
    const changes = ["PublishVersion", "UpdateAlias", "UpdateFunctionCode"];
    return allow(
      "MoveCode",
      [...actions, ...changes].map((action) => `lambda:${action}`),
      arns,
    );
  }
}

/** Who GitHub says the workflow is: one repository, and its environment or branch. */
function subject({ githubRepository, githubEnvironment, githubBranch }: Settings): string {
  const from = githubEnvironment ? `environment:${githubEnvironment}` : `ref:refs/heads/${githubBranch}`;
  return `repo:${githubRepository}:${from}`;
}

/** One event in, and a look at the lake for it. */
function smokeTest({ stream, lake, key }: Stored): PolicyStatement[] {
  return [
    ...(stream ? [allow("SendEvent", ["kinesis:PutRecord"], [stream.streamArn])] : []),
    allow("FindEvent", ["s3:ListBucket"], [lake.bucketArn], { StringLike: { "s3:prefix": [`${PREFIX.events}*`] } }),
    allow("ReadEvent", ["s3:GetObject"], [lake.arnForObjects(`${PREFIX.events}*`)]),
    ...(key ? [allow("UseKey", ["kms:Decrypt", "kms:GenerateDataKey"], [key.keyArn])] : []),
  ];
}
