/** Writing down permissions. */
import { Effect, PolicyStatement, type Conditions } from "aws-cdk-lib/aws-iam";

/** One statement that allows exactly these actions on exactly these resources. */
export function allow(sid: string, actions: string[], resources: string[], conditions?: Conditions): PolicyStatement {
  return new PolicyStatement({ sid, effect: Effect.ALLOW, actions, resources, ...(conditions ? { conditions } : {}) });
}

/** What has no resources to name: AWS's service authorization reference lists none for these actions. */
export const NO_RESOURCE_LEVEL = ["*"];
