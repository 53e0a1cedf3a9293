import { deepEqual } from "node:assert/strict";
import { digestOf } from "../../src/core/digest.ts";
import { makeImage, type TestImage } from "../harness/image.ts";
import type { Host } from "./host.ts";
import type { HostCluster } from "./host-cluster.ts";
import { between } from "./network.ts";
import { type Answer, ask } from "./requests.ts";

/** G3: a host that is cut off refuses within 2 s; the rest is for a machine that has other things to do. */
const REFUSAL_MS = 2_000 + 1_500;
/** `http.deadline`: for so long a write waits through an election. */
const DEADLINE_MS = 10_000;
const PATIENCE_MS = 60_000;

export interface Scenario {
  /** For `--scenario`. */
  readonly key: string;
  /** A sentence that can be false. */
  readonly title: string;
  /** @returns what is worth printing @throws Error where the sentence is false */
  run(stage: Stage): Promise<string>;
}

type Cut = readonly (readonly [from: number, to: number])[];

/** A whole cluster of hosts, for one scenario after the other. */
export class Stage {
  readonly cluster: HostCluster;
  #images: number;

  constructor(cluster: HostCluster, seed: number) {
    this.cluster = cluster;
    this.#images = seed * 1_000_000;
  }

  get hosts(): readonly Host[] {
    return this.cluster.members;
  }

  async leader(): Promise<Host> {
    const { leader } = await this.cluster.status();
    const host = this.hosts.find(({ name }) => name === leader);
    if (host === undefined) throw new Error(`the leader ${leader} is no host of this run`);
    return host;
  }

  image(): TestImage {
    this.#images += 1;
    return makeImage(this.#images, 1, 40_000);
  }

  /** Pushes it through `host`; each step is tried again until it is done. */
  async push(host: Host, tag: string, image: TestImage): Promise<void> {
    for (const [digest, bytes] of image.blobs) {
      const path = `/v2/stage/app/blobs/uploads/?digest=${digest}`;
      await this.#done(`the push of a blob through ${host.name}`, 201, () => ask(host, "POST", path, { body: bytes }));
    }
    await this.#done(`the push of ${tag} through ${host.name}`, 201, () => this.put(host, tag, image));
  }

  put(host: Host, tag: string, { manifest, descriptor }: TestImage): Promise<Answer | undefined> {
    return ask(host, "PUT", `/v2/stage/app/manifests/${tag}`, { headers: { "content-type": descriptor.mediaType }, body: manifest });
  }

  async #done(what: string, status: number, attempt: () => Promise<Answer | undefined>): Promise<void> {
    let last: Answer | undefined;
    const isDone = async (): Promise<boolean> => {
      last = await attempt();
      return last?.status === status;
    };
    await this.cluster.until(what, isDone, PATIENCE_MS, () => `the last answer was ${last?.status ?? "none"}`);
  }

  /** Manifest by tag and by digest, and the blobs, all with the mark of a state that may be old, or all without it. */
  async pulls(host: Host, tag: string, image: TestImage, stale: boolean): Promise<void> {
    const base = "/v2/stage/app";
    const wanted: (readonly [string, string])[] = [
      [`${base}/manifests/${tag}`, image.descriptor.digest],
      [`${base}/manifests/${image.descriptor.digest}`, image.descriptor.digest],
      ...[...image.blobs.keys()].map((digest) => [`${base}/blobs/${digest}`, digest] as const),
    ];
    for (const [path, digest] of wanted) {
      const answer = await ask(host, "GET", path);
      const seen = { status: answer?.status, digest: answer === undefined ? undefined : digestOf(answer.bytes), stale: answer?.stale };
      deepEqual(seen, { status: 200, digest, stale }, `${host.name}, ${path}`);
    }
  }

  /** @returns the path of its session */
  async beginUpload(host: Host): Promise<string> {
    const answer = await ask(host, "POST", "/v2/stage/app/blobs/uploads/");
    const location = answer?.headers.get("location");
    if (answer?.status !== 202 || location === null || location === undefined)
      throw new Error(`${host.name} began no upload: ${answer?.status}`);
    return location;
  }

  /** @returns ms until it was refused with 503 and `Retry-After`, as G3 wants it */
  refused(host: Host, tag: string, image: TestImage): Promise<number> {
    return this.#refused(host, () => this.put(host, tag, image));
  }

  /** As `refused`, for bytes of an upload. */
  refusedUpload(host: Host, session: string): Promise<number> {
    const headers = { "content-type": "application/octet-stream", "content-range": "0-2" };
    return this.#refused(host, () => ask(host, "PATCH", session, { headers, body: Buffer.from("abc") }));
  }

  async #refused(host: Host, attempt: () => Promise<Answer | undefined>): Promise<number> {
    const begunMs = performance.now();
    const answer = await attempt();
    const tookMs = performance.now() - begunMs;
    deepEqual(
      { status: answer?.status, retry: answer?.headers.has("retry-after") },
      { status: 503, retry: true },
      `a write to ${host.name}`,
    );
    if (tookMs > REFUSAL_MS) throw new Error(`${host.name} refused a write after ${Math.round(tookMs)} ms; 2 s are allowed`);
    return tookMs;
  }

  /** One write without any retry. @returns ms until it was done */
  async written(host: Host, tag: string, image: TestImage): Promise<number> {
    const begunMs = performance.now();
    const answer = await this.put(host, tag, image);
    if (answer?.status !== 201) throw new Error(`a write to ${host.name} was answered ${answer?.status ?? "not at all"} instead of 201`);
    const tookMs = performance.now() - begunMs;
    if (tookMs > DEADLINE_MS) throw new Error(`a write to ${host.name} took ${Math.round(tookMs)} ms; http.deadline is 10 s`);
    return tookMs;
  }

  async knowsItIsCutOff(host: Host): Promise<void> {
    await this.cluster.until(`${host.name} knows that it is cut off`, async () => (await host.status()).cutOff);
  }

  /** Cuts for as long as `during` takes, and waits until the cluster is whole again. @returns ms from the end of the cut to that */
  async cut(pairs: Cut, during: () => Promise<void>): Promise<number> {
    await this.cluster.network.cut(pairs);
    try {
      await during();
    } finally {
      await this.cluster.network.mend(pairs);
    }
    const mendedMs = performance.now();
    await this.cluster.converged(PATIENCE_MS);
    return performance.now() - mendedMs;
  }
}

const ms = (value: number): string => `${Math.round(value)} ms`;
const numbersOf = (hosts: readonly Host[]): number[] => hosts.map(({ number }) => number);

const minority: Scenario = {
  key: "minority",
  title:
    "G3: a minority of two, one of which led, goes on with pulls and refuses writes within 2 s; the majority writes; after the heal all is one",
  async run(stage) {
    const leader = await stage.leader();
    const [second, ...others] = stage.hosts.filter((host) => host !== leader);
    const [old, fresh] = [stage.image(), stage.image()];
    await stage.push(leader, "minority", old);
    await stage.push(second!, "minority-next", fresh);
    for (const host of stage.hosts) await stage.pulls(host, "minority", old, false); // each has, or has cached, every byte now
    const upload = await stage.beginUpload(others[0]!); // its owner will be on the other side
    let worstMs = 0;
    let writtenMs = 0;
    const healedMs = await stage.cut(between(numbersOf([leader, second!]), numbersOf(others)), async () => {
      writtenMs = await stage.written(others[0]!, "minority", fresh);
      for (const host of [leader, second!]) {
        await stage.knowsItIsCutOff(host);
        await stage.pulls(host, "minority", old, true);
        worstMs = Math.max(worstMs, await stage.refused(host, "minority", old), await stage.refusedUpload(host, upload));
      }
    });
    for (const host of stage.hosts) await stage.pulls(host, "minority", fresh, false);
    return `the majority wrote after ${ms(writtenMs)}, the slowest refusal took ${ms(worstMs)}, whole ${ms(healedMs)} after the heal`;
  },
};

const noMajority: Scenario = {
  key: "no-majority",
  title: "G3: split two, two and one, every host pulls and none writes; after the heal writes go on",
  async run(stage) {
    const hosts = stage.hosts;
    const groups = [hosts.slice(0, 2), hosts.slice(2, 4), hosts.slice(4)].map(numbersOf);
    const image = stage.image();
    await stage.push(hosts[0]!, "nobody", image);
    for (const host of hosts) await stage.pulls(host, "nobody", image, false);
    let worstMs = 0;
    const pairs = groups.flatMap((group, at) => groups.slice(at + 1).flatMap((other) => between(group, other)));
    const healedMs = await stage.cut(pairs, async () => {
      for (const host of hosts) {
        await stage.knowsItIsCutOff(host);
        await stage.pulls(host, "nobody", image, true);
        worstMs = Math.max(worstMs, await stage.refused(host, "nobody-else", image));
      }
    });
    await stage.written(hosts[0]!, "nobody-else", image);
    for (const host of hosts) await stage.pulls(host, "nobody-else", image, false);
    return `the slowest refusal took ${ms(worstMs)}, whole ${ms(healedMs)} after the heal`;
  },
};

/** The leader and the others hear each other in one direction alone. */
function oneWay(key: string, title: string, pairOf: (leader: number, other: number) => readonly [number, number]): Scenario {
  return {
    key,
    title,
    async run(stage) {
      const leader = await stage.leader();
      const others = stage.hosts.filter((host) => host !== leader);
      const image = stage.image();
      await stage.push(others[0]!, key, image);
      let writtenMs = 0;
      let successor = "";
      const healedMs = await stage.cut(
        numbersOf(others).map((other) => pairOf(leader.number, other)),
        async () => {
          writtenMs = await stage.written(others[1]!, `${key}-next`, image);
          await stage.cluster.until("another host leads", async () => {
            const { leader: name, cutOff } = await others[0]!.status();
            successor = name ?? "";
            return !cutOff && name !== undefined && name !== leader.name;
          });
          await stage.pulls(others[2]!, `${key}-next`, image, false);
          await stage.knowsItIsCutOff(leader);
          await stage.refused(leader, `${key}-never`, image);
        },
      );
      for (const host of stage.hosts) await stage.pulls(host, `${key}-next`, image, false);
      return `${successor} leads instead of ${leader.name}, the first write took ${ms(writtenMs)}, whole ${ms(healedMs)} after the heal`;
    },
  };
}

const mute = oneWay(
  "mute-leader",
  "a leader that hears the others and is not heard loses its office: writes through the majority go on within http.deadline",
  (leader, other) => [leader, other],
);

const deaf = oneWay(
  "deaf-leader",
  "a leader that is heard and hears nobody steps down: writes through the majority go on within http.deadline",
  (leader, other) => [other, leader],
);

const bridge: Scenario = {
  key: "bridge",
  title:
    "two halves that share one host: writes go on through it, with the leader in either half, and what one half has acknowledged the other reads",
  async run(stage) {
    const leader = await stage.leader();
    const [middle, second, ...right] = stage.hosts.filter((host) => host !== leader);
    const left = [leader, second!];
    const image = stage.image();
    await stage.push(middle!, "bridge", image);
    let tookMs = 0;
    const healedMs = await stage.cut(between(numbersOf(left), numbersOf(right)), async () => {
      for (let round = 0; round < 5; round += 1) tookMs = Math.max(tookMs, await stage.written(middle!, `bridge-${round}`, image));
      await stage.pulls(middle!, "bridge-4", image, false);
    });
    for (const host of stage.hosts) await stage.pulls(host, "bridge-4", image, false);
    return `the slowest write through the shared host took ${ms(tookMs)}, whole ${ms(healedMs)} after the heal`;
  },
};

const leaderAlone: Scenario = {
  key: "bridge-leader",
  title: "the leader reaches one host alone, and that one reaches all: writes go on through it within http.deadline",
  async run(stage) {
    const leader = await stage.leader();
    const [middle, ...others] = stage.hosts.filter((host) => host !== leader);
    const image = stage.image();
    await stage.push(middle!, "chain", image);
    let tookMs = 0;
    const healedMs = await stage.cut(between([leader.number], numbersOf(others)), async () => {
      tookMs = await stage.written(middle!, "chain-next", image);
      await stage.pulls(others[0]!, "chain-next", image, false);
    });
    return `the first write through the shared host took ${ms(tookMs)}, whole ${ms(healedMs)} after the heal`;
  },
};

export const SCENARIOS: readonly Scenario[] = [minority, noMajority, mute, deaf, bridge, leaderAlone];
