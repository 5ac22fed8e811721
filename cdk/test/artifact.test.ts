import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { artifactsFolder, checkBootstrap, checkedArtifact, CONTRACT, neededGlibc } from "../lib/artifact.ts";
import { elfHeader } from "./support.ts";

function written(bytes: Buffer): string {
  const file = join(mkdtempSync(join(tmpdir(), "tributary-artifact-")), "bootstrap");
  writeFileSync(file, bytes);
  return file;
}

/** A program that needs these versions of one library: section 1 has the needs, section 2 the strings. */
function elfThatNeeds(...versions: string[]): Buffer {
  const sectionSize = 64;
  const strings = Buffer.from(["", "libc.so.6", ...versions, ""].join("\0"), "latin1");
  const needs = Buffer.alloc(16 + 16 * versions.length);
  needs.writeUInt16LE(1, 0);
  needs.writeUInt16LE(versions.length, 2);
  needs.writeUInt32LE(1, 4);
  needs.writeUInt32LE(16, 8);
  versions.forEach((version, index) => {
    const at = 16 + 16 * index;
    needs.writeUInt32LE(strings.indexOf(version), at + 8);
    needs.writeUInt32LE(index + 1 < versions.length ? 16 : 0, at + 12);
  });
  const header = elfHeader(0xb7);
  header.writeBigUInt64LE(64n, 40);
  header.writeUInt16LE(sectionSize, 58);
  header.writeUInt16LE(3, 60);
  const table = Buffer.alloc(3 * sectionSize);
  const data = 64 + table.length;
  table.writeUInt32LE(0x6ffffffe, sectionSize + 4);
  table.writeBigUInt64LE(BigInt(data), sectionSize + 24);
  table.writeUInt32LE(2, sectionSize + 40);
  table.writeUInt32LE(1, sectionSize + 44);
  table.writeUInt32LE(3, 2 * sectionSize + 4);
  table.writeBigUInt64LE(BigInt(data + needs.length), 2 * sectionSize + 24);
  return Buffer.concat([header, table, needs, strings]);
}

test("a function that is not built is named, with the command that builds it", () => {
  assert.throws(() => checkedArtifact({ artifacts: "", architecture: "arm64" }, "no-such-function"), {
    message: "../target/deploy/arm64/no-such-function/bootstrap is not built: make functions ARCHITECTURE=arm64",
  });
});

test("a function of another contract than that of tables and jobs is refused, with the way", () => {
  const artifacts = mkdtempSync(join(tmpdir(), "tributary-artifact-"));
  const folder = join(artifacts, "ingest-kinesis");
  mkdirSync(folder);
  writeFileSync(join(folder, "bootstrap"), elfHeader(0xb7));
  const check = () => checkedArtifact({ artifacts, architecture: "arm64" }, "ingest-kinesis");
  const contract = join(folder, "contract.toml");
  assert.throws(check, { message: `${contract} is missing: make functions puts the contract there` });
  writeFileSync(contract, "# another\n");
  assert.throws(check, {
    message: `${contract} is not functions/events/contract.toml, which tables and jobs follow: put it there, make contract, make functions`,
  });
  copyFileSync(CONTRACT, contract);
  assert.equal(check(), folder);
});

test("each architecture has its own folder, and one of one's own can be named", () => {
  assert.equal(artifactsFolder({ artifacts: "", architecture: "x86_64" }), "../target/deploy/x86_64");
  assert.equal(artifactsFolder({ artifacts: "../target/lambda", architecture: "x86_64" }), "../target/lambda");
});

test("a program for the other processor is refused", () => {
  const file = written(elfHeader(0x3e));
  checkBootstrap(file, "x86_64");
  assert.throws(() => {
    checkBootstrap(file, "arm64");
  }, /is built for x86_64, architecture is arm64$/);
});

test("what is no program is refused", () => {
  assert.throws(() => {
    checkBootstrap(written(Buffer.from("#!/bin/sh\n")), "arm64");
  }, /no 64-bit Linux program/);
});

test("the newest glibc version that is needed decides", () => {
  assert.deepEqual(neededGlibc(elfThatNeeds("GLIBC_2.17", "GLIBC_2.30", "GLIBC_2.2.5", "GCC_9.0")), [2, 30]);
  checkBootstrap(written(elfThatNeeds("GLIBC_2.34")), "arm64");
  assert.throws(() => {
    checkBootstrap(written(elfThatNeeds("GLIBC_2.17", "GLIBC_2.39")), "arm64");
  }, /needs glibc 2\.39, Lambda has 2\.34/);
});
