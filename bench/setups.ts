import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pushBlob, pushManifest } from "../test/harness/client.ts";
import { type Cluster, freePorts, startCluster } from "../test/harness/cluster.ts";
import { makeImage, noise, type TestImage } from "../test/harness/image.ts";
import { type Peer, SERVER_CORE, startDistribution } from "./load.ts";

/** One registry that is measured: a column of the table. */
export interface Setup {
  readonly name: string;
  readonly url: string;
  readonly pids: readonly number[];
}

export interface Bench {
  readonly folder: string;
  readonly peer: Peer;
  readonly alone: Setup;
  readonly leader: Setup;
  readonly follower: Setup;
  readonly distribution: Setup;
  readonly three: Cluster;
  readonly image: TestImage;
  readonly small: string;
  close(): Promise<void>;
}

const SMALL_BYTES = 10 * 1024;

/** Starts the peer, a node alone and a cluster of three, all on the server's core, and puts the same image into each. */
export async function openBench(): Promise<Bench> {
  await using started = new AsyncDisposableStack(); // what has started ends with whatever fails after it
  const folder = await mkdtemp(join(tmpdir(), "roadstead-bench-"));
  const [port = 0] = await freePorts(1);
  started.defer(() => rm(folder, { recursive: true, force: true }));
  const config = join(folder, "distribution.yml");
  const root = join(folder, "distribution");
  await mkdir(root);
  await writeFile(
    config,
    `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage:\n  filesystem: {rootdirectory: ${root}}\n  cache: {blobdescriptor: inmemory}\n  delete: {enabled: true}\nhttp: {addr: "127.0.0.1:${port}"}\n`,
  );
  const peer = await startDistribution(config, port);
  started.defer(() => peer.stop());
  const single = await startCluster({ nodes: 1, core: SERVER_CORE });
  started.defer(() => single.stop());
  const three = await startCluster({ nodes: 3, core: SERVER_CORE });
  started.defer(() => three.stop());
  const leader = await three.leader();
  const follower = three.nodes.find((node) => node !== leader)!;
  const image = makeImage(1, 3, 20_000);
  const setups = {
    distribution: { name: "distribution", url: peer.url, pids: [peer.child.pid ?? 0] },
    alone: { name: "alone", url: single.nodes[0]!.url, pids: [single.nodes[0]!.pid] },
    leader: { name: "leader of 3", url: leader.url, pids: [leader.pid] },
    follower: { name: "follower of 3", url: follower.url, pids: [follower.pid] },
  };
  let small = "";
  for (const { url } of [setups.distribution, setups.alone, setups.leader]) {
    for (const bytes of image.blobs.values()) await pushBlob(() => url, "bench/app", bytes);
    small = await pushBlob(() => url, "bench/app", noise(77, SMALL_BYTES));
    await pushManifest(url, "bench/app", "v1", image);
  }
  const running = started.move();
  return {
    folder,
    peer,
    ...setups,
    three,
    image,
    small,
    close: () => running.disposeAsync(),
  };
}
