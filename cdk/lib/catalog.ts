/**
 * The tables that Athena finds the lake by. Partitions are computed from the date, never stored.
 *
 * Only Athena computes them: to Spark with the Glue catalog the tables have no partition and so no row
 * (https://docs.aws.amazon.com/athena/latest/ug/partition-projection.html, "Considerations and limitations"). The Spark
 * jobs read the prefixes themselves.
 */
import { Aws } from "aws-cdk-lib";
import { CfnDatabase, CfnTable } from "aws-cdk-lib/aws-glue";
import type { IBucket } from "aws-cdk-lib/aws-s3";
import { Construct } from "constructs";

import { PREFIX } from "./names.ts";
import type { Settings } from "./settings.ts";

type Column = readonly [name: string, type: string];

/** Columns of events/, in order: functions/pipeline/src/encode.rs. */
export const EVENTS_COLUMNS: readonly Column[] = [
  ["event_time", "timestamp"],
  ["device_type", "string"],
  ["device_id", "string"],
  ["event_duration", "double"],
  ["value", "double"],
  ["attributes", "string"],
  ["arrival_time", "timestamp"],
  ["shard", "string"],
  ["position", "string"],
  ["schema_version", "int"],
  ["event_id", "string"],
];

/** Columns of rollups/, in order. Rows merge: GROUP BY the first three, sums, minima and maxima of the others. */
export const ROLLUPS_COLUMNS: readonly Column[] = [
  ["window_start", "timestamp"],
  ["device_id", "string"],
  ["device_type", "string"],
  ["events", "bigint"],
  ["value_count", "bigint"],
  ["value_sum", "double"],
  ["value_min", "double"],
  ["value_max", "double"],
  ["duration_sum", "double"],
  ["duration_min", "double"],
  ["duration_max", "double"],
  ["late_events", "bigint"],
];

export class Catalog extends Construct {
  readonly database: string;

  constructor(scope: Construct, id: string, settings: Settings, lake: IBucket) {
    super(scope, id);
    this.database = settings.name.replaceAll("-", "_");
    const database = new CfnDatabase(this, "Database", {
      catalogId: Aws.ACCOUNT_ID,
      databaseInput: { name: this.database, description: "The lake of Tributary, for Athena" },
    });
    const table = (tableId: string, name: string, prefix: string, columns: readonly Column[]): void => {
      const location = `s3://${lake.bucketName}/${prefix}`;
      new CfnTable(this, tableId, {
        catalogId: Aws.ACCOUNT_ID,
        databaseName: this.database,
        tableInput: {
          name,
          description: "For Athena: Spark does not see partitions that are computed, it reads the prefix",
          tableType: "EXTERNAL_TABLE",
          partitionKeys: [{ name: "date", type: "string", comment: "UTC date of arrival" }],
          parameters: {
            classification: "parquet",
            "projection.enabled": "true",
            "projection.date.type": "date",
            "projection.date.format": "yyyy-MM-dd",
            "projection.date.range": `${settings.catalogFrom},NOW+1DAYS`,
            "storage.location.template": `${location}date=\${date}/`,
          },
          storageDescriptor: {
            location,
            columns: columns.map(([columnName, type]) => ({ name: columnName, type })),
            inputFormat: "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            outputFormat: "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
            serdeInfo: { serializationLibrary: "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe" },
          },
        },
      }).addResourceDependency(database);
    };
    table("Events", "events", PREFIX.events, EVENTS_COLUMNS);
    table("Rollups", "rollups", PREFIX.rollups, ROLLUPS_COLUMNS);
  }
}
