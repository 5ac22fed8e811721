/** The committed files that the tests read, as they are. */
import { readFileSync } from "node:fs";

/** A query of a panel. */
export interface Target {
  refId: string;
  id: string;
  hide: boolean;
  expression: string;
  namespace: string;
  metricName: string;
  statistic: string;
  dimensions: Record<string, string>;
}

/** A panel or a row. */
export interface Panel {
  id: number;
  type: string;
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  links?: { url: string }[];
  targets?: Target[];
  options?: { content?: string };
  fieldConfig?: {
    defaults: { custom?: { thresholdsStyle: { mode: string } }; thresholds: { steps: { value: number | null }[] } };
  };
}

function read(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
}

/** The text of each committed dashboard, by the file's name. */
export const COMMITTED = Object.fromEntries(
  ["pipeline.json", "lake.json"].map((name) => [name, read(`dashboards/${name}`)]),
);

/** Panels of each dashboard, rows among them, in their order. */
export const DASHBOARDS = Object.entries(COMMITTED).map(([name, text]) => ({
  name,
  ...(JSON.parse(text) as { panels: Panel[]; templating: { list: { name: string }[] } }),
}));

/** Panels of all dashboards that have queries. */
export const PANELS = DASHBOARDS.flatMap(({ panels }) => panels).filter(({ targets }) => targets !== undefined);

/** The text of RUNBOOK.md. */
export const RUNBOOK = read("../RUNBOOK.md");
