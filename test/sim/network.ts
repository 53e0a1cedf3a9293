import type { Boot, PeerMessage, Transport, TransportHandler } from "../../src/consensus/transport.ts";
import { decodePeerMessage, encodePeerMessage } from "../../src/consensus/wire.ts";
import type { Clock } from "../../src/core/clock.ts";
import type { Random } from "../../src/core/random.ts";
import { describe } from "./describe.ts";
import type { Owner } from "./event-heap.ts";
import { SnapshotStream } from "./snapshot-stream.ts";
import { StreamNetwork } from "./streams/stream-network.ts";
import type { World } from "./world.ts";

/** What the network does to messages; all ratios are of messages. */
export interface NetworkWeather {
  delayMsMin: number;
  delayMsMax: number;
  lossRatio: number;
  /** Messages of one link may overtake each other. */
  reorders: boolean;
  duplicateRatio: number;
  /** A duplicate comes up to so much later. */
  duplicateMsMax: number;
  /** Of the pieces of a snapshot's stream. */
  breakRatio: number;
}

/** One start of a node's process, as the network sees it. */
export interface Endpoint {
  readonly owner: Owner;
  /** The machine: it takes what arrives, also for the next start of the process. */
  readonly machine: Owner;
  handler: TransportHandler | undefined;
  boot: Boot | undefined;
}

/** Counts what a fault did, by its name. */
export type Count = (fault: string) => void;

/** One direction between two nodes. */
type Link = number;

const IDS_MAX = 2 ** 15;

function linkOf(from: number, to: number): Link {
  return from * IDS_MAX + to;
}

const REFUSED_MS = 1;
const STREAM_SLOWNESS_MAX = 20;

/** Between the nodes of a simulated cluster: the bytes of the real wire format, late, twice, out of order, or never. */
export class SimNetwork {
  readonly weather: NetworkWeather = {
    delayMsMin: 0,
    delayMsMax: 0,
    lossRatio: 0,
    reorders: false,
    duplicateRatio: 0,
    duplicateMsMax: 0,
    breakRatio: 0,
  };
  readonly #world: World;
  readonly #random: Random;
  readonly #count: Count;
  readonly #endpoints = new Map<number, Endpoint>();
  readonly #cut = new Set<Link>();
  readonly #arrivals = new Map<Link, number>();
  readonly #streams = new Set<SnapshotStream>();
  /** Until when nothing of a link comes through. */
  readonly #stalled = new Map<Link, number>();
  readonly #stuck = new Map<Link, number>();
  /** Sees each message as it leaves. */
  observe: (from: number, message: PeerMessage) => void = () => undefined;

  /** Where there are streams: the nodes run the transport of the product on them. */
  readonly #connections: StreamNetwork | undefined;

  /** @param streams whether nodes speak over connections and streams instead of handing over messages */
  constructor(world: World, random: Random, count: Count, streams: boolean) {
    this.#world = world;
    this.#random = random;
    this.#count = count;
    if (!streams) return;
    this.#connections = new StreamNetwork({
      world,
      random,
      weather: this.weather,
      count,
      reaches: (from, to) => this.reaches(from, to),
      stalledUntil: (from, to) => this.#stalled.get(linkOf(from, to)) ?? 0,
      delayMs: () => this.delayMs(),
      observe: (from, message) => this.observe(from, message),
    });
  }

  transport(endpoint: Endpoint, clock: Clock): Transport {
    const from = endpoint.machine.id;
    if (this.#connections !== undefined) return this.#connections.transport(endpoint, clock, () => this.#endpoints.set(from, endpoint));
    return {
      start: async (handler, boot) => {
        endpoint.handler = handler;
        endpoint.boot = boot;
        this.#endpoints.set(from, endpoint);
      },
      send: (to, messages) => {
        if (endpoint.owner.alive) this.#send(endpoint, to, messages);
      },
      sendSnapshot: (to, header, chunks, signal) => this.#sendSnapshot(endpoint, to, header, chunks, signal),
      close: async () => this.down(endpoint),
    };
  }

  /** Its process is gone: connections to it are refused, and its streams break. */
  down(endpoint: Endpoint): void {
    const { id } = endpoint.machine;
    if (this.#endpoints.get(id) === endpoint) this.#endpoints.delete(id);
    for (const stream of this.#streams) if (stream.from === id || stream.to === id) stream.break();
    this.#connections?.down(endpoint.owner);
  }

  cut(from: number, to: number): void {
    this.#cut.add(linkOf(from, to));
  }

  /** Nothing goes wrong any more, and messages take up to so long. */
  calm(delayMsMax: number): void {
    this.heal();
    Object.assign(this.weather, {
      delayMsMin: delayMsMax / 10,
      delayMsMax,
      lossRatio: 0,
      reorders: false,
      duplicateRatio: 0,
      breakRatio: 0,
    });
  }

  /** What is sent from one to the other meanwhile comes all at once at the end, as from a connection that hung. The sender is told. */
  stall(from: number, to: number, durationMs: number): void {
    this.#stalled.set(linkOf(from, to), this.#world.now + durationMs);
    this.#endpoints.get(from)?.handler?.unreachable(to);
  }

  /** The same for entries alone: what is short overtakes them. */
  stallEntries(from: number, to: number, durationMs: number): void {
    if (this.#connections !== undefined) {
      this.stall(from, to, durationMs);
      return;
    }
    this.#stuck.set(linkOf(from, to), this.#world.now + durationMs);
    this.#endpoints.get(from)?.handler?.unreachable(to);
  }

  /** What connects the two breaks, and works again at once. The sender is told. */
  breakLink(from: number, to: number): void {
    if (this.#connections === undefined) this.#endpoints.get(from)?.handler?.unreachable(to);
    else this.#connections.breakLink(from, to);
  }

  heal(): void {
    this.#stalled.clear();
    this.#stuck.clear();
    this.#cut.clear();
    this.#connections?.healed();
  }

  reaches(from: number, to: number): boolean {
    return this.#cut.size === 0 || !this.#cut.has(linkOf(from, to));
  }

  endpoint(id: number): Endpoint | undefined {
    return this.#endpoints.get(id);
  }

  delayMs(): number {
    const { delayMsMin, delayMsMax } = this.weather;
    return delayMsMin + this.#random.float() * (delayMsMax - delayMsMin);
  }

  #send(endpoint: Endpoint, to: number, messages: readonly PeerMessage[]): void {
    const from = endpoint.machine.id;
    const { weather } = this;
    const bodies: Uint8Array[] = [];
    for (const message of messages) {
      this.observe(from, message);
      if (weather.lossRatio > 0 && this.#random.float() < weather.lossRatio) {
        this.#count("loss");
        continue;
      }
      const bytes = encodePeerMessage(message);
      if (weather.duplicateRatio > 0 && this.#random.float() < weather.duplicateRatio) {
        this.#count("duplicate");
        this.#deliver(endpoint, to, [bytes], this.delayMs() + this.#random.float() * weather.duplicateMsMax);
      }
      const stuck = this.#stuck.size > 0 && isBulk(message) ? (this.#stuck.get(linkOf(from, to)) ?? 0) - this.#world.now : 0;
      if (stuck > 0) this.#deliver(endpoint, to, [bytes], stuck);
      else if (weather.reorders) this.#deliver(endpoint, to, [bytes], this.delayMs());
      else bodies.push(bytes);
    }
    if (bodies.length > 0) this.#deliver(endpoint, to, bodies, this.#inOrder(from, to));
    if (!this.#endpoints.has(to) && this.reaches(from, to)) this.#refuse(endpoint, to);
  }

  /** Not before what was sent on this link before it. */
  #inOrder(from: number, to: number): number {
    const link = linkOf(from, to);
    const at = Math.max(this.#world.now + this.delayMs(), (this.#arrivals.get(link) ?? 0) + 0.001, this.#stalled.get(link) ?? 0);
    this.#arrivals.set(link, at);
    return at - this.#world.now;
  }

  #deliver(sender: Endpoint, to: number, bodies: readonly Uint8Array[], delayMs: number): void {
    const target = this.#endpoints.get(to);
    const from = sender.machine.id;
    const { boot } = sender;
    if (target === undefined || boot === undefined) return;
    if (!this.reaches(from, to)) {
      this.#count("cut");
      return;
    }
    this.#world.after(delayMs, "message", target.machine, () => {
      // What was under way when the link was cut may still come through.
      const now = this.#endpoints.get(to);
      if (now?.handler === undefined) return;
      const messages = bodies.map(decodePeerMessage);
      for (const bytes of bodies) this.#world.hash.add(bytes.byteLength);
      this.#world.note(() => `${from} > ${to}  ${messages.map(describe).join("; ")}`);
      const refusal = now.handler.receive(from, boot, messages);
      if (refusal === undefined) return;
      this.#world.after(this.delayMs(), "message", sender.machine, () => this.#endpoints.get(from)?.handler?.refused(to, refusal));
    });
  }

  #refuse(endpoint: Endpoint, to: number): void {
    this.#world.after(REFUSED_MS, "message", endpoint.owner, () => {
      if (!this.#endpoints.has(to)) endpoint.handler?.unreachable(to);
    });
  }

  async #sendSnapshot(
    endpoint: Endpoint,
    to: number,
    header: Uint8Array,
    chunks: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const from = endpoint.machine.id;
    const { boot } = endpoint;
    if (boot === undefined) throw new Error(`${from} has not started`);
    // A long stream is overtaken by what comes beside it.
    const slowness = this.#random.float() < 0.3 ? 1 + STREAM_SLOWNESS_MAX * this.#random.float() : 1;
    const stream = new SnapshotStream({
      world: this.#world,
      random: this.#random,
      from,
      to,
      boot,
      sender: endpoint.owner,
      delayMs: () => slowness * this.delayMs(),
      open: () => this.reaches(from, to) && this.reaches(to, from),
      breaks: () => {
        if (this.weather.breakRatio === 0 || this.#random.float() >= this.weather.breakRatio) return false;
        this.#count("snapshotCut");
        return true;
      },
    });
    this.#streams.add(stream);
    try {
      return await stream.run(() => this.#endpoints.get(to), header, chunks, signal);
    } finally {
      this.#streams.delete(stream);
    }
  }
}

function isBulk(message: PeerMessage): boolean {
  return message.kind === "raft" && message.message.type === "append" && message.message.entries.length > 0;
}
