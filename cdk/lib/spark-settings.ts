/** Spark's settings of the nightly jobs, by the size of the lake: those of emr/tributary_emr/spark_settings.py; a test compares. */

type Size = "1GB" | "100GB" | "10TB";
type SparkConf = Readonly<Record<string, string>>;

/** For every size. */
export const COMMON: SparkConf = { "spark.sql.optimizer.windowGroupLimitThreshold": "-1" };

/**
 * For a job with the table: EMR brings Iceberg, but not on the class path
 * (https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/using-iceberg.html).
 */
export const TABLE: SparkConf = {
  "spark.jars": "/usr/share/aws/iceberg/lib/iceberg-spark3-runtime.jar",
  "spark.sql.catalogImplementation": "in-memory",
  "spark.sql.sources.parallelPartitionDiscovery.parallelism": "64",
};

/** By size: what depends on the data, and the workers of EMR Serverless. */
export const SIZES: Readonly<Record<Size, SparkConf>> = {
  "1GB": {
    "spark.sql.shuffle.partitions": "64",
    "spark.dynamicAllocation.maxExecutors": "4",
    "spark.driver.cores": "2",
    "spark.driver.memory": "6g",
    "spark.executor.cores": "4",
    "spark.executor.memory": "14g",
  },
  "100GB": {
    "spark.sql.shuffle.partitions": "2000",
    "spark.sql.files.maxPartitionBytes": "256m",
    "spark.dynamicAllocation.maxExecutors": "50",
    "spark.driver.cores": "4",
    "spark.driver.memory": "14g",
    "spark.executor.cores": "4",
    "spark.executor.memory": "14g",
    "spark.emr-serverless.executor.disk": "50g",
  },
  "10TB": {
    "spark.sql.shuffle.partitions": "40000",
    "spark.sql.files.maxPartitionBytes": "1g",
    "spark.dynamicAllocation.maxExecutors": "400",
    "spark.driver.cores": "8",
    "spark.driver.memory": "54g",
    "spark.executor.cores": "8",
    "spark.executor.memory": "54g",
    "spark.emr-serverless.executor.disk": "200g",
  },
};

/** What a commit of the compaction has at most, as its options. */
export const SLICES: Readonly<Record<Size, readonly string[]>> = {
  "1GB": [],
  "100GB": ["--slice-mib", "16384", "--slice-objects", "100000"],
  "10TB": ["--slice-mib", "131072", "--slice-objects", "400000"],
};

/** Parameters of spark-submit for a job with the table, on a lake of that size. */
export function sparkSubmit(size: Size): string {
  return Object.entries({ ...COMMON, ...TABLE, ...SIZES[size] })
    .map(([key, value]) => `--conf ${key}=${value}`)
    .join(" ");
}
