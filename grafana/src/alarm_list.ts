/** The panel that lists every alarm, with its condition and its place in the runbook. */
import { ALARMS, condition, runbook } from "./alarms.ts";
import { markdown } from "./panels.ts";

/** A list in Markdown, one line an alarm. */
export function alarmList() {
  const lines = ALARMS.map(
    (each) => `- [${each.name}](${runbook(each)}) (${each.severity}): ${each.summary}. ${condition(each)}.`,
  );
  return markdown("Alarms", lines.join("\n"), 10);
}
