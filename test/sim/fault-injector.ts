import type { Cluster } from "./cluster.ts";
import type { FaultAction } from "./faults.ts";
import type { MembershipChurn } from "./membership.ts";
import type { Settings } from "./settings.ts";
import type { SimNode } from "./sim-node.ts";

/** Makes a plan's actions happen, to whom they fit at that moment. */
export class FaultInjector {
  readonly #cluster: Cluster;
  readonly #settings: Settings;
  readonly #churn: MembershipChurn;
  readonly #timeoutMs: number;
  #ended = false;

  constructor(cluster: Cluster, settings: Settings, churn: MembershipChurn) {
    this.#cluster = cluster;
    this.#settings = settings;
    this.#churn = churn;
    this.#timeoutMs = settings.timing.tickMs * settings.timing.electionTicks;
  }

  start(plan: readonly FaultAction[]): void {
    for (const action of plan) {
      this.#cluster.world.after(action.atMs, "fault", undefined, () => {
        if (!this.#ended) this.#apply(action);
      });
    }
  }

  /** Good weather: what is left to happen does not, and every node that may run does. */
  end(): void {
    this.#ended = true;
    const { network, nodes } = this.#cluster;
    network.heal();
    Object.assign(network.weather, this.#calm());
    for (const node of nodes.values()) {
      node.machine.pausedUntil = 0;
      node.weather.slow(0, 0);
      node.weather.failing = undefined;
      node.onLogSync = undefined;
      node.start();
    }
  }

  #calm() {
    const { delayMsMax } = this.#settings;
    return { delayMsMin: delayMsMax / 10, delayMsMax, lossRatio: 0, reorders: false, duplicateRatio: 0, duplicateMsMax: 0, breakRatio: 0 };
  }

  #apply(action: FaultAction): void {
    const { world, network } = this.#cluster;
    world.note(
      () => `fault ${action.kind} ${action.target.toFixed(3)} ${action.strength.toFixed(3)} for ${action.durationMs.toFixed(0)} ms`,
    );
    const { weather } = network;
    const { strength, durationMs, kind } = action;
    switch (kind) {
      case "loss":
        weather.lossRatio = 0.02 + 0.4 * strength;
        return this.#later(durationMs, () => (weather.lossRatio = 0));
      case "reorder":
        this.#cluster.count("reorder");
        weather.reorders = true;
        weather.delayMsMax = this.#settings.delayMsMax + 2 * this.#timeoutMs * strength * strength;
        return this.#later(durationMs, () => {
          weather.reorders = false;
          weather.delayMsMax = this.#settings.delayMsMax;
        });
      case "duplicate":
        weather.duplicateRatio = 0.05 + 0.3 * strength;
        weather.duplicateMsMax = 4 * this.#timeoutMs * action.variant;
        return this.#later(durationMs, () => (weather.duplicateRatio = 0));
      case "breakStreams":
        weather.breakRatio = 0.1 + 0.6 * strength;
        return this.#later(durationMs * 4, () => (weather.breakRatio = 0));
      case "partition":
      case "oneWay":
      case "shifting":
      case "isolateLeader":
        return this.#cut(action);
      case "addMember":
      case "removeMember":
      case "confChange":
      case "transfer":
        return this.#churn.apply(kind, action);
      default:
        return this.#applyToNode(action);
    }
  }

  #applyToNode(action: FaultAction): void {
    const { world } = this.#cluster;
    const { strength, durationMs, kind } = action;
    if (kind === "crashAll") {
      this.#cluster.count("crashAll");
      for (const each of this.#cluster.nodes.values()) this.#crash(each);
      return;
    }
    const node = this.#pick(action);
    if (node === undefined) return;
    switch (kind) {
      case "crash":
        return this.#crash(node);
      case "crashAtSync":
        node.onLogSync = (syncMs) => {
          node.onLogSync = undefined;
          this.#later(syncMs * strength, () => this.#crash(node));
        };
        return;
      case "pause":
        this.#cluster.count("pause");
        node.machine.pausedUntil = world.now + durationMs;
        return;
      case "skew":
        this.#cluster.count("skew");
        node.drift.offsetMs += world.now * node.drift.rate;
        node.drift.rate = 0.5 + 1.5 * strength;
        node.drift.offsetMs -= world.now * node.drift.rate;
        return;
      case "jump":
        this.#cluster.count("jump");
        node.drift.offsetMs += 20 * this.#timeoutMs * strength * strength;
        return;
      case "slowDisk":
        this.#cluster.count("slowDisk");
        node.weather.slow(world.now + durationMs, this.#timeoutMs * 3 * strength);
        return;
      case "syncError":
      case "noSpace":
        this.#cluster.count(kind);
        node.weather.failing = kind;
        return;
      default:
        return this.#damage(node, action);
    }
  }

  /** What no node survives under its name is done only where the others can do without it. */
  #damage(node: SimNode, { kind, strength, variant, target }: FaultAction): void {
    const { world } = this.#cluster;
    if (!node.running || node.tampered || this.#churn.changing() || !this.#cluster.spares(node.id)) return;
    this.#cluster.crash(node);
    const random = world.fork(Math.floor(target * 1e6));
    const places = [strength, variant].slice(0, target < 0.5 ? 1 : 2);
    node.gone = kind === "wipe";
    node.tampered =
      node.gone ||
      (kind === "rotLog" && node.disk.log.rot({ places })) ||
      (kind === "rotTable" && node.disk.log.rotTable(random)) ||
      (kind === "rotCatalog" && node.disk.catalog.rot({ places }));
    if (node.tampered) this.#cluster.count(kind);
    this.#cluster.startSoon(node);
  }

  #crash(node: SimNode): void {
    if (!node.running) return;
    this.#cluster.crash(node);
    this.#cluster.startSoon(node);
  }

  #cut(action: FaultAction): void {
    const { network } = this.#cluster;
    const { kind, durationMs, strength } = action;
    const ids = [...this.#cluster.nodes.keys()];
    network.heal();
    if (kind === "isolateLeader") {
      const leader = this.#cluster.leader();
      if (leader === undefined) return;
      this.#cluster.count("isolateLeader");
      for (const id of ids) {
        if (id === leader.id) continue;
        if (strength < 0.7) network.cut(id, leader.id);
        if (strength > 0.2) network.cut(leader.id, id);
      }
      return this.#later(durationMs, () => network.heal());
    }
    this.#cluster.count(kind);
    const random = this.#cluster.world.fork(Math.floor(action.target * 1e6));
    const sides = new Map(ids.map((id) => [id, random.float() < 0.5]));
    for (const from of ids) {
      for (const to of ids) {
        if (from === to) continue;
        const apart = sides.get(from) !== sides.get(to);
        if (kind === "oneWay" ? random.float() < 0.2 + 0.4 * strength : apart) network.cut(from, to);
      }
    }
    if (kind === "shifting" && action.variant > 0.1) {
      const next = { ...action, target: random.float(), variant: action.variant * 0.8 };
      return this.#later(durationMs / 4, () => this.#cut(next));
    }
    this.#later(durationMs, () => network.heal());
  }

  /** Half of the time whoever leads. */
  #pick({ target, variant }: FaultAction): SimNode | undefined {
    const leader = variant < 0.4 ? this.#cluster.leader() : undefined;
    if (leader !== undefined) return leader;
    const running = [...this.#cluster.nodes.values()].filter((node) => node.running);
    return running[Math.floor(target * running.length)];
  }

  #later(delayMs: number, run: () => void): void {
    this.#cluster.world.after(delayMs, "fault", undefined, () => {
      if (!this.#ended) run();
    });
  }
}
