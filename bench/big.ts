import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../src/core/digest.ts";
import { noise } from "../test/harness/image.ts";
import { download, quietDisk, upload } from "./load.ts";
import type { Row } from "./report.ts";
import type { Bench } from "./setups.ts";

const SIZE_BYTES = 1024 * 1024 * 1024;
const ROUNDS = 2;

/** A blob of 1 GiB pushed (a body of its own each round) and pulled, by curl: the better of two, MB/s. */
export async function bigSection(bench: Bench): Promise<readonly Row[]> {
  const put: Record<string, number> = {};
  const get: Record<string, number> = {};
  const setups = [bench.distribution, bench.alone, bench.leader, bench.follower];
  const rates = new Map(setups.map((setup) => [setup.name, { put: [] as number[], get: [] as number[] }]));
  for (let round = 0; round < ROUNDS; round += 1) {
    const file = join(bench.folder, "big");
    const bytes = noise(900 + round, SIZE_BYTES);
    const digest = digestOf(bytes);
    await writeFile(file, bytes);
    for (const setup of setups) {
      if (setup === bench.follower) bytes[0] = bytes[0]! ^ 0xff; // not the bytes that the leader has just got
      const own = setup === bench.follower ? digestOf(bytes) : digest;
      if (setup === bench.follower) await writeFile(file, bytes);
      await quietDisk(); // the file itself, and what distribution has left in the page cache
      const rate = rates.get(setup.name)!;
      rate.put.push((await upload(setup.url, "bench/big", file, own, SIZE_BYTES)).megabytesPerSecond);
      rate.get.push((await download(`${setup.url}/v2/bench/big/blobs/${own}`, SIZE_BYTES)).megabytesPerSecond);
    }
  }
  for (const [name, rate] of rates) {
    put[name] = Math.max(...rate.put);
    get[name] = Math.max(...rate.get);
  }
  const ratio = (values: Record<string, number>): number => (values.alone ?? 0) / (values.distribution ?? 1);
  return [
    { what: "push of 1 GiB", unit: "MB/s", values: put, bar: ">= 3.0 alone", ratio: ratio(put), note: "three: acks 2" },
    { what: "GET of 1 GiB", unit: "MB/s", values: get, bar: ">= 1.0", ratio: ratio(get), note: "copy on the node asked" },
  ];
}
