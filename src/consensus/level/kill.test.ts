import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { seededRandom } from "../../core/random.ts";
import { LogModel, SOLE_VOTER } from "../log-model.ts";
import { DurableRaftLog } from "../raft-log.ts";
import { levelStorage } from "./level-storage.ts";

const WORKER = join(import.meta.dirname, "append-worker.ts");
const ROUNDS = process.env.ROADSTEAD_SLOW === "1" ? 200 : 10;
/** Written and not acknowledged when the process was killed: far more than the worker keeps in flight. */
const AHEAD_MAX = 64;
const random = seededRandom(Date.now() % 1_000_000);

const fatal = (error: Error): void => {
  throw error;
};

/** Appends in a process of its own, kills it while it writes, and answers how much was acknowledged. */
async function appendUntilKilled(folder: string, seed: number): Promise<number> {
  const child = spawn(process.execPath, [WORKER, folder, String(seed)], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const killAt = 1 + Math.floor(random.float() * 150);
  let acknowledged = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged = Number(line);
    if (acknowledged >= killAt) child.kill("SIGKILL");
  }
  const [code, signal] = await exited;
  expect([code, signal]).toEqual([null, "SIGKILL"]);
  return acknowledged;
}

/** The state that `seed` leads to after as many works as the log holds, at least `acknowledged`. */
function expectPrefix(log: DurableRaftLog, before: LogModel, seed: number, acknowledged: number): void {
  const generator = seededRandom(seed);
  const found = LogModel.of(log).digest();
  for (let made = 0; made < acknowledged + AHEAD_MAX; made += 1) {
    if (made >= acknowledged && before.digest() === found) return;
    before.apply(before.randomWork(generator));
  }
  throw new Error(`seed ${seed}: the log is at no state at or after the ${acknowledged} works that were acknowledged`);
}

test(`G1: a process killed in mid-write ${ROUNDS} times loses nothing that was acknowledged, and its log is whole each time`, async () => {
  const folder = await mkdtemp(join(tmpdir(), "kill-"));
  const open = () => DurableRaftLog.open({ storage: levelStorage(folder), fatal, bootstrap: SOLE_VOTER });
  try {
    let works = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const seed = Math.floor(random.float() * 2 ** 31);
      const log = await open();
      const before = LogModel.of(log);
      await log.close();
      const acknowledged = await appendUntilKilled(folder, seed);
      const again = await open();
      expectPrefix(again, before, seed, acknowledged);
      await again.close();
      works += acknowledged;
    }
    expect(works).toBeGreaterThanOrEqual(ROUNDS);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 3_600_000);
