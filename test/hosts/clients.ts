import { setTimeout as pause } from "node:timers/promises";
import { type Digest, digestOf } from "../../src/core/digest.ts";
import { type Random, seededRandom } from "../../src/core/random.ts";
import { makeImage, type TestImage } from "../harness/image.ts";
import type { Host } from "./host.ts";
import type { RunRecord, SentImage, TagOperation } from "./record.ts";
import { type Answer, ask, write } from "./requests.ts";
import { TagPool } from "./tag-pool.ts";

/** As docker does: a layer, or a manifest, is sent again a few times, after longer and longer pauses, and each time from its beginning. */
const TRIES = 5;
const RETRY_MS = 200;
/** What a person or a pipeline does between two commands. */
const THINK_MS = 300;
const READS_BACK = 3;
const REPOSITORIES = ["team/app", "team/base", "lab/tool"] as const;
/** Images without a tag, which are deleted by digest. */
const DOOMED = "lab/scratch";
const MIB = 1024 * 1024;

export interface ClientsOptions {
  readonly record: RunRecord;
  /** The hosts that DNS would name, as of now. */
  readonly hosts: () => readonly Host[];
  readonly seed: number;
  readonly count: number;
}

/** Clients that push, pull, move tags and delete, each request through a host of its own choosing, until they are stopped. */
export class Clients {
  readonly #tags: TagPool;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>[];

  constructor(options: ClientsOptions) {
    this.#tags = new TagPool(REPOSITORIES);
    this.#running = Array.from({ length: options.count }, (_, at) => {
      const client = new Client(`c${at + 1}`, options, this.#tags, seededRandom(options.seed * 1_000 + at), this.#stopping.signal);
      return client.run();
    });
  }

  /** All tags that were ever used, as `repository:tag`. */
  get tags(): readonly string[] {
    return this.#tags.all;
  }

  /** What was begun is ended. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running);
  }
}

class Client {
  readonly #name: string;
  readonly #options: ClientsOptions;
  readonly #tags: TagPool;
  readonly #random: Random;
  readonly #stopping: AbortSignal;
  #made = 0;

  constructor(name: string, options: ClientsOptions, tags: TagPool, random: Random, stopping: AbortSignal) {
    this.#name = name;
    this.#options = options;
    this.#tags = tags;
    this.#random = random;
    this.#stopping = stopping;
  }

  async run(): Promise<void> {
    const actions: readonly [weight: number, act: () => Promise<void>][] = [
      [20, () => this.#push()],
      [20, () => this.#retag()],
      [30, () => this.#readTag()],
      [20, () => this.#pull()],
      [6, () => this.#deleteTag()],
      [4, () => this.#dieByDigest()],
    ];
    const weighted = actions.flatMap(([weight, act]) => Array.from({ length: weight }, () => act));
    while (!this.#stopping.aborted) {
      const act = this.#pick(weighted);
      await act();
      await pause(this.#random.float() * 2 * THINK_MS);
    }
  }

  #pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#random.float() * items.length)]!;
  }

  #host(): Host {
    return this.#pick(this.#options.hosts());
  }

  async #push(): Promise<void> {
    const repository = this.#pick(REPOSITORIES);
    const image = await this.#sendBlobs(repository);
    if (image === undefined) return;
    await this.#tag(image, this.#tags.pick(repository, this.#random));
  }

  /** @returns undefined where it was given up, as docker would */
  async #sendBlobs(repository: string): Promise<SentImage | undefined> {
    const { record, seed } = this.#options;
    this.#made += 1;
    const own = (seed * 1_000 + Number(this.#name.slice(1))) * 10_000 + this.#made;
    // One in thirty is of several pieces.
    const layerBytes = this.#random.float() < 1 / 30 ? 5 * MIB : 5_000 + Math.floor(this.#random.float() * 60_000);
    const made: TestImage = makeImage(own, 1 + Math.floor(this.#random.float() * 2), layerBytes);
    for (const [digest, bytes] of made.blobs) {
      if (await this.#retried("a blob", () => this.#upload(repository, digest, bytes))) continue;
      record.count("pushes given up");
      return undefined;
    }
    const { manifest, descriptor } = made;
    return record.addImage({
      repository,
      manifest,
      mediaType: descriptor.mediaType,
      digest: descriptor.digest,
      blobs: [...made.blobs.keys()],
    });
  }

  async #retried(what: string, attempt: () => Promise<boolean>): Promise<boolean> {
    for (let at = 0; at < TRIES; at += 1) {
      if (await attempt()) return true;
      this.#options.record.count(`${what} sent again`);
      await pause(RETRY_MS * 2 ** at);
    }
    return false;
  }

  /** POST, PATCH, PUT, each through another host (G4). */
  async #upload(repository: string, digest: Digest, bytes: Uint8Array): Promise<boolean> {
    const { record } = this.#options;
    const begun = await write(record, "upload", this.#host(), "POST", `/v2/${repository}/blobs/uploads/`);
    if (begun?.status !== 202) return false;
    const headers = { "content-type": "application/octet-stream", "content-range": `0-${bytes.byteLength - 1}` };
    const sent = await write(record, "upload", this.#host(), "PATCH", locationOf(begun), { headers, body: bytes });
    if (sent?.status !== 202) return false;
    const location = locationOf(sent);
    const path = `${location}${location.includes("?") ? "&" : "?"}digest=${digest}`;
    return (await write(record, "upload", this.#host(), "PUT", path))?.status === 201;
  }

  /** Each try is an operation of its own: one without an answer may be done later, or never. */
  async #tag(image: SentImage, tag: string): Promise<void> {
    const { record } = this.#options;
    const done = await this.#retried("a manifest", async () => {
      const called = this.#call(image.repository, tag, { type: "put", value: image.number });
      const answer = await this.#putManifest(image, tag);
      if (answer?.status === 201) {
        called.returns(true);
        if (image.state === "sent") image.state = "kept";
        return true;
      }
      called.isLost();
      return false;
    });
    record.count(done ? "tags put" : "tags given up");
    if (done) await this.#readBack(image.repository, tag);
  }

  async #putManifest({ repository, mediaType, manifest, number }: SentImage, reference: string): Promise<Answer | undefined> {
    const { record } = this.#options;
    const host = this.#host();
    const path = `/v2/${repository}/manifests/${reference}`;
    const answer = await write(record, "manifest", host, "PUT", path, { headers: { "content-type": mediaType }, body: manifest });
    if (answer !== undefined && answer.status >= 400 && answer.status < 500) {
      record.violation(
        `G1: ${host.name} refused manifest ${number} of ${repository}, all blobs of which were acknowledged: ${answer.status} ${textOf(answer)}`,
      );
    }
    return answer;
  }

  /** Begins an operation on a tag; it has to be told how it ended. */
  #call(repository: string, tag: string, input: { type: "read" } | { type: "delete" } | { type: "put"; value: number }) {
    const { history } = this.#options.record;
    const name = `${repository}:${tag}`;
    const operation: TagOperation = { ...input, tag: name };
    const calledAt = performance.now();
    this.#tags.used(name);
    return {
      returns: (output: number | boolean | null): void => {
        history.push({ client: this.#name, input: operation, calledAt, returned: { at: performance.now(), output } });
      },
      isLost: (): void => {
        this.#tags.lost(name);
        history.push({ client: this.#name, input: operation, calledAt });
      },
    };
  }

  async #retag(): Promise<void> {
    const repository = this.#pick(REPOSITORIES);
    const kept = this.#options.record.images.filter((image) => image.state === "kept" && image.repository === repository);
    if (kept.length > 0) await this.#tag(this.#pick(kept), this.#tags.pick(repository, this.#random));
  }

  async #readTag(): Promise<void> {
    const repository = this.#pick(REPOSITORIES);
    await this.#read(repository, this.#tags.pick(repository, this.#random));
  }

  /** At once, through hosts that may not have heard of it yet (G2). */
  async #readBack(repository: string, tag: string): Promise<void> {
    await Promise.all(Array.from({ length: READS_BACK }, () => this.#read(repository, tag)));
  }

  async #read(repository: string, tag: string): Promise<void> {
    const { record } = this.#options;
    const called = this.#call(repository, tag, { type: "read" });
    const host = this.#host();
    const method = this.#random.float() < 0.5 ? "HEAD" : "GET";
    const answer = await ask(host, method, `/v2/${repository}/manifests/${tag}`);
    const read = readOf(record, host, answer);
    record.count(read.kind === "value" ? "tags read" : `tag reads: ${read.kind}`);
    if (read.kind === "value") called.returns(read.value);
  }

  async #deleteTag(): Promise<void> {
    const { record } = this.#options;
    const repository = this.#pick(REPOSITORIES);
    const tag = this.#tags.pick(repository, this.#random);
    const called = this.#call(repository, tag, { type: "delete" });
    const answer = await write(record, "delete", this.#host(), "DELETE", `/v2/${repository}/manifests/${tag}`);
    if (answer?.status === 202 || answer?.status === 404) called.returns(answer.status === 202);
    else called.isLost();
    record.count(answer?.status === 202 ? "tags deleted" : `tag deletions: ${answer?.status ?? "no answer"}`);
    if (answer?.status === 202) await this.#readBack(repository, tag);
  }

  /** Manifest and blobs of an image that stands, through one host; every byte is checked. */
  async #pull(): Promise<void> {
    const { record } = this.#options;
    const kept = record.images.filter(({ state }) => state === "kept");
    if (kept.length > 0) await pullImage(record, this.#host(), this.#pick(kept));
  }

  /** Pushes an image without a tag, and deletes it by its digest a while later. */
  async #dieByDigest(): Promise<void> {
    const { record } = this.#options;
    const doomed = record.images.filter((image) => image.repository === DOOMED && image.state === "kept");
    if (doomed.length < 3) {
      const image = await this.#sendBlobs(DOOMED);
      if (image === undefined) return;
      const stands = await this.#retried("a manifest", async () => (await this.#putManifest(image, image.digest))?.status === 201);
      if (stands) image.state = "kept";
      return;
    }
    const image = this.#pick(doomed);
    image.state = "dying";
    const answer = await write(record, "delete", this.#host(), "DELETE", `/v2/${DOOMED}/manifests/${image.digest}`);
    if (answer?.status === 202) image.state = "deleted";
    if (answer?.status === 404)
      record.violation(`G1: manifest ${image.number} of ${DOOMED} was acknowledged, and is not there to be deleted`);
    record.count(answer?.status === 202 ? "manifests deleted" : `manifest deletions: ${answer?.status ?? "no answer"}`);
  }
}

type TagRead = { readonly kind: "value"; readonly value: number | null } | { readonly kind: "stale" | "no answer" | "refused" };

/** What a host said of a tag. A digest that no client has sent is a violation. */
export function readOf(record: RunRecord, host: Host, answer: Answer | undefined): TagRead {
  if (answer === undefined) return { kind: "no answer" };
  if (answer.stale) return { kind: "stale" };
  if (answer.status === 404) return { kind: "value", value: null };
  if (answer.status !== 200) return { kind: "refused" };
  const digest = answer.headers.get("docker-content-digest");
  const image = record.imageOf(digest);
  if (image !== undefined) return { kind: "value", value: image.number };
  record.violation(`G2: ${host.name} gives a manifest that nobody has pushed: ${digest}`);
  return { kind: "refused" };
}

/** @returns whether all of it came; what must not be is recorded */
export async function pullImage(record: RunRecord, host: Host, image: SentImage): Promise<boolean> {
  const parts: (readonly [kind: string, digest: Digest])[] = [
    ["manifests", image.digest],
    ...image.blobs.map((digest) => ["blobs", digest] as const),
  ];
  for (const [kind, digest] of parts) {
    const answer = await ask(host, "GET", `/v2/${image.repository}/${kind}/${digest}`);
    if (answer?.status === 200 && digestOf(answer.bytes) === digest) continue;
    // One that was begun to be deleted meanwhile may be gone.
    if (answer?.status === 200)
      record.violation(`G6: ${host.name} gave a complete body of other bytes for ${digest} of image ${image.number}`);
    else if (answer?.status === 404 && !answer.stale && image.state === "kept")
      record.violation(`G1: ${host.name} has no ${digest} (${kind}) of image ${image.number}, which was acknowledged: ${textOf(answer)}`);
    record.count(answer?.stale === true ? "pulls: stale, in part" : `pulls: ${answer?.status ?? "no answer"}`);
    return false;
  }
  record.count("images pulled");
  return true;
}

function locationOf(answer: Answer): string {
  return (answer.headers.get("location") ?? "").replace(/^https?:\/\/[^/]+/, "");
}

function textOf(answer: Answer): string {
  return new TextDecoder().decode(answer.bytes.subarray(0, 300));
}
