import type { Clients } from "./clients.ts";
import type { Cluster } from "./cluster.ts";
import type { FaultAction } from "./faults.ts";

export interface NetworkFaultsOptions {
  readonly cluster: Cluster;
  /** One election timeout. */
  readonly timeoutMs: number;
  /** Of a message in good weather. */
  readonly delayMsMax: number;
  readonly clients: Clients;
  readonly later: (delayMs: number, run: () => void) => void;
}

const BACKLOG_MS = 10;
const ASKED_MS = 3;
/** Long enough for a log to be cut meanwhile. */
const LONG = 3;
const READS = 4;
const HUNTED_MS_MAX = 40;
const FRIEND_RATIO = 0.8;
/** The one with the slow disk: what it is told takes longer to be written than the next leader takes to say something else. */
const SLOW_FRIEND_RATIO = 0.5;
const STALLED_RATIO = 0.5;
const BEHIND_RATIO = 0.6;
const BEHIND_TIMEOUTS = 3;
const STALLED_MS_MAX = 60;
const BREAK_MS_MIN = 20;
const MORE = 4;

/** What a plan does to the network. */
export class NetworkFaults {
  readonly #options: NetworkFaultsOptions;

  constructor(options: NetworkFaultsOptions) {
    this.#options = options;
  }

  lose({ strength, durationMs }: FaultAction): void {
    const { weather } = this.#options.cluster.network;
    weather.lossRatio = 0.02 + 0.4 * strength;
    this.#options.later(durationMs, () => {
      weather.lossRatio = 0;
    });
  }

  reorder({ strength, durationMs }: FaultAction): void {
    const { cluster, delayMsMax, timeoutMs, later } = this.#options;
    const { weather } = cluster.network;
    cluster.count("reorder");
    weather.reorders = true;
    weather.delayMsMax = delayMsMax + 2 * timeoutMs * strength * strength;
    later(durationMs, () => {
      weather.reorders = false;
      weather.delayMsMax = delayMsMax;
    });
  }

  /** They may come when a term or two have passed. */
  duplicate({ strength, durationMs, variant }: FaultAction): void {
    const { weather } = this.#options.cluster.network;
    weather.duplicateRatio = 0.05 + 0.3 * strength;
    weather.duplicateMsMax = 4 * this.#options.timeoutMs * variant;
    this.#options.later(2 * durationMs, () => {
      weather.duplicateRatio = 0;
    });
  }

  breakStreams({ strength, durationMs }: FaultAction): void {
    const { weather } = this.#options.cluster.network;
    weather.breakRatio = 0.1 + 0.6 * strength;
    this.#options.later(durationMs * 4, () => {
      weather.breakRatio = 0;
    });
  }

  /** One direction of a link hangs, or all that one node sends, often the leader. */
  stall({ target, strength, variant, durationMs }: FaultAction): void {
    const { cluster } = this.#options;
    const ids = [...cluster.nodes.keys()];
    const from = (variant < 0.6 ? cluster.leader()?.id : undefined) ?? ids[Math.floor(target * ids.length)];
    const others = ids.filter((id) => id !== from);
    if (from === undefined || others.length === 0) return;
    cluster.count("stall");
    const to = others[Math.floor(strength * others.length)];
    for (const each of others) {
      if (variant < 0.5 && each === to) cluster.network.stallEntries(from, each, LONG * durationMs);
      else if (variant >= 0.8 || (variant >= 0.5 && each === to)) cluster.network.stall(from, each, durationMs);
    }
  }

  /** Stands still for longer than an election and cannot be reached afterwards; what it is asked then, it must not answer as leader. */
  zombieLeader({ durationMs, strength }: FaultAction): void {
    const { cluster, timeoutMs, delayMsMax, clients, later } = this.#options;
    const { network } = cluster;
    const leader = cluster.leader();
    if (leader === undefined) return;
    cluster.count("zombieLeader");
    const pauseMs = timeoutMs * (1 + 3 * strength);
    // Replies to what it asks now wait for it when it comes back, and confirm nothing of what it is asked by then.
    clients.read(leader);
    later(ASKED_MS, () => leader.pause(pauseMs, BACKLOG_MS));
    later(ASKED_MS + 1.5 * delayMsMax, () => {
      network.heal();
      for (const id of cluster.nodes.keys()) {
        if (id === leader.id) continue;
        network.cut(id, leader.id);
        network.cut(leader.id, id);
      }
    });
    for (let count = 0; count < READS; count += 1) later(pauseMs * (0.6 + 0.4 * (count / READS)), () => clients.read(leader));
    later(pauseMs + durationMs, () => network.heal());
  }

  /**
   * What connects the leader to a peer breaks while entries are on the peer's slow disk, and what says that they are committed is lost: often the
   * leader's log has been cut behind them by then, and the peer gets a snapshot of what it has.
   */
  breakLink({ target, strength, variant }: FaultAction): void {
    const { cluster, clients, timeoutMs, delayMsMax, later } = this.#options;
    const { network, nodes, world } = cluster;
    const leader = cluster.leader();
    const others = [...nodes.values()].filter((node) => node.running && node !== leader);
    const peer = others[Math.floor(target * others.length)];
    if (leader === undefined || peer === undefined) return;
    cluster.count("linkBreak");
    const cutMs = BREAK_MS_MIN + timeoutMs * strength;
    if (variant < 0.8) peer.weather.slow(world.now + timeoutMs, cutMs + timeoutMs * (1 + 3 * strength));
    clients.burst(leader, 5 + Math.floor(12 * strength));
    let arrivedMs = ASKED_MS + delayMsMax * (0.5 + variant);
    // Where nobody asks for more, a snapshot is of no more than what the peer has got.
    if (variant < 0.6) clients.rest(cutMs + timeoutMs);
    else leader.weather.slowWrites(world.now + timeoutMs, timeoutMs * strength);
    if (variant < 0.5) {
      // And of less where the last of it waits for other disks.
      const moreMs = ASKED_MS + delayMsMax * ((10 * target) % 1);
      arrivedMs += moreMs;
      later(moreMs, () => clients.burst(leader, MORE));
      later(ASKED_MS + moreMs, () => {
        for (const other of others) if (other !== peer) other.weather.slow(world.now + timeoutMs, cutMs + timeoutMs);
      });
    }
    later(arrivedMs, () => network.cut(leader.id, peer.id));
    later(arrivedMs + cutMs, () => {
      network.heal();
      network.breakLink(leader.id, peer.id);
    });
  }

  /** Whoever comes to lead takes on some work and is cut off from all but a friend: a chain of leaders, each with an end of the log of its own. */
  hunt({ target, strength, variant, durationMs }: FaultAction): void {
    const { cluster, clients, timeoutMs, delayMsMax, later } = this.#options;
    const { network, nodes, world } = cluster;
    const random = world.fork(Math.floor(target * 1e6));
    cluster.count("hunt");
    // All of them speak to one alone, whose disk is a leader or two behind: what one has said and the next has replaced, the first may say again before its first word is written.
    const behind = variant < BEHIND_RATIO;
    const [slow] = [...nodes.values()].filter((node) => node.running && node !== cluster.leader());
    const hunted = (id: number): void => {
      network.heal();
      const others = [...nodes.keys()].filter((each) => each !== id);
      const [dice, which] = [random.float(), random.float()];
      const any = dice < FRIEND_RATIO ? others[Math.floor(which * others.length)] : undefined;
      const friend = (behind || dice < SLOW_FRIEND_RATIO) && slow?.id !== id ? slow?.id : any;
      for (const other of others) {
        if (other === friend) continue;
        network.cut(id, other);
        network.cut(other, id);
      }
    };
    for (const node of nodes.values()) {
      node.onLead = () => {
        clients.burst(node, 1 + Math.floor(8 * random.float()));
        // Who has led before, and is free again when the next one is cut off, is often the first to stand.
        if (behind || random.float() < STALLED_RATIO) node.setRate(2);
        // A machine that is short of everything: what comes from the network and from its disk meanwhile, it learns of in one turn.
        const stallsAtMs = behind ? ASKED_MS + delayMsMax * (0.5 + 2.5 * random.float()) : STALLED_MS_MAX * random.float();
        const stalledMs = behind ? 5 + delayMsMax * (1 + 2 * random.float()) : 2 * timeoutMs * random.float();
        if (random.float() < STALLED_RATIO) later(stallsAtMs, () => slow?.pause(stalledMs, 0));
        later(behind ? 0 : HUNTED_MS_MAX * random.float(), () => hunted(node.id));
      };
    }
    const huntMs = (behind ? 8 : 4) * timeoutMs + 3 * durationMs;
    if (behind) slow?.weather.slow(world.now + huntMs, BEHIND_TIMEOUTS * timeoutMs);
    else if (variant < 0.8) slow?.weather.slow(world.now + huntMs, 8 * timeoutMs * strength);
    const leader = cluster.leader();
    if (leader !== undefined) {
      if (behind) clients.burst(leader, 1 + Math.floor(8 * random.float()));
      hunted(leader.id);
    }
    later(huntMs, () => {
      for (const node of nodes.values()) {
        node.onLead = undefined;
        node.setRate(1);
      }
      network.heal();
    });
  }

  cut(action: FaultAction): void {
    const { cluster, later } = this.#options;
    const { network } = cluster;
    network.heal();
    cluster.count(action.kind);
    if (action.kind === "isolateLeader") this.#isolateLeader(action.strength);
    else this.#split(action);
    if (action.kind === "shifting" && action.variant > 0.1) {
      const next = { ...action, target: (action.target * 997) % 1, variant: action.variant * 0.8 };
      later(action.durationMs / 4, () => this.cut(next));
    } else later(action.durationMs, () => network.heal());
  }

  /** It hears nobody, or nobody hears it, or both. */
  #isolateLeader(strength: number): void {
    const { network, nodes } = this.#options.cluster;
    const leader = this.#options.cluster.leader();
    if (leader === undefined) return;
    // What it takes on alone must go when it is back.
    if (strength < 0.8) this.#options.clients.burst(leader, 3 + Math.floor(10 * strength));
    for (const id of nodes.keys()) {
      if (id === leader.id) continue;
      if (strength < 0.7) network.cut(id, leader.id);
      if (strength > 0.2) network.cut(leader.id, id);
    }
  }

  #split({ kind, target, strength }: FaultAction): void {
    const { network, nodes, world } = this.#options.cluster;
    const random = world.fork(Math.floor(target * 1e6));
    const ids = [...nodes.keys()];
    const sides = new Map(ids.map((id) => [id, random.float() < 0.5]));
    for (const from of ids) {
      for (const to of ids) {
        if (from === to) continue;
        const apart = sides.get(from) !== sides.get(to);
        if (kind === "oneWay" ? random.float() < 0.2 + 0.4 * strength : apart) network.cut(from, to);
      }
    }
  }
}
