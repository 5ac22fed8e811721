/**
 * List prices of us-east-1 in US dollars, without free tiers and discounts, of AWS's public price pages.
 *
 * The pages could not be opened from where this was written: the figures are those that public documents quote from
 * them, last compared on PRICES_DATE.
 */

export const PRICES_DATE = "2026-11-25";

export const PRICES = {
  kinesis: { shardHour: 0.015, putUnits: 0.014 / 1e6, page: "aws.amazon.com/kinesis/data-streams/pricing" },
  lambda: { request: 0.2 / 1e6, gbSecondArm64: 0.0000133334, page: "aws.amazon.com/lambda/pricing" },
  s3: { putOrList: 0.005 / 1e3, gbMonth: 0.023, page: "aws.amazon.com/s3/pricing" },
  cloudWatch: {
    metricMonth: 0.3,
    putMetricData: 0.01 / 1e3,
    logGb: 0.5,
    alarmMonth: 0.1,
    page: "aws.amazon.com/cloudwatch/pricing",
  },
  xray: { trace: 5 / 1e6, page: "aws.amazon.com/xray/pricing" },
  kms: { keyMonth: 1, page: "aws.amazon.com/kms/pricing" },
  /** Of x86_64, the dearer one. */
  emrServerless: { vcpuHour: 0.052624, gbHour: 0.0057785, page: "aws.amazon.com/emr/pricing" },
  firehose: {
    /** Each tier: up to so many GB of the month, at so much a GB; Direct PUT and Kinesis as source. */
    ingestion: [
      { upToGb: 500 * 1024, gb: 0.029 },
      { upToGb: 2000 * 1024, gb: 0.025 },
      { upToGb: Infinity, gb: 0.02 },
    ],
    parquetGb: 0.018,
    /** Every record is billed as a multiple of this. */
    recordBytes: 5 * 1024,
    page: "aws.amazon.com/firehose/pricing",
  },
} as const;
