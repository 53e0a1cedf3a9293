import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

/** Each with what to do instead. */
const IMPURE: readonly (readonly [RegExp, string])[] = [
  [/\bDate\b|\bperformance\b|\bTemporal\b/, "time is counted in ticks, which the driver gives"],
  [/\bMath\.random\b|\bcrypto\b/, "randomness comes as Config.random"],
  [/\bconsole\b/, "log through Config.log"],
  [/\bset(?:Timeout|Interval|Immediate)\b|\bqueueMicrotask\b|\bprocess\b|\bglobalThis\b/, "the driver decides when something runs"],
  [/(?<!#)\basync\b|\bawait\b|\bPromise\b/, "the core answers at once"],
  [/from "(?:node:|(?!\.\/)[^"]+")/, "the core imports nothing but its own files"],
];

/** The code without its comments; a line keeps its number. */
function codeOf(text: string): string[] {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ""))
    .split("\n")
    .map((line) => line.replace(/\/\/.*$/, ""));
}

function impurities(name: string, text: string): string[] {
  return codeOf(text).flatMap((line, at) =>
    IMPURE.filter(([pattern]) => pattern.test(line)).map(([, remedy]) => `${name}:${at + 1}: ${line.trim()}: ${remedy}`),
  );
}

test("the core is pure: no clock, randomness, I/O or import of its own", () => {
  const names = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
  expect(names.length).toBeGreaterThan(20);
  expect(names.flatMap((name) => impurities(name, readFileSync(join(import.meta.dirname, name), "utf8")))).toEqual([]);
});

test.each([
  "const now = Date.now();",
  "const drawn = Math.random();",
  'import { readFileSync } from "node:fs";',
  'import { seededRandom } from "../core/random.ts";',
  "console.log(1);",
  "setTimeout(run, 1);",
  "async function run() {}",
])("%s would be found", (line) => {
  expect(impurities("x.ts", `/** Date */\n// Math.random\n${line}\n`)).toHaveLength(1);
});
