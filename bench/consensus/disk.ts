import { fdatasync, write } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Latencies, type Summary } from "./latencies.ts";

const COMMAND_BYTES = 128;

/** What the disk gives one writer: 128 bytes appended and fdatasynced, one after the other. */
export async function syncRate(folder: string, measuredMs: number): Promise<Summary> {
  const file = await open(join(folder, "sync-rate"), "a");
  const latencies = new Latencies();
  const bytes = Buffer.alloc(COMMAND_BYTES, 7);
  try {
    const end = performance.now() + measuredMs;
    for (let started = performance.now(); started < end; started = performance.now()) {
      await promisify(write)(file.fd, bytes);
      await promisify(fdatasync)(file.fd);
      latencies.add(performance.now() - started);
    }
  } finally {
    await file.close();
  }
  return latencies.summary(measuredMs);
}
