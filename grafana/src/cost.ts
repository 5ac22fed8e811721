/** What the pipeline costs a month at its present rate, as far as the rate decides it. */
import { math, type Query, statistic, sum } from "./queries.ts";

/** US dollars in us-east-1, from AWS's public price lists, as in cdk/COST.md. */
const PRICES = {
  lambdaRequest: 0.2 / 1_000_000,
  lambdaGigabyteSecond: 0.0000166667,
  kinesisPutUnit: 0.014 / 1_000_000,
  s3PutOrList: 0.005 / 1_000,
  cloudwatchPutMetricData: 0.01 / 1_000,
};

/** Memory of the function, in GB: 512 MB, its default. */
const MEMORY_GB = 0.5;

const PERIOD_SECONDS = 300;
const PERIODS_A_MONTH = (730 * 3600) / PERIOD_SECONDS;

/** A factor as a plain decimal: metric math knows no exponents. */
function factor(value: number): string {
  return value.toFixed(9).replace(/0+$/, "");
}

/** For the panels: what is counted, at which prices, and what is not. */
export const COST_DESCRIPTION = [
  `US dollars a month (730 h) at the rate of each five minutes, at prices of us-east-1.`,
  `Lambda: 0.20 a million invocations, ${String(PRICES.lambdaGigabyteSecond)} a GB-second at 512 MB.`,
  `Kinesis: 0.014 a million PUT units of 25 KB, one a record. S3: 0.005 a thousand, one PUT an object and one LIST an`,
  `invocation. CloudWatch: 0.01 a thousand PutMetricData, one an invocation.`,
  `Not in it, because the rate does not decide it: shards or the on-demand stream, storage, metrics, Spark.`,
].join(" ");

/** The parts and their sum, or the sum alone. */
export function costQueries({ totalOnly }: { totalOnly: boolean }): Query[] {
  const input = { hidden: true, period: PERIOD_SECONDS };
  const part = (id: string, expression: string, label: string) =>
    math(expression, label, { id, hidden: totalOnly, period: PERIOD_SECONDS });
  const times = (id: string, price: number) => `${id} * ${factor(price * PERIODS_A_MONTH)}`;
  const invocation = PRICES.lambdaRequest;
  return [
    sum("Invocations", "invocations", { ...input, id: "invocations" }),
    sum("Duration", "milliseconds", { ...input, id: "milliseconds" }),
    sum("RecordsReceived", "records", { ...input, id: "records" }),
    sum("ObjectsWritten", "objects", { ...input, id: "objects" }),
    statistic("BatchDuration", "SampleCount", "batches", { ...input, id: "batches" }),
    part(
      "lambda",
      `${times("invocations", invocation)} + ${times("milliseconds", (PRICES.lambdaGigabyteSecond * MEMORY_GB) / 1000)}`,
      "Lambda",
    ),
    part("kinesis", times("records", PRICES.kinesisPutUnit), "Kinesis PUT units"),
    part("s3", `(objects + batches) * ${factor(PRICES.s3PutOrList * PERIODS_A_MONTH)}`, "S3 requests"),
    part("cloudwatch", times("batches", PRICES.cloudwatchPutMetricData), "CloudWatch requests"),
    math("lambda + kinesis + s3 + cloudwatch", "total", { period: PERIOD_SECONDS }),
  ];
}
