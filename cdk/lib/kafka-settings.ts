/** The knob of a Kafka or Redpanda topic. */
import { integer, isRecord, isText, isTexts, parsed } from "./knobs.ts";

const AUTHENTICATION = ["SASL_SCRAM_256", "SASL_SCRAM_512", "CLIENT_CERTIFICATE_TLS", "IAM"] as const;
const PARTIAL_RESPONSES = ["partition", "topic-partition", "off"] as const;

/** The mapping of a Kafka or Redpanda topic, beside that of the Kinesis stream or in its place. */
export interface KafkaSettings {
  /** ARN of an MSK cluster; or else `bootstrapServers` of a cluster of one's own. */
  clusterArn?: string;
  bootstrapServers?: string[];
  topic: string;
  consumerGroup: string;
  /** IAM is MSK's, and needs no secret. */
  authentication: (typeof AUTHENTICATION)[number];
  /** Secret in Secrets Manager: user name and password, or certificate and private key. */
  secretArn?: string;
  /** The key of one's own that the secret is encrypted with. MSK takes no other secret for SCRAM. */
  secretKeyArn?: string;
  /** Where Lambda's pollers reach `bootstrapServers`. An MSK cluster's are known to Lambda. */
  subnetIds?: string[];
  securityGroupIds?: string[];
  minimumPollers: number;
  maximumPollers: number;
  /** How the function answers, and whether the mapping reads it. As on the local stack unless set. */
  partialResponses: (typeof PARTIAL_RESPONSES)[number];
}

export const KAFKA_RULE =
  `an object with topic, consumerGroup, authentication (${AUTHENTICATION.join(", ")}), ` +
  "either clusterArn or bootstrapServers with subnetIds and securityGroupIds, secretArn unless authentication is IAM " +
  "(which needs clusterArn), secretKeyArn for SCRAM on MSK, minimumPollers not above maximumPollers (1 to 2000), and " +
  `partialResponses (${PARTIAL_RESPONSES.join(", ")}) if at all`;

const KEY_ARN = /^arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key\/[\w-]+$/;

/** The settings, or undefined when the rule is broken. */
export function readKafka(given: unknown): KafkaSettings | undefined {
  const value = parsed(given);
  if (!isRecord(value)) return undefined;
  const { clusterArn, bootstrapServers, topic, consumerGroup, secretArn, secretKeyArn } = value;
  const { subnetIds, securityGroupIds, minimumPollers = 1, maximumPollers = 10 } = value;
  const ownCluster = isTexts(bootstrapServers) && isTexts(subnetIds) && isTexts(securityGroupIds);
  const onMsk = isText(clusterArn);
  const authentication = AUTHENTICATION.find((name) => name === value.authentication);
  const partialResponses = PARTIAL_RESPONSES.find((name) => name === (value.partialResponses ?? PARTIAL_RESPONSES[0]));
  const pollers = integer(1, 1, 2000, "");
  const least = pollers.read(minimumPollers);
  const most = pollers.read(maximumPollers);
  if (!isText(topic) || !isText(consumerGroup) || onMsk === ownCluster) return undefined;
  if (!authentication || !partialResponses || least === undefined || most === undefined || least > most) {
    return undefined;
  }
  const iam = authentication === "IAM";
  if (isText(secretArn) === iam || (iam && !onMsk)) return undefined;
  const hasKey = typeof secretKeyArn === "string" && KEY_ARN.test(secretKeyArn);
  // https://docs.aws.amazon.com/msk/latest/developerguide/msk-password.html: a secret with the default key does not do.
  if ((secretKeyArn !== undefined && !hasKey) || (onMsk && authentication.startsWith("SASL_SCRAM") && !hasKey)) {
    return undefined;
  }
  return {
    ...(onMsk ? { clusterArn } : {}),
    ...(ownCluster ? { bootstrapServers, subnetIds, securityGroupIds } : {}),
    topic,
    consumerGroup,
    authentication,
    ...(isText(secretArn) ? { secretArn } : {}),
    ...(hasKey ? { secretKeyArn } : {}),
    minimumPollers: least,
    maximumPollers: most,
    partialResponses,
  };
}
