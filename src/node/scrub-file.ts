import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemCode } from "../core/errors.ts";
import type { ScrubMemory, ScrubPosition } from "../upkeep/scrub.ts";

const FILE = "scrub.json";

/** `scrub.json` in the data folder. It is not fsynced: where it is lost, the scrub begins anew. */
export function scrubFile(data: string): ScrubMemory {
  const path = join(data, FILE);
  return {
    async load() {
      const text = await readFile(path, "utf8").catch((error: unknown) => {
        if (systemCode(error) === "ENOENT") return "null";
        throw error;
      });
      return parsePosition(text);
    },
    async save(position) {
      await writeFile(`${path}.new`, `${JSON.stringify(position)}\n`, { mode: 0o600 });
      await rename(`${path}.new`, path);
    },
  };
}

function parsePosition(text: string): ScrubPosition | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { beganAtMs, after, endedAtMs } = value as Readonly<Record<string, unknown>>;
  if (typeof beganAtMs !== "number") return undefined;
  return {
    beganAtMs,
    after: typeof after === "string" ? after : undefined,
    endedAtMs: typeof endedAtMs === "number" ? endedAtMs : undefined,
  };
}
