import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { digestOf } from "../src/core/digest.ts";
import { startCluster } from "../test/harness/cluster.ts";
import { noise } from "../test/harness/image.ts";
import { download, upload } from "./load.ts";
import { median, type Row } from "./report.ts";

const SIZE_BYTES = 512 * 1024 * 1024;
const ROUNDS = 3;
const BARE = new URL("./bare-stream.ts", import.meta.url).pathname;

/** A pull through a node that lacks the blob, beside a bare libp2p stream between two processes: same host code, no hash, no disk, no HTTP. */
export async function remoteSection(): Promise<readonly Row[]> {
  const bare = await bareStream();
  const cluster = await startCluster({ nodes: 3, env: { ROADSTEAD_DURABILITY_COPIES: "1", ROADSTEAD_DURABILITY_ACKS: "1" } });
  try {
    const [holder, asked] = cluster.nodes;
    const rates: number[] = [];
    const firsts: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const bytes = noise(7000 + round, SIZE_BYTES);
      const digest = digestOf(bytes);
      const file = join(cluster.folder, "remote");
      await writeFile(file, bytes);
      await upload(holder!.url, "remote/app", file, digest, SIZE_BYTES);
      const got = await download(`${asked!.url}/v2/remote/app/blobs/${digest}`, SIZE_BYTES);
      rates.push(got.megabytesPerSecond);
      firsts.push(got.firstByteMs);
    }
    return [
      { what: "bare libp2p stream, 512 MiB", unit: "MB/s", values: { "follower of 3": bare }, bar: "" },
      {
        what: "pull through a node that lacks the blob, 512 MiB",
        unit: "MB/s",
        values: { "follower of 3": median(rates) },
        bar: ">= 0.8 of the bare stream",
        ratio: median(rates) / bare,
      },
      { what: "time to its first byte", unit: "ms", values: { "follower of 3": median(firsts) }, bar: "< 50" },
    ];
  } finally {
    await cluster.stop();
  }
}

async function bareStream(): Promise<number> {
  const server = spawn(process.execPath, [BARE, "serve", `${SIZE_BYTES}`], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [line] = (await once(server.stdout, "data")) as [Buffer];
    const { peer, address } = JSON.parse(line.toString()) as { peer: string; address: string };
    const rates: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const { stdout } = await promisify(execFile)(process.execPath, [BARE, "fetch", peer, address, `${SIZE_BYTES}`]);
      rates.push(SIZE_BYTES / 1e6 / Number(stdout));
    }
    return median(rates);
  } finally {
    server.kill("SIGTERM");
    await once(server, "exit");
  }
}
