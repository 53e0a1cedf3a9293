import { execFile } from "node:child_process";
import { program } from "./program.ts";

const PATIENCE_MS = 60_000;

/** How a command ended that was to end by itself. */
export interface Ended {
  /** A signal's name where it had to be ended after a minute. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the CLI to its end, whatever that is. */
export async function endOf(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const main = await program();
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, timeout: PATIENCE_MS, killSignal: "SIGKILL" } as const;
    const child = execFile(process.execPath, [main, ...args], options, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? child.signalCode ?? "unknown", stdout, stderr }),
    );
  });
}
