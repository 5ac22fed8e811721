/** What a knob is, and the kinds of knobs. */

/** What one knob is. */
export interface Knob<Value> {
  readonly default: Value;
  /** Completes "must be …". */
  readonly rule: string;
  readonly meaning: string;
  /** The value, or undefined when the rule is broken. Command-line values arrive as text. */
  readonly read: (given: unknown) => Value | undefined;
}

export function text(fallback: string, pattern: RegExp, rule: string, meaning: string): Knob<string> {
  return {
    default: fallback,
    rule,
    meaning,
    read: (given) => (typeof given === "string" && pattern.test(given) ? given : undefined),
  };
}

export function choice<const Value extends string>(values: readonly [Value, ...Value[]], meaning: string): Knob<Value> {
  return {
    default: values[0],
    rule: values.join(" or "),
    meaning,
    read: (given) => values.find((value) => value === given),
  };
}

export function integer(
  fallback: number,
  least: number,
  most: number,
  meaning: string,
  or: number[] = [],
): Knob<number> {
  return {
    default: fallback,
    rule: `${or.map((value) => `${String(value)}, or `).join("")}a whole number from ${String(least)} to ${String(most)}`,
    meaning,
    read: (given) => {
      const value = typeof given === "string" && /^-?\d+$/.test(given) ? Number(given) : given;
      const valid = typeof value === "number" && Number.isInteger(value);
      return valid && ((value >= least && value <= most) || or.includes(value)) ? value : undefined;
    },
  };
}

export function flag(fallback: boolean, meaning: string): Knob<boolean> {
  return {
    default: fallback,
    rule: "true or false",
    meaning,
    read: (given) =>
      given === true || given === "true" ? true : given === false || given === "false" ? false : undefined,
  };
}

export function parsed(given: unknown): unknown {
  if (typeof given !== "string") return given;
  try {
    return JSON.parse(given) as unknown;
  } catch {
    return undefined;
  }
}

export const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
export const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.length > 0 && value.every(isText);
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
