import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmdirSync } from "node:fs";
import { cp, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { seededRandom } from "../../core/random.ts";
import { LogModel, SOLE_VOTER } from "../log-model.ts";
import { DurableRaftLog } from "../raft-log.ts";
import { levelStorage } from "./level-storage.ts";

/** A small disk, or undefined where none can be mounted. */
function mount(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "full-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=48m", "roadstead-test", folder], { stdio: "ignore" });
    return folder;
  } catch {
    rmdirSync(folder);
    return undefined;
  }
}

async function fill(folder: string): Promise<void> {
  const { bsize, bavail } = await statfs(folder);
  await writeFile(join(folder, "filler"), Buffer.alloc(bsize * bavail)).catch(() => undefined);
}

const disk = mount();
test.skipIf(disk === undefined)(
  `G1: on a disk that something else fills the log goes on from its reserve; once that is used up too, it ends, and nothing acknowledged is lost${disk === undefined ? " (skipped: needs root, to mount a tmpfs)" : ""}`,
  async () => {
    const folder = disk ?? "";
    const told: Error[] = [];
    const open = () =>
      DurableRaftLog.open({
        storage: levelStorage(folder, { reserve: true }),
        fatal: (error) => void told.push(error),
        bootstrap: SOLE_VOTER,
      });
    const copy = mkdtempSync(join(tmpdir(), "full-copy-"));
    const random = seededRandom(5);
    try {
      const log = await open();
      const model = LogModel.of(log);
      const append = async (): Promise<void> => {
        const work = model.randomWork(random);
        await log.append(work);
        model.apply(work);
      };
      for (let count = 0; count < 200; count += 1) await append();
      expect(existsSync(join(folder, "space.reserve"))).toBe(true);
      await fill(folder);
      for (let count = 0; existsSync(join(folder, "space.reserve")) && count < 5_000; count += 1) await append();
      for (let count = 0; count < 50; count += 1) await append();
      expect([existsSync(join(folder, "space.reserve")), told]).toEqual([false, []]);
      // As a kill would leave it: what was written after the write that found no room is there.
      for (const name of ["raft", "raft.witness"]) await cp(join(folder, name), join(copy, name), { recursive: true });
      const killed = await DurableRaftLog.open({ storage: levelStorage(copy), fatal: () => undefined, bootstrap: SOLE_VOTER });
      expect(LogModel.of(killed).digest()).toBe(model.digest());
      await killed.close();
      await rm(join(folder, "filler"));
      await fill(folder);
      const appending = async (): Promise<never> => {
        for (;;) await append();
      };
      await expect(appending()).rejects.toMatchObject({ code: "storage", message: expect.stringContaining("The disk is full") });
      expect(told).toHaveLength(1);
      await log.close();
      await rm(join(folder, "filler"));
      const again = await open();
      expect(LogModel.of(again).digest()).toBe(model.digest());
      await again.close();
    } finally {
      execFileSync("umount", ["--lazy", folder]);
      rmdirSync(folder);
      await rm(copy, { recursive: true, force: true });
    }
  },
);
