import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A file system of its own of a few MiB, for tests. */
export interface SmallDisk {
  readonly folder: string;
  /** Takes all the room that there is but for `leaveBytes`. */
  fill(leaveBytes?: number): Promise<void>;
  /** Gives back all that `fill` took. */
  free(): Promise<void>;
  unmount(): void;
}

/** Why none can be mounted here, for the title of a test; "" where one can. */
export const SMALL_DISK_SKIPPED = mountable() ? "" : " (skipped: needs root on Linux, to mount a tmpfs)";

export function mountSmallDisk(sizeMib: number): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), "small-disk-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeMib}m`, "roadstead-test", folder], { stdio: "ignore" });
  let fillers = 0;
  return {
    folder,
    async fill(leaveBytes = 0) {
      const { bsize, bavail } = await statfs(folder);
      fillers += 1;
      const sizeBytes = Math.max(0, bsize * bavail - leaveBytes);
      await writeFile(join(folder, `filler-${fillers}`), Buffer.alloc(sizeBytes)).catch(() => undefined);
    },
    async free() {
      for (; fillers > 0; fillers -= 1) await rm(join(folder, `filler-${fillers}`), { force: true });
    },
    unmount() {
      execFileSync("umount", ["--lazy", folder]);
      rmdirSync(folder);
    },
  };
}

function mountable(): boolean {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  try {
    mountSmallDisk(1).unmount();
    return true;
  } catch {
    return false;
  }
}
