/** All stacks of one deployment. */
import { DefaultStackSynthesizer, Tags, type App, type StackProps } from "aws-cdk-lib";

import { DeployRole } from "./deploy-role.ts";
import { Ingest } from "./ingest.ts";
import { Monitoring } from "./monitoring.ts";
import { Query } from "./query.ts";
import type { Settings } from "./settings.ts";
import { Storage } from "./storage.ts";

export interface Stacks {
  readonly storage: Storage;
  readonly ingest: Ingest;
  readonly query: Query | undefined;
  readonly monitoring: Monitoring;
  readonly deployRole: DeployRole | undefined;
}

/** Adds the stacks to `app`. Account and region are those of whoever deploys. */
export function makeStacks(app: App, settings: Settings): Stacks {
  const { name } = settings;
  const described = (description: string): StackProps => ({
    description: `Tributary: ${description}`,
    // The CDK's command line looks at the version of the bootstrap itself; the rule in the template is for others.
    synthesizer: new DefaultStackSynthesizer({
      qualifier: settings.bootstrapQualifier,
      generateBootstrapVersionRule: false,
    }),
  });
  const storage = new Storage(app, `${name}-storage`, settings, described("lake, stream, artifacts"));
  const ingest = new Ingest(app, `${name}-ingest`, settings, storage, described("stream to lake"));
  const query = settings.query
    ? new Query(app, `${name}-query`, settings, storage, described("tables and report"))
    : undefined;
  const monitoring = new Monitoring(app, `${name}-monitoring`, settings, described("who is told"));
  const deployRole = settings.githubRepository
    ? new DeployRole(app, `${name}-deploy-role`, settings, storage, described("deployment by GitHub"))
    : undefined;
  for (const [key, value] of Object.entries({ project: name, ...settings.tags })) Tags.of(app).add(key, value);
  return { storage, ingest, query, monitoring, deployRole };
}
