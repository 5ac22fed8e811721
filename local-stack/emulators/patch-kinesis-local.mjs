// Makes kinesis-local 0.4.13 keep the hash of a stored record, and of an immutable Vector of them, once it is computed.
//
// Its PutRecords groups the records of a request by a key that holds all records of their shard, and so hashes every
// stored record once for every record put: with 20,000 records in four shards, a request of 500 takes two seconds, and the
// time grows with every record. With the hashes kept it takes a tenth of one. Neither a record nor a Vector ever changes,
// so their hashes do not either.
//
// Usage: node patch-kinesis-local.mjs PATH/TO/main.js
import { readFileSync, writeFileSync } from "node:fs";

// In this compiled version `Gw` is MurmurHash3.seqHash, `tSb` is scala.collection.immutable.Vector, and `UW` is
// kinesis.mock.models.KinesisRecord, whose hashCode (`e.j`) stands just before its equals (`e.e`).
const recordMethods = (hash) =>
  `e.j=function(){return ${hash}};e.h=function(){return Ly(S(),this)};e.e=function(a){if(this===a)return!0;if(a instanceof UW)`;
const replacements = [
  [
    "function Gw(a,b){",
    "function Gw(a,b){return b instanceof tSb?b.keptHash??=computeSeqHash(a,b):computeSeqHash(a,b)}" +
      "function computeSeqHash(a,b){",
  ],
  [recordMethods("Li(this,-889275714,!1)"), recordMethods("this.keptHash??=Li(this,-889275714,!1)")],
];

const [file] = process.argv.slice(2);
let source = readFileSync(file, "utf8");
for (const [before, after] of replacements) {
  if (source.includes(after) || source.split(before).length !== 2) {
    console.error(`${file}: this is not kinesis-local 0.4.13 as it is published; the patch does not apply`);
    process.exit(1);
  }
  source = source.replace(before, () => after);
}
writeFileSync(file, source);
