import { readFile } from "node:fs/promises";
import type { Host } from "./host.ts";
import type { RunRecord } from "./record.ts";

/** What no fault of a run excuses. */
const NEVER = /state of a member differs|that nobody expected|did not stop in order/;

/** Reads what the nodes logged as errors. @returns how often each was said, over all hosts */
export async function readErrors(
  record: RunRecord,
  hosts: readonly Pick<Host, "name" | "logFile">[],
): Promise<ReadonlyMap<string, number>> {
  const errors = new Map<string, number>();
  for (const host of hosts) {
    const text = await readFile(host.logFile, "utf8").catch(() => "");
    for (const line of text.split("\n")) {
      const said = errorOf(line);
      if (said === undefined) continue;
      errors.set(said, (errors.get(said) ?? 0) + 1);
      if (NEVER.test(said)) record.violation(`${host.name} logged an error: ${line}`);
    }
  }
  return errors;
}

/** A line that is no JSON is what Node itself says of a process that ends. */
export function errorOf(line: string): string | undefined {
  if (line === "") return undefined;
  try {
    const { level, msg } = JSON.parse(line) as { level?: unknown; msg?: unknown };
    return level === "error" ? String(msg) : undefined;
  } catch {
    return line;
  }
}
