/** Says whether built functions can run on Lambda: node --import tsx bin/check-artifact.ts ARCHITECTURE BOOTSTRAP... */
import { ArtifactError, checkBootstrap } from "../lib/artifact.ts";
import { KNOBS } from "../lib/settings.ts";

const [given, ...files] = process.argv.slice(2);
const architecture = KNOBS.architecture.read(given);
if (!architecture || files.length === 0) {
  console.error(`check-artifact: ARCHITECTURE is '${given ?? ""}', must be ${KNOBS.architecture.rule}; then files`);
  process.exit(2);
}
try {
  for (const file of files) checkBootstrap(file, architecture);
} catch (error) {
  if (!(error instanceof ArtifactError)) throw error;
  console.error(`check-artifact: ${error.message}`);
  process.exit(1);
}
