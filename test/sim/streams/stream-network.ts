import type { Stream } from "@libp2p/interface";
import { Libp2pTransport, type PeerHost } from "../../../src/consensus/libp2p/transport.ts";
import type { PeerMessage, Transport, TransportHandler } from "../../../src/consensus/transport.ts";
import type { Clock } from "../../../src/core/clock.ts";
import { silentLog } from "../../../src/core/log.ts";
import type { PeerId, RaftId } from "../../../src/core/peer.ts";
import type { Random } from "../../../src/core/random.ts";
import { describe } from "../describe.ts";
import type { Owner } from "../event-heap.ts";
import type { Count, Endpoint, NetworkWeather } from "../network.ts";
import { ViolationError, type World } from "../world.ts";
import { LinkRules } from "./link-rules.ts";
import { SimConnection } from "./sim-connection.ts";
import type { Carrier } from "./sim-stream.ts";

export interface StreamNetworkOptions {
  readonly world: World;
  readonly random: Random;
  readonly weather: Readonly<NetworkWeather>;
  readonly count: Count;
  /** Whether anything passes from one to the other now. */
  readonly reaches: (from: number, to: number) => boolean;
  /** When what hangs on the link goes on. */
  readonly stalledUntil: (from: number, to: number) => number;
  readonly delayMs: () => number;
  readonly observe: (from: number, message: PeerMessage) => void;
}

interface Host {
  readonly owner: Owner;
  readonly protocols: Map<string, (stream: Stream, from: PeerId) => Promise<void>>;
  readonly connections: Set<SimConnection>;
}

const CLUSTER = "sim";
/** Most of what is said goes into one frame of any size: what is left for the next one is to be seen too. */
const FRAMES_BYTES = [200, 1_000, 262_144] as const;
const WINDOWS_BYTES = [600, 20_000, 262_144] as const;
/** Of what is lost: the rest is sent again by TCP, and comes late. */
const BREAKS_OF_LOSSES = 0.05;
const SENT_AGAIN = 3;
const DIAL_FAILURE_RATIO = 0.1;

/** Under the real `Libp2pTransport`: connections and streams between processes, in the weather of the network. */
export class StreamNetwork implements Carrier {
  readonly windowBytes: number;
  readonly #frameBytes: number;
  readonly #options: StreamNetworkOptions;
  readonly #hosts = new Map<number, Host>();
  readonly #machines = new Map<number, Owner>();
  readonly #rules: LinkRules;
  /** What waits for a cut link. */
  #held: (() => void)[] = [];

  constructor(options: StreamNetworkOptions) {
    this.#options = options;
    this.#rules = new LinkRules((invariant, message) => options.world.fail(new ViolationError(invariant, message)));
    this.#frameBytes = FRAMES_BYTES[Math.floor(options.random.float() * FRAMES_BYTES.length)]!;
    this.windowBytes = WINDOWS_BYTES[Math.floor(options.random.float() * WINDOWS_BYTES.length)]!;
  }

  /** The real transport of one start of a process. */
  transport(endpoint: Endpoint, clock: Clock, started: () => void): Transport {
    const { owner, machine } = endpoint;
    const { observe } = this.#options;
    const host: Host = { owner, protocols: new Map(), connections: new Set() };
    const real = new Libp2pTransport({
      host: this.#peerHost(host),
      clusterId: CLUSTER,
      self: machine.id,
      peerOf,
      raftIdOf: (peer) => Number(peer),
      clock,
      log: silentLog,
      frameBytes: this.#frameBytes,
    });
    return {
      start: async (handler, boot) => {
        endpoint.handler = handler;
        endpoint.boot = boot;
        this.#machines.set(machine.id, machine);
        this.#hosts.set(machine.id, host);
        started();
        await real.start(this.#watched(machine.id, handler, boot.nonce), boot);
      },
      send: (to, messages) => {
        if (!owner.alive) return;
        for (const message of messages) observe(machine.id, message);
        if (endpoint.boot !== undefined) this.#rules.sent(endpoint.boot.nonce, to, messages);
        real.send(to, messages);
      },
      sendSnapshot: (to, header, chunks, signal) => real.sendSnapshot(to, header, chunks, signal),
      close: async () => {
        await real.close();
        this.down(owner);
      },
    };
  }

  down(owner: Owner): void {
    const host = this.#hosts.get(owner.id);
    if (host?.owner !== owner) return;
    this.#hosts.delete(owner.id);
    for (const connection of host.connections) connection.died(owner);
  }

  /** Links that were cut are whole again. */
  healed(): void {
    const held = this.#held;
    this.#held = [];
    for (const run of held) run();
  }

  /** What connects the two is lost, as by a reset from something between them. */
  breakLink(from: number, to: number): void {
    for (const connection of this.#hosts.get(from)?.connections ?? []) {
      if (connection.ends.every(({ id }) => id === from || id === to)) connection.break();
    }
  }

  readonly dice = (): number => this.#options.random.float();

  arrived(sizeBytes: number): void {
    this.#options.world.hash.add(sizeBytes);
  }

  carry(from: Owner, to: Owner, run: () => void): void {
    const { world, delayMs, stalledUntil } = this.#options;
    const delay = Math.max(delayMs(), stalledUntil(from.id, to.id) - world.now);
    world.after(delay, "message", to, () => {
      if (!this.#options.reaches(from.id, to.id)) {
        this.#options.count("cut");
        this.#held.push(() => this.carry(from, to, run));
      } else if (this.#isLost()) this.carry(from, to, run);
      else run();
    });
  }

  #isLost(): boolean {
    const { weather, random, count } = this.#options;
    if (weather.lossRatio === 0 || random.float() >= weather.lossRatio / SENT_AGAIN) return false;
    count("loss");
    return true;
  }

  #breaks(): boolean {
    const { weather, random, count } = this.#options;
    const ratio = Math.max(weather.breakRatio, weather.lossRatio) * BREAKS_OF_LOSSES;
    if (ratio === 0 || random.float() >= ratio) return false;
    count("connectionLost");
    return true;
  }

  #peerHost(host: Host): PeerHost {
    const { owner, protocols } = host;
    return {
      handle: async (protocol, handler) => {
        protocols.set(protocol, handler);
      },
      dial: (peer, protocol, signal) => this.#dial(host, Number(peer), protocol, signal),
      connection: (peer) => {
        const known = this.#connectionOf(host, Number(peer));
        return known === undefined ? undefined : { abort: (error) => known.abort(owner, error) };
      },
    };
  }

  #connectionOf({ owner, connections }: Host, to: number): SimConnection | undefined {
    for (const connection of connections) {
      if (!connection.isOpenFor(owner)) connections.delete(connection);
      else if (connection.ends.some(({ id }) => id === to)) return connection;
    }
    return undefined;
  }

  /** A round trip, over the connection that is there or a new one; over one whose other end is gone it fails, or takes until it is given up. */
  #dial(host: Host, to: number, protocol: string, signal: AbortSignal): Promise<Stream> {
    const { owner } = host;
    return new Promise<Stream>((resolve, reject) => {
      const machine = this.#machines.get(to);
      const fail = (error: string): void => this.carry(machine ?? owner, owner, () => reject(new Error(error)));
      signal.addEventListener("abort", () => reject(new Error("dialling was given up")), { once: true });
      const known = this.#connectionOf(host, to);
      known?.noticed();
      if (machine === undefined) {
        fail("nobody is there");
        return;
      }
      this.carry(owner, machine, () => {
        const target = this.#hosts.get(to);
        const connection = known ?? (target === undefined ? undefined : this.#connect(host, target));
        const handler = target?.protocols.get(protocol);
        if (target === undefined || connection === undefined || handler === undefined) fail("the connection was refused");
        else if (!connection.whole || this.#failsToDial()) fail("the connection was lost");
        else {
          const [near, far] = connection.open(owner);
          handler(far.stream, peerOf(owner.id)).catch((error) => far.abort(error));
          this.carry(target.owner, owner, () => {
            if (signal.aborted) near.abort(new Error("dialling was given up"));
            else resolve(near.stream);
          });
        }
      });
    });
  }

  #failsToDial(): boolean {
    const { weather, random, count } = this.#options;
    if (weather.lossRatio === 0 && weather.breakRatio === 0) return false;
    if (random.float() >= DIAL_FAILURE_RATIO) return false;
    count("dialFailure");
    return true;
  }

  #connect(host: Host, target: Host): SimConnection | undefined {
    if (!host.owner.alive) return undefined;
    const connection = new SimConnection({ carrier: this, ends: [host.owner, target.owner], breaks: () => this.#breaks() });
    host.connections.add(connection);
    target.connections.add(connection);
    return connection;
  }

  #watched(self: number, handler: TransportHandler, nonce: string): TransportHandler {
    const { world } = this.#options;
    return {
      receive: (from, boot, messages) => {
        world.note(() => `${from} > ${self}  ${messages.map(describe).join("; ")}`);
        this.#rules.arrived(boot.nonce, self, messages);
        return handler.receive(from, boot, messages);
      },
      refused: (by, refusal) => handler.refused(by, refusal),
      receiveSnapshot: (from, boot, header, chunks) => handler.receiveSnapshot(from, boot, header, chunks),
      unreachable: (to) => {
        world.note(() => `${self}: ${to} is unreachable`);
        this.#rules.lost(nonce, to);
        handler.unreachable(to);
      },
    };
  }
}

function peerOf(raftId: RaftId): PeerId {
  return String(raftId) as PeerId;
}
