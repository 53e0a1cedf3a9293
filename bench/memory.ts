import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { digestOf } from "../src/core/digest.ts";
import { type Cluster, type ClusterNode, startCluster } from "../test/harness/cluster.ts";
import { noise } from "../test/harness/image.ts";
import { download, residentMiB, upload } from "./load.ts";
import type { Row } from "./report.ts";

const GIB = 1024 * 1024 * 1024;
const BLOBS = 10;
const SAMPLE_MS = 200;
/** Of each node, where a transfer fails. */
const LOG_LINES = 40;

/** Resident memory when idle, and how far it rises while ten blobs of 1 GiB go in and out at once. */
export async function memorySection(): Promise<readonly Row[]> {
  const cluster = await startCluster({ nodes: 3 });
  let sampler: NodeJS.Timeout | undefined;
  try {
    const node = cluster.nodes.find((one) => one.running)!;
    await pause(15_000);
    const idle = await residentMiB(node.pid);
    let peak = idle;
    sampler = setInterval(() => {
      residentMiB(node.pid).then(
        (now) => {
          peak = Math.max(peak, now);
        },
        () => undefined, // it has ended: the transfers say so
      );
    }, SAMPLE_MS);
    await transfers(cluster, node);
    return [
      { what: "resident memory, idle member of three", unit: "MiB", values: { "leader of 3": idle }, bar: "< 150" },
      { what: `growth while ${BLOBS} x 1 GiB go in and out at once`, unit: "MiB", values: { "leader of 3": peak - idle }, bar: "<= 64" },
    ];
  } catch (error) {
    for (const { name, log } of cluster.nodes) {
      for (const line of log.slice(-LOG_LINES)) process.stderr.write(`${name}: ${JSON.stringify(line)}\n`);
    }
    throw error;
  } finally {
    clearInterval(sampler);
    await cluster.stop();
  }
}

async function transfers(cluster: Cluster, node: ClusterNode): Promise<void> {
  const file = join(cluster.folder, "blob");
  const bytes = noise(4242, GIB);
  await writeFile(file, bytes);
  const digest = digestOf(bytes);
  await upload(node.url, "memory/warm", file, digest, GIB);
  await Promise.all(
    Array.from({ length: BLOBS }, async (_, i) => {
      await Promise.all([upload(node.url, `memory/r${i}`, file, digest, GIB), download(`${node.url}/v2/memory/warm/blobs/${digest}`, GIB)]);
    }),
  );
}
