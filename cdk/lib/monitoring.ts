/** Who is told when something is wrong, and where it is looked at. Stateless. The alarms stand with what they watch. */
import { Aws, CfnOutput, RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib";
import { CfnWorkspace } from "aws-cdk-lib/aws-grafana";
import { Effect, PolicyDocument, PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Key } from "aws-cdk-lib/aws-kms";
import { Topic } from "aws-cdk-lib/aws-sns";
import { EmailSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
import type { Construct } from "constructs";

import { topicName } from "./names.ts";
import { allow, NO_RESOURCE_LEVEL } from "./policy.ts";
import type { Settings } from "./settings.ts";

export class Monitoring extends Stack {
  readonly topic: Topic;

  constructor(scope: Construct, id: string, settings: Settings, props: StackProps) {
    super(scope, id, props);
    this.topic = this.makeTopic(settings);
    if (settings.managedGrafana) this.makeGrafana(settings);
    new CfnOutput(this, "TopicArn", { value: this.topic.topicArn });
  }

  /** CloudWatch cannot use SNS' own key, so the topic has one whose policy lets alarms in. */
  private makeTopic(settings: Settings): Topic {
    const fromAlarms = {
      principals: [new ServicePrincipal("cloudwatch.amazonaws.com")],
      conditions: { StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID } },
    };
    const key = new Key(this, "TopicKey", {
      alias: `${settings.name}-alarms`,
      description: "Tributary: the topic of the alarms",
      enableKeyRotation: true,
      // Nothing is kept that would need the key.
      removalPolicy: RemovalPolicy.DESTROY,
    });
    key.addToResourcePolicy(
      new PolicyStatement({
        sid: "Alarms",
        effect: Effect.ALLOW,
        actions: ["kms:Decrypt", "kms:GenerateDataKey"],
        resources: ["*"], // in a key policy: this key
        ...fromAlarms,
      }),
    );
    const topic = new Topic(this, "Topic", {
      topicName: topicName(settings),
      masterKey: key,
      enforceSSL: true,
    });
    topic.addToResourcePolicy(
      new PolicyStatement({
        sid: "Alarms",
        effect: Effect.ALLOW,
        actions: ["sns:Publish"],
        resources: [topic.topicArn],
        ...fromAlarms,
      }),
    );
    if (settings.alarmEmail) topic.addSubscription(new EmailSubscription(settings.alarmEmail));
    return topic;
  }

  private makeGrafana(settings: Settings): void {
    const cloudWatch = ["DescribeAlarms", "DescribeAlarmsForMetric", "GetMetricData", "ListMetrics"];
    const role = new Role(this, "GrafanaRole", {
      assumedBy: new ServicePrincipal("grafana.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID } },
      }),
      description: "Tributary: Grafana reads metrics",
      inlinePolicies: {
        read: new PolicyDocument({
          statements: [
            allow(
              "ReadMetrics",
              cloudWatch.map((action) => `cloudwatch:${action}`),
              NO_RESOURCE_LEVEL,
            ),
          ],
        }),
      },
    });
    const workspace = new CfnWorkspace(this, "Grafana", {
      name: settings.name,
      description: "Tributary's dashboards: grafana/dashboards",
      accountAccessType: "CURRENT_ACCOUNT",
      authenticationProviders: ["AWS_SSO"],
      permissionType: "CUSTOMER_MANAGED",
      dataSources: ["CLOUDWATCH"],
      roleArn: role.roleArn,
    });
    new CfnOutput(this, "GrafanaEndpoint", { value: workspace.attrEndpoint });
    new CfnOutput(this, "GrafanaId", { value: workspace.attrId });
  }
}
