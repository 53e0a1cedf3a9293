import { join } from "node:path";
import { OCI_MANIFEST } from "../src/core/media-types.ts";
import { makeImage, writeLayout } from "../test/harness/image.ts";
import { getRate, headRate, quietDisk, timed } from "./load.ts";
import { median, type Row } from "./report.ts";
import type { Bench, Setup } from "./setups.ts";

const CONNECTIONS = 64;
const IMAGE_LAYERS = 10;
const IMAGE_LAYER_BYTES = 20 * 1024 * 1024;

/** Small requests a second: manifests by tag and digest, HEAD, and a 10 KiB blob. */
export async function smallSection(bench: Bench, seconds: number): Promise<readonly Row[]> {
  const paths: readonly (readonly [string, string, boolean])[] = [
    ["GET manifest by tag", "manifests/v1", false],
    ["GET manifest by digest", `manifests/${bench.image.descriptor.digest}`, false],
    ["HEAD manifest by tag", "manifests/v1", true],
    ["GET 10 KiB blob", `blobs/${bench.small}`, false],
  ];
  const rows: Row[] = [];
  for (const [what, path, head] of paths) {
    const values: Record<string, number> = {};
    for (const setup of [bench.distribution, bench.alone, bench.leader, bench.follower]) {
      const url = `${setup.url}/v2/bench/app/${path}`;
      const rate = head ? headRate : getRate;
      await rate(url, { connections: CONNECTIONS, seconds: 2, accept: OCI_MANIFEST });
      values[setup.name] = await rate(url, { connections: CONNECTIONS, seconds, accept: OCI_MANIFEST });
    }
    rows.push({
      what,
      unit: "req/s",
      values,
      bar: ">= 10 alone, >= 3 of three",
      ratio: (values.alone ?? 0) / (values.distribution ?? 1),
      note: `${CONNECTIONS} connections`,
    });
  }
  return rows;
}

/** A 10 x 20 MiB image pushed and pulled by skopeo: median of three, each into a repository of its own. */
export async function imagesSection(bench: Bench): Promise<readonly Row[]> {
  const push: Record<string, number> = {};
  const pull: Record<string, number> = {};
  for (const setup of [bench.distribution, bench.alone, bench.leader, bench.follower]) {
    const times = { push: [] as number[], pull: [] as number[] };
    for (let round = 0; round < 3; round += 1) {
      const { pushed, pulled } = await oneImage(bench, setup, round);
      times.push.push(pushed);
      times.pull.push(pulled);
    }
    push[setup.name] = median(times.push);
    pull[setup.name] = median(times.pull);
  }
  const ratio = (values: Record<string, number>): number => (values.distribution ?? 0) / (values.alone ?? 1);
  return [
    { what: "skopeo push, 10 x 20 MiB", unit: "s", values: push, bar: ">= 1.0", ratio: ratio(push), note: "three: acks 2" },
    { what: "skopeo pull, 10 x 20 MiB", unit: "s", values: pull, bar: ">= 1.0", ratio: ratio(pull) },
  ];
}

async function oneImage(bench: Bench, setup: Setup, round: number): Promise<{ pushed: number; pulled: number }> {
  const key = `${setup.name.replaceAll(" ", "-")}-${round}`;
  const layout = join(bench.folder, `in-${key}`);
  const seed = 100 + round * 10 + [...setup.name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0);
  await writeLayout(layout, "v1", [makeImage(seed, IMAGE_LAYERS, IMAGE_LAYER_BYTES)]);
  await quietDisk();
  const remote = `docker://${setup.url.replace("http://", "")}/bench/image-${round}:v1`;
  const pushed = await timed("skopeo", ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", `oci:${layout}:v1`, remote]);
  const out = join(bench.folder, `out-${key}`);
  await quietDisk(); // what the push has left in the page cache is not to be written while the pull writes its own files
  const pulled = await timed("skopeo", ["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", remote, `dir:${out}`]);
  return { pushed, pulled };
}
