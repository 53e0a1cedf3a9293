import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mountSmallDisk, SMALL_DISK_SKIPPED } from "../consensus/level/small-disk.ts";
import { lockDataFolder } from "./data-lock.ts";

test.skipIf(SMALL_DISK_SKIPPED !== "")(
  `a data folder on a full disk is locked on what is kept in reserve; where that is used up the line says what to do${SMALL_DISK_SKIPPED}`,
  async () => {
    const disk = mountSmallDisk(16);
    try {
      const data = join(disk.folder, "data");
      const reserve = join(data, "space.reserve");
      await mkdir(data);
      await writeFile(reserve, Buffer.alloc(2 ** 20));
      await (await lockDataFolder(data)).release();
      expect(existsSync(reserve)).toBe(true);
      await disk.fill();
      const lock = await lockDataFolder(data);
      expect(existsSync(reserve)).toBe(false);
      await lock.release();
      await disk.fill();
      await expect(lockDataFolder(data)).rejects.toMatchObject({
        code: "storage",
        message: expect.stringMatching(/No space left on device. The disk is full: free some 16 MiB on it, and start the node again/),
      });
    } finally {
      disk.unmount();
    }
  },
);
