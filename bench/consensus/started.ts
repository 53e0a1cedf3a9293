import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { constants } from "node:os";

const running = new Set<ChildProcess>();

/** Remembers a process until it ends. */
export function started<T extends ChildProcess>(child: T): T {
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

/**
 * Who ends the measurement by a signal finds nothing of it left: no process, no folder.
 * @returns takes that back
 */
export function endOnSignal(folder: string): () => void {
  const end = (signal: "SIGINT" | "SIGTERM"): void => {
    const ended = [...running].map((child) => once(child, "exit"));
    for (const child of running) child.kill("SIGKILL");
    // What waits for them fails now: that is not what is to be told.
    process.removeAllListeners("uncaughtException").on("uncaughtException", () => undefined);
    void Promise.all(ended)
      .then(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))
      .finally(() => process.exit(128 + constants.signals[signal]));
  };
  process.once("SIGINT", end);
  process.once("SIGTERM", end);
  return () => {
    process.off("SIGINT", end);
    process.off("SIGTERM", end);
  };
}
