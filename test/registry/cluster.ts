import { createHash } from "node:crypto";
import { createMemoryBlobStore, createMemoryUploads, type MemoryBlobStore } from "../../src/blobs/memory.ts";
import type { Uploads } from "../../src/blobs/uploads.ts";
import type { Applied, Consensus, ConsensusStatus, Freshness } from "../../src/consensus/consensus.ts";
import { MemoryConsensus } from "../../src/consensus/memory.ts";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { type Digest, digestOf } from "../../src/core/digest.ts";
import { OciError } from "../../src/core/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import { OCI_MANIFEST } from "../../src/core/media-types.ts";
import type { PeerId, RaftId } from "../../src/core/peer.ts";
import { seededRandom } from "../../src/core/random.ts";
import { parseReference, type RepositoryName, type Tag } from "../../src/core/reference.ts";
import type { Exchange } from "../../src/exchange/exchange.ts";
import { createMemoryHub, type MemoryHub } from "../../src/exchange/memory.ts";
import type { Command, Outcome } from "../../src/metadata/commands.ts";
import type { Lifetimes } from "../../src/metadata/records.ts";
import { factsOf } from "../../src/metadata/scenario.ts";
import type { RegistryLimits } from "../../src/registry/context.ts";
import { createRegistry } from "../../src/registry/create.ts";
import type { Caller, PutManifest, Registry } from "../../src/registry/registry.ts";
import type { Audit } from "../../src/upkeep/audit.ts";
import { type Draining, startDraining } from "../../src/upkeep/drain.ts";
import { Rebalance } from "../../src/upkeep/rebalance.ts";
import { Repair } from "../../src/upkeep/repair.ts";
import { type Settling, startSettling } from "../../src/upkeep/settle.ts";

// Several registries in one process: one catalog that all of them see, a store of their own for each, bytes over the memory hub.

export const ANYONE: Caller = { principal: "anonymous" };
export const NEVER: AbortSignal = new AbortController().signal;
/** Where the cluster's record names none. */
const COPIES = 3;
const REPAIR_AFTER_MS = 600_000;
const SECRET_HASH = createHash("sha256").update("secret").digest();

/** One node's view of the shared consensus: it may be cut off alone. */
class NodeConsensus implements Consensus {
  readonly self: RaftId;
  readonly shared: MemoryConsensus;
  readonly proposed: Command[] = [];
  cutOff = false;

  constructor(shared: MemoryConsensus, self: RaftId) {
    this.shared = shared;
    this.self = self;
  }

  get catalog(): MemoryConsensus["catalog"] {
    return this.shared.catalog;
  }

  async propose(command: Command, options: { readonly signal?: AbortSignal; readonly principal?: string } = {}): Promise<Outcome> {
    if (this.cutOff) throw new OciError("UNAVAILABLE", "no contact with a majority");
    this.proposed.push(command);
    return this.shared.propose(command, options);
  }

  async barrier(signal?: AbortSignal): Promise<Freshness> {
    signal?.throwIfAborted();
    return this.cutOff ? "cutOff" : "fresh";
  }

  status(): ConsensusStatus {
    return { ...this.shared.status(), self: this.self, cutOff: this.cutOff };
  }

  onApplied(listener: (applied: Applied) => void): () => void {
    return this.shared.onApplied(listener);
  }

  onSynced(listener: (index: number) => void): () => void {
    return this.shared.onSynced(listener);
  }

  onInstalled(listener: (index: number) => void): () => void {
    return this.shared.onInstalled(listener);
  }
}

export interface TestNode {
  readonly raftId: RaftId;
  readonly peerId: PeerId;
  readonly consensus: NodeConsensus;
  readonly blobs: MemoryBlobStore;
  readonly uploads: Uploads;
  readonly exchange: Exchange;
  readonly registry: Registry;
  readonly repair: Repair;
  readonly settling: Settling;
  readonly draining: Draining;
  /** Where the options give it a rate. */
  readonly rebalance: Rebalance | undefined;
}

export interface TestClusterOptions {
  readonly nodes?: number;
  readonly copies?: number;
  readonly acks?: number;
  readonly lifetimes?: Lifetimes;
  readonly clock?: Clock;
  readonly repairAfterMs?: number;
  /** Copies are moved to where placement wants them, under this rate; without it they stay. */
  readonly moveBytesPerSecond?: number;
  readonly limits?: Partial<RegistryLimits>;
  readonly sparse?: (repository: RepositoryName) => boolean;
  readonly assertLogRoom?: () => Promise<void>;
}

export class TestCluster {
  readonly shared = new MemoryConsensus();
  readonly hub: MemoryHub = createMemoryHub();
  readonly nodes: TestNode[] = [];
  readonly #options: TestClusterOptions;
  /** What the nodes noted for the audit trail. */
  readonly noted: Parameters<Audit["note"]>[0][] = [];
  readonly audit: Audit = { note: (event) => void this.noted.push(event) };
  readonly #stopping = new AbortController();

  private constructor(options: TestClusterOptions) {
    this.#options = options;
  }

  static async start(options: TestClusterOptions = {}): Promise<TestCluster> {
    const cluster = new TestCluster(options);
    const durability = { copies: options.copies ?? 3, acks: options.acks ?? 2 };
    const lifetimes = options.lifetimes === undefined ? {} : { lifetimes: options.lifetimes };
    const publicKey = new Uint8Array(1);
    await cluster.apply({ type: "cluster.init", clusterId: "test", publicKey, member: factsOf(1), durability, ...lifetimes });
    await cluster.apply({ type: "token.create", id: "t", hash: SECRET_HASH, uses: 100, ttlMs: 2 ** 40 });
    cluster.#build(1, 1);
    while (cluster.nodes.length < (options.nodes ?? 1)) await cluster.join();
    return cluster;
  }

  async join(): Promise<TestNode> {
    const number = this.nodes.length + 1;
    const outcome = await this.apply({ type: "member.add", member: factsOf(number), token: { id: "t", hash: SECRET_HASH } });
    return this.#build(number, outcome.value ?? 0);
  }

  /** A node with an empty disk takes the place of one that is gone. */
  async replace(old: TestNode): Promise<TestNode> {
    const number = this.nodes.length + 1;
    const token = { id: "t", hash: SECRET_HASH };
    const outcome = await this.apply({ type: "member.replace", old: old.raftId, member: factsOf(number), token, proven: true });
    this.#retire(old);
    return this.#build(number, outcome.value ?? 0);
  }

  #retire(old: TestNode): void {
    this.hub.cut(old.peerId);
    for (const loop of [old.repair, old.rebalance, old.draining, old.settling]) loop?.stop();
    this.nodes.splice(this.nodes.indexOf(old), 1);
  }

  #build(number: number, raftId: RaftId): TestNode {
    const { peerId } = factsOf(number);
    const clock = this.#options.clock ?? systemClock;
    const blobs = createMemoryBlobStore();
    const uploads = createMemoryUploads(blobs, { clock });
    const consensus = new NodeConsensus(this.shared, raftId);
    const exchange = this.hub.connect(peerId, blobs);
    const common = { consensus, blobs, exchange, clock, random: seededRandom(number), log: silentLog, self: { peerId, raftId } };
    const repair = this.repairOf({ raftId, peerId, consensus, blobs, exchange });
    const settling = startSettling({ consensus, blobs, clock, log: silentLog, self: raftId });
    const draining = startDraining({ consensus, self: raftId, copies: COPIES, clock, log: silentLog });
    const rebalance = this.#rebalanceOf({ raftId, consensus, blobs, exchange, repair });
    const registry = createRegistry({
      ...common,
      uploads,
      spreader: repair,
      limits: { ownerWaitMs: 0, ...this.#options.limits },
      assertLogRoom: () => this.#options.assertLogRoom?.() ?? Promise.resolve(),
      ...(this.#options.sparse === undefined ? {} : { allowsSparse: this.#options.sparse }),
    });
    const node = { raftId, peerId, consensus, blobs, uploads, exchange, registry, repair, settling, draining, rebalance };
    this.nodes.push(node);
    return node;
  }

  repairOf({
    raftId,
    peerId,
    consensus,
    blobs,
    exchange,
  }: Pick<TestNode, "raftId" | "peerId" | "consensus" | "blobs" | "exchange">): Repair {
    return new Repair({
      consensus,
      blobs,
      exchange,
      clock: this.#options.clock ?? systemClock,
      random: seededRandom(raftId),
      log: silentLog,
      self: { peerId, raftId },
      copies: COPIES,
      repairAfterMs: this.#options.repairAfterMs ?? REPAIR_AFTER_MS,
      audit: this.audit,
      deadlineMs: 0,
      stopping: this.#stopping.signal,
    });
  }

  #rebalanceOf(node: Pick<TestNode, "raftId" | "consensus" | "blobs" | "exchange" | "repair">): Rebalance | undefined {
    const { clock = systemClock, moveBytesPerSecond } = this.#options;
    if (moveBytesPerSecond === undefined) return undefined;
    const common = { copies: COPIES, bytesPerSecond: moveBytesPerSecond, stopping: this.#stopping.signal };
    return new Rebalance({ ...node, self: node.raftId, clock, log: silentLog, ...common });
  }

  node(number: number): TestNode {
    const node = this.nodes[number - 1];
    if (node === undefined) throw new Error(`there is no node ${number}`);
    return node;
  }

  async apply(command: Command): Promise<Outcome> {
    const outcome = await this.shared.propose(command);
    if (outcome.refused !== undefined) throw new Error(`${command.type} was refused: ${outcome.refused}`);
    return outcome;
  }

  /** Moves catalog time; one entry moves it by 10 s at most. */
  async passTime(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 10_000) {
      this.shared.stampMs = Math.min(left, 10_000);
      await this.shared.propose({ type: "clock.tick" });
    }
  }

  /** All that goes on behind answers has ended. */
  async idle(): Promise<void> {
    for (const { repair, settling, draining, rebalance } of this.nodes) {
      await repair.idle();
      await rebalance?.idle();
      await draining.idle();
      await settling.idle();
    }
  }

  stop(): void {
    this.#stopping.abort();
    for (const { repair, settling, draining, rebalance } of this.nodes) {
      repair.stop();
      rebalance?.stop();
      draining.stop();
      settling.stop();
    }
  }
}

/** Holds what this node is sent until the answer is called, as a slow disk would. */
export function holdReceives({ blobs }: TestNode): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { receive } = blobs;
  blobs.receive = async (...args) => {
    const facts = await receive.apply(blobs, args);
    await promise;
    return facts;
  };
  return resolve;
}

export async function* body(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

/** Pushes a blob whole through one node. */
export async function pushBlob(
  { registry }: TestNode,
  repository: RepositoryName,
  bytes: Uint8Array,
  digest = digestOf(bytes),
): Promise<Digest> {
  const { id } = await registry.startUpload(ANYONE, repository, "sha256", NEVER);
  await registry.finishUpload(ANYONE, { repository, id, body: body(bytes), digest }, NEVER);
  return digest;
}

export function descriptor(bytes: Uint8Array, mediaType = "application/octet-stream"): Record<string, unknown> {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}

export function imageOf(config: Uint8Array, layers: readonly Uint8Array[], more: Record<string, unknown> = {}): Uint8Array {
  const described = layers.map((layer) => descriptor(layer, "application/vnd.oci.image.layer.v1.tar"));
  return json({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptor(config, "application/vnd.oci.image.config.v1+json"),
    layers: described,
    ...more,
  });
}

export function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

export async function putManifest(
  { registry }: TestNode,
  repository: RepositoryName,
  bytes: Uint8Array,
  reference: Tag | Digest = digestOf(bytes),
  more: Partial<PutManifest> = {},
): Promise<Digest> {
  const parsed = parseReference(reference);
  if (parsed === undefined) throw new Error(`${reference} is no reference`);
  const put = { repository, reference: parsed, tags: [], mediaType: OCI_MANIFEST, bytes, ...more };
  return (await registry.putManifest(ANYONE, put, NEVER)).digest;
}

/** An image of two blobs, pushed through one node. */
export async function pushImage(node: TestNode, repository: RepositoryName, tag: Tag, seed = "image"): Promise<Digest> {
  const config = Buffer.from(`{"seed":"${seed}"}`);
  const layer = Buffer.from(`layer of ${seed}`);
  await pushBlob(node, repository, config);
  await pushBlob(node, repository, layer);
  return putManifest(node, repository, imageOf(config, [layer]), tag);
}
