/** Checks of a built function before it is deployed, so that Lambda is not the first to find out. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { Settings } from "./settings.ts";

/** The C library of Lambda's runtime `provided.al2023`. */
export const LAMBDA_GLIBC: Version = [2, 34];

export type Version = readonly [major: number, minor: number];

/** An artifact that is missing or would not start; the message says which and what to do. */
export class ArtifactError extends Error {
  override readonly name = "ArtifactError";
}

/** The folder that holds each function's folder with its `bootstrap`, from cdk/. */
export function artifactsFolder({ artifacts, architecture }: Pick<Settings, "artifacts" | "architecture">): string {
  return artifacts === "" ? join("..", "target", "deploy", architecture) : artifacts;
}

/** The contract that the tables' columns and the Spark jobs' schema are generated from. */
export const CONTRACT = new URL("../../functions/events/contract.toml", import.meta.url);

/**
 * The folder of one built function. Throws ArtifactError unless it can start on Lambda with this architecture, and holds
 * events to the contract of the tables and jobs that are deployed with it.
 */
export function checkedArtifact(settings: Pick<Settings, "artifacts" | "architecture">, functionName: string): string {
  const folder = join(artifactsFolder(settings), functionName);
  checkBootstrap(join(folder, "bootstrap"), settings.architecture);
  const contract = join(folder, "contract.toml");
  if (!existsSync(contract)) {
    throw new ArtifactError(`${contract} is missing: make functions puts the contract there`);
  }
  if (!readFileSync(contract).equals(readFileSync(CONTRACT))) {
    throw new ArtifactError(
      `${contract} is not functions/events/contract.toml, which tables and jobs follow: put it there, make contract, make functions`,
    );
  }
  return folder;
}

/** Throws ArtifactError unless `file` is an executable for `architecture` that needs no newer C library than Lambda's. */
export function checkBootstrap(file: string, architecture: Settings["architecture"]): void {
  let elf: Buffer;
  try {
    elf = readFileSync(file);
  } catch {
    throw new ArtifactError(`${file} is not built: make functions ARCHITECTURE=${architecture}`);
  }
  const found = machineOf(elf);
  if (found !== architecture) {
    throw new ArtifactError(`${file} is built for ${found}, architecture is ${architecture}`);
  }
  const needed = neededGlibc(elf);
  if (newer(needed, LAMBDA_GLIBC)) {
    throw new ArtifactError(
      `${file} needs glibc ${needed.join(".")}, Lambda has ${LAMBDA_GLIBC.join(".")}: make functions builds against that`,
    );
  }
}

const newer = (a: Version, b: Version): boolean => a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);

const MACHINES = new Map<number, string>([
  [0x3e, "x86_64"],
  [0xb7, "arm64"],
]);

function machineOf(elf: Buffer): string {
  const isElf64 = elf.length >= 64 && elf.readUInt32BE(0) === 0x7f454c46 && elf[4] === 2;
  if (!isElf64) return "something that is no 64-bit Linux program";
  const machine = elf.readUInt16LE(18);
  return MACHINES.get(machine) ?? `machine ${String(machine)}`;
}

const SHT_GNU_VERNEED = 0x6ffffffe;

/**
 * The newest glibc version that a program asks for, [0, 0] when it asks for none (linked statically).
 *
 * Reads the section of needed versions: gABI, and the Linux Standard Base, "Symbol Versioning".
 */
export function neededGlibc(elf: Buffer): Version {
  const sections = sectionsOf(elf);
  let newest: Version = [0, 0];
  for (const section of sections.filter(({ type }) => type === SHT_GNU_VERNEED)) {
    const strings = sections[section.link];
    if (!strings) continue;
    for (const name of versionNames(elf, section, strings.offset)) {
      const [, major, minor] = /^GLIBC_(\d+)\.(\d+)/.exec(name) ?? [];
      const version: Version = [Number(major ?? 0), Number(minor ?? 0)];
      if (newer(version, newest)) newest = version;
    }
  }
  return newest;
}

interface Section {
  readonly type: number;
  readonly offset: number;
  /** Index of the section with its strings. */
  readonly link: number;
  /** Entries. */
  readonly info: number;
}

function sectionsOf(elf: Buffer): Section[] {
  const [offset, size, count] = [Number(elf.readBigUInt64LE(40)), elf.readUInt16LE(58), elf.readUInt16LE(60)];
  return Array.from({ length: count }, (_, index) => offset + index * size).map((at) => ({
    type: elf.readUInt32LE(at + 4),
    offset: Number(elf.readBigUInt64LE(at + 24)),
    link: elf.readUInt32LE(at + 40),
    info: elf.readUInt32LE(at + 44),
  }));
}

function* versionNames(elf: Buffer, section: Section, strings: number): Generator<string> {
  let library = section.offset;
  for (let libraries = section.info; libraries > 0; libraries--) {
    let version = library + elf.readUInt32LE(library + 8);
    for (let versions = elf.readUInt16LE(library + 2); versions > 0; versions--) {
      const name = strings + elf.readUInt32LE(version + 8);
      yield elf.toString("latin1", name, elf.indexOf(0, name));
      version += elf.readUInt32LE(version + 12);
    }
    library += elf.readUInt32LE(library + 12);
  }
}
