import { afterEach, expect, test } from "vitest";
import { ask } from "../harness/client.ts";
import { type Cluster, type ClusterNode, startCluster } from "../harness/cluster.ts";
import { makeImage, picker, type TestImage } from "../harness/image.ts";
import { PatientClient } from "../harness/patient-client.ts";

/** It takes long: in CI, and where it is asked for. */
const SLOW = process.env.ROADSTEAD_SLOW === "1";
const ROUNDS = 4;
const PULLERS = SLOW ? 3 : 1;

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

/** Clients that push and pull without a pause. */
class Load {
  readonly failures: unknown[] = [];
  readonly clients: PatientClient[] = [];
  readonly #pushed: { readonly tag: string; readonly image: TestImage }[] = [];
  readonly #workers: Promise<void>[] = [];
  readonly #done: number[] = [];
  #stopped = false;
  readonly #pick = picker(1);
  #seed = 1;
  #wake: (() => void)[] = [];

  /** @param urls of the nodes; the first image is there before anybody pulls */
  static async begin(urls: readonly string[]): Promise<Load> {
    const load = new Load();
    const first = new PatientClient(urls, 0);
    await load.#push(first);
    first.close();
    load.#start(urls);
    return load;
  }

  #start(urls: readonly string[]): void {
    const add = (work: (client: PatientClient) => Promise<void>): void => {
      const at = this.clients.length;
      const client = new PatientClient(urls, at);
      this.clients.push(client);
      this.#done.push(0);
      this.#workers.push(this.#repeat(at, () => work(client)));
    };
    add((client) => this.#push(client));
    for (let at = 0; at < PULLERS; at += 1) add((client) => this.#pull(client));
  }

  get operations(): number {
    return this.#done.reduce((sum, count) => sum + count, 0);
  }

  async #push(client: PatientClient): Promise<void> {
    const seed = this.#seed++;
    const image = makeImage(seed, 1, SLOW && seed % 10 === 0 ? 6_000_000 : 20_000); // some layers are of several pieces
    await client.push("rolling/app", `v${seed}`, image);
    this.#pushed.push({ tag: `v${seed}`, image });
    if (this.#pushed.length > 20) this.#pushed.shift();
  }

  async #pull(client: PatientClient): Promise<void> {
    const { tag, image } = this.#pick(this.#pushed);
    await client.pull("rolling/app", tag, image);
  }

  async #repeat(at: number, work: () => Promise<void>): Promise<void> {
    while (!this.#stopped) {
      await work().catch((error: unknown) => void this.failures.push(error));
      this.#done[at] = (this.#done[at] ?? 0) + 1;
      for (const wake of this.#wake.splice(0)) wake();
    }
  }

  /** Resolves when each client has ended two more operations: one at least began after the call. */
  async eachOnceMore(): Promise<void> {
    const before = [...this.#done];
    while (this.#done.some((count, at) => count < (before[at] ?? 0) + 2)) await new Promise<void>((wake) => this.#wake.push(wake));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#workers);
    for (const client of this.clients) client.close();
  }
}

async function untilWritable(node: ClusterNode): Promise<void> {
  while ((await ask("GET", `${node.url}/readyz?writes`)).status !== 200);
}

test.runIf(SLOW)(
  `G2, G3: ${ROUNDS * 3} nodes are stopped and started in turn under a load, and no push fails that is retried, and no pull at all`,
  async () => {
    const running = await startCluster({ env: { ROADSTEAD_SHUTDOWN_DELAY: "200ms" } });
    cluster = running;
    const load = await Load.begin(running.nodes.map(({ url }) => url));
    await load.eachOnceMore();
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const node of running.nodes) {
        const before = load.operations;
        expect(await node.kill("SIGTERM")).toBe(0);
        await load.eachOnceMore(); // with one that is not there
        await node.start();
        await untilWritable(node);
        await load.eachOnceMore();
        expect(load.operations, "the clients went on").toBeGreaterThan(before);
        expect(load.failures).toEqual([]);
      }
    }
    await load.stop();
    expect(load.failures).toEqual([]);
    const sum = (of: (client: PatientClient) => number): number => load.clients.reduce((total, client) => total + of(client), 0);
    expect(
      sum(({ refused }) => refused),
      "nodes that were away were asked",
    ).toBeGreaterThan(0);
  },
  900_000,
);
