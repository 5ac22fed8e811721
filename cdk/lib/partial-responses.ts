/** One value that decides both what a mapping reads and what its function answers, so that they cannot disagree. */

/**
 * How a function says which records it has not committed.
 *
 * `off`: the invocation fails as a whole. `on`: the form for Kinesis. `partition` and `topic-partition`: the two forms
 * that AWS has documented for Kafka (https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html). A
 * mapping that does not read the answer takes it for a success, and the records that it names are lost.
 */
export type PartialResponses = "off" | "on" | "partition" | "topic-partition";

/** What the function is told by its environment, and what its mapping is told. */
export interface Agreement {
  readonly environment: Readonly<Record<string, string>>;
  readonly mapping: { readonly reportBatchItemFailures: boolean };
}

/** The variable of the function, and the FunctionResponseTypes of the mapping, for the same value. */
export const agreement = (value: PartialResponses): Agreement => ({
  environment: { TRIBUTARY_PARTIAL_RESPONSES: value },
  mapping: { reportBatchItemFailures: value !== "off" },
});
