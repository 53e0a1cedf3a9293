import { spawn } from "node:child_process";
import { setInterval } from "node:timers/promises";
import { processorSeconds } from "./processor-time.ts";

/** `broken`: the simulator itself failed, which says nothing of the bug. */
export interface Verdict {
  readonly kind: "found" | "clean" | "broken";
  /** Of the first violation. */
  readonly seed: number | undefined;
  readonly processorSeconds: number;
  /** The line that tells of the violation, or the last that was said. */
  readonly line: string;
}

const LOOK_MS = 200;
/** What `test/sim/run.ts` prints of a violation. */
const VIOLATION = /^seed (\d+): VIOLATION of (.*)$/m;
/** One process, until the first violation; its end comes by the processor time that it has used. */
const ARGUMENTS = ["test/sim/run.ts", "--processes", "1", "--violations", "1", "--seeds", "1000000000", "--seconds", "1000000"];

/**
 * Runs the simulator of the tree in `folder`, alone, until it finds something or has used its time.
 * @param secondsMax processor time of all its processes
 */
export async function simulate(folder: string, secondsMax: number, signal: AbortSignal): Promise<Verdict> {
  const child = spawn(process.execPath, ARGUMENTS, { cwd: folder, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const { pid } = child;
  if (pid === undefined) throw new Error(`the simulator in ${folder} did not start`);
  let said = "";
  let ended = false;
  const done = new AbortController();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      said += text;
    });
  }
  const end = new Promise<void>((resolve) => child.on("close", () => resolve())).then(() => {
    ended = true;
    done.abort();
  });
  let seconds = 0;
  try {
    for await (const _ of setInterval(LOOK_MS, undefined, { signal: AbortSignal.any([signal, done.signal]) })) {
      seconds = Math.max(seconds, processorSeconds(pid));
      if (seconds >= secondsMax || VIOLATION.test(said)) break;
    }
  } catch {
    // It has ended, or all of this is to end.
  }
  const finished = ended;
  if (!ended) process.kill(-pid, "SIGKILL");
  await end;
  const found = VIOLATION.exec(said);
  if (found !== null) return { kind: "found", seed: Number(found[1]), processorSeconds: seconds, line: found[2] ?? "" };
  return { kind: finished ? "broken" : "clean", seed: undefined, processorSeconds: seconds, line: said.trimEnd().split("\n").at(-1) ?? "" };
}
