/** What the pipeline costs a month at its present rate, as far as the rate decides it. */
import { PRICES } from "../../cdk/lib/prices.ts";
import { math, type Query, statistic, sum } from "./queries.ts";

/** Memory of the function, in GB: 512 MB, its default. */
const MEMORY_GB = 0.5;

const PERIOD_SECONDS = 300;
const PERIODS_A_MONTH = (730 * 3600) / PERIOD_SECONDS;

/** A factor as a plain decimal: metric math knows no exponents. */
function factor(value: number): string {
  return value.toFixed(9).replace(/0+$/, "");
}

/** The price of so many. */
function each(price: number, count: number): string {
  return String(Number((price * count).toPrecision(6)));
}

/** For the panels: what is counted, at which prices, and what is not. */
export const COST_DESCRIPTION = [
  `US dollars a month (730 h) at the rate of each five minutes, at prices of us-east-1.`,
  `Lambda: ${each(PRICES.lambda.request, 1e6)} a million invocations, ${String(PRICES.lambda.gbSecondArm64)} a GB-second at 512 MB, arm64.`,
  `Kinesis: ${each(PRICES.kinesis.putUnits, 1e6)} a million PUT units of 25 KB, one a record. S3: ${each(PRICES.s3.putOrList, 1e3)} a thousand, two PUTs an`,
  `object (its rollup) and one LIST an invocation. CloudWatch: ${each(PRICES.cloudWatch.putMetricData, 1e3)} a thousand PutMetricData, one an invocation.`,
  `Not in it, because the rate does not decide it: shards or the on-demand stream, storage, metrics, Spark.`,
].join(" ");

/** The parts and their sum, or the sum alone. */
export function costQueries({ totalOnly }: { totalOnly: boolean }): Query[] {
  const input = { hidden: true, period: PERIOD_SECONDS };
  const part = (id: string, expression: string, label: string) =>
    math(expression, label, { id, hidden: totalOnly, period: PERIOD_SECONDS });
  const times = (id: string, price: number) => `${id} * ${factor(price * PERIODS_A_MONTH)}`;
  return [
    sum("Invocations", "invocations", { ...input, id: "invocations" }),
    sum("Duration", "milliseconds", { ...input, id: "milliseconds" }),
    sum("RecordsReceived", "records", { ...input, id: "records" }),
    sum("ObjectsWritten", "objects", { ...input, id: "objects" }),
    statistic("BatchDuration", "SampleCount", "batches", { ...input, id: "batches" }),
    part(
      "lambda",
      `${times("invocations", PRICES.lambda.request)} + ${times("milliseconds", (PRICES.lambda.gbSecondArm64 * MEMORY_GB) / 1000)}`,
      "Lambda",
    ),
    part("kinesis", times("records", PRICES.kinesis.putUnits), "Kinesis PUT units"),
    part("s3", `(2 * objects + batches) * ${factor(PRICES.s3.putOrList * PERIODS_A_MONTH)}`, "S3 requests"),
    part("cloudwatch", times("batches", PRICES.cloudWatch.putMetricData), "CloudWatch requests"),
    math("lambda + kinesis + s3 + cloudwatch", "total", { period: PERIOD_SECONDS }),
  ];
}
