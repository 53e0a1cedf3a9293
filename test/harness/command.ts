import { execFile } from "node:child_process";
import { join } from "node:path";

const MAIN = join(import.meta.dirname, "../../src/cli/main.ts");
const PATIENCE_MS = 60_000;

/** How a command ended that was to end by itself. */
export interface Ended {
  /** A signal's name where it had to be ended after a minute. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the CLI to its end, whatever that is. */
export function endOf(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, timeout: PATIENCE_MS, killSignal: "SIGKILL" } as const;
    const child = execFile(process.execPath, [MAIN, ...args], options, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? child.signalCode ?? "unknown", stdout, stderr }),
    );
  });
}
