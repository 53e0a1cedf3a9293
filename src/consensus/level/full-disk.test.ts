import { existsSync, mkdtempSync } from "node:fs";
import { cp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { seededRandom } from "../../core/random.ts";
import { LogModel, SOLE_VOTER } from "../log-model.ts";
import { DurableRaftLog } from "../raft-log.ts";
import { levelStorage } from "./level-storage.ts";
import { mountSmallDisk, SMALL_DISK_SKIPPED } from "./small-disk.ts";

test.skipIf(SMALL_DISK_SKIPPED !== "")(
  `G1: on a disk that something else fills the log goes on from its reserve; where nobody is to wait it ends once that is used up too, and nothing acknowledged is lost${SMALL_DISK_SKIPPED}`,
  async () => {
    const disk = mountSmallDisk(48);
    const { folder } = disk;
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
      await disk.fill();
      for (let count = 0; existsSync(join(folder, "space.reserve")) && count < 5_000; count += 1) await append();
      for (let count = 0; count < 50; count += 1) await append();
      expect([existsSync(join(folder, "space.reserve")), told]).toEqual([false, []]);
      // As a kill would leave it: what was written after the write that found no room is there.
      for (const name of ["raft", "raft.witness"]) await cp(join(folder, name), join(copy, name), { recursive: true });
      const killed = await DurableRaftLog.open({ storage: levelStorage(copy), fatal: () => undefined, bootstrap: SOLE_VOTER });
      expect(LogModel.of(killed).digest()).toBe(model.digest());
      await killed.close();
      await disk.free();
      await disk.fill();
      const appending = async (): Promise<never> => {
        for (;;) await append();
      };
      await expect(appending()).rejects.toMatchObject({ code: "storage", message: expect.stringContaining("The disk is full") });
      expect(told).toHaveLength(1);
      await log.close();
      await disk.free();
      const again = await open();
      expect(LogModel.of(again).digest()).toBe(model.digest());
      await again.close();
    } finally {
      disk.unmount();
      await rm(copy, { recursive: true, force: true });
    }
  },
);
