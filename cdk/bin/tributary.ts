/** The CDK app. Settings: cdk.json, and `-c tributary:NAME=VALUE`; see README.md. */
import { App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";

import { ArtifactError } from "../lib/artifact.ts";
import { acknowledge } from "../lib/nag.ts";
import { settingsOfContext, SettingsError } from "../lib/settings.ts";
import { makeStacks } from "../lib/stacks.ts";

const app = new App();
try {
  const settings = settingsOfContext(app.node.getAllContext() as Record<string, unknown>);
  makeStacks(app, settings);
  acknowledge(app, settings.name);
} catch (error) {
  if (!(error instanceof SettingsError || error instanceof ArtifactError)) throw error;
  console.error(`tributary: ${error.message}`);
  process.exit(1);
}
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
