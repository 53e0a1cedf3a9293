import type { Clients } from "./clients.ts";
import { type Cluster, startsOn } from "./cluster.ts";
import type { DiskImage } from "./disk/node-disk.ts";
import type { FaultAction, FaultKind } from "./faults.ts";
import type { MembershipChurn } from "./membership.ts";
import { NetworkFaults } from "./network-faults.ts";
import type { Settings } from "./settings.ts";
import type { SimNode } from "./sim-node.ts";

const BACKLOG_MS_MAX = 40;
/** Strengths below it: what comes from the network is there together with all else. */
const ALL_AT_ONCE_BELOW = 0.3;
const INSTALL_MS_MAX = 12;
const CHANGE_MS_MAX = 300;
const NOTHING: DiskImage = { log: new Map(), catalog: new Map(), witness: 0 };
const UNHEARD_FROM = 0.4;
const UNHEARD_MORE_MAX = 4;
/** After the sync that counts a start, and before its catalog is open. */
const COUNTED_MS = 0.001;
const STARTED_MS_MAX = 400;
const FLOOD_FROM = 0.85;
/** More than a few rows of outcomes hold. */
const FLOOD = 50;
const LATE_MAX = 16;
/** A request has been read by then. */
const ASKED_MS = 2;

type Handler = (action: FaultAction) => void;
type NodeHandler = (node: SimNode, action: FaultAction) => void;

/** Makes a plan's actions happen, to whom they fit at that moment. */
export class FaultInjector {
  readonly #cluster: Cluster;
  readonly #settings: Settings;
  readonly #churn: MembershipChurn;
  readonly #timeoutMs: number;
  readonly #handlers: Readonly<Record<FaultKind, Handler>>;
  #ended = false;

  constructor(cluster: Cluster, settings: Settings, churn: MembershipChurn, clients: Clients) {
    this.#cluster = cluster;
    this.#settings = settings;
    this.#churn = churn;
    this.#timeoutMs = settings.timing.tickMs * settings.timing.electionTicks;
    const network = new NetworkFaults({
      cluster,
      timeoutMs: this.#timeoutMs,
      delayMsMax: settings.delayMsMax,
      clients,
      later: (delayMs, run) => this.#later(delayMs, run),
    });
    const cut: Handler = (action) => network.cut(action);
    const churned: Handler = (action) => churn.apply(action);
    this.#handlers = {
      loss: (action) => network.lose(action),
      reorder: (action) => network.reorder(action),
      duplicate: (action) => network.duplicate(action),
      breakStreams: (action) => network.breakStreams(action),
      partition: cut,
      oneWay: cut,
      shifting: cut,
      isolateLeader: cut,
      stall: (action) => network.stall(action),
      zombieLeader: (action) => network.zombieLeader(action),
      linkBreak: (action) => network.breakLink(action),
      hunt: (action) => network.hunt(action),
      burst: this.#at((node, { strength }) => {
        this.#cluster.count("burst");
        clients.burst(node, strength < FLOOD_FROM ? 3 + Math.floor(12 * strength) : FLOOD);
      }),
      addMember: churned,
      removeMember: churned,
      confChange: (action) => {
        if (action.variant < 0.6) this.#applyLate(action, clients);
        // Behind what was asked for just before: where that waits for room, so does the change.
        this.#later(action.variant < 0.6 ? ASKED_MS : 0, () => {
          churn.apply(action);
          this.#followUp(action, network);
        });
      },
      transfer: churned,
      ...this.#nodeHandlers(clients),
    };
  }

  start(plan: readonly FaultAction[]): void {
    const { world } = this.#cluster;
    for (const action of plan) {
      world.after(action.atMs, "fault", undefined, () => {
        if (this.#ended) return;
        world.note(() => `fault ${action.kind}, target ${action.target.toFixed(3)}, strength ${action.strength.toFixed(3)}`);
        this.#handlers[action.kind](action);
      });
    }
  }

  /** Good weather: what is left to happen does not, and every node that may run does. */
  end(): void {
    this.#ended = true;
    const { network, nodes } = this.#cluster;
    network.calm(this.#settings.delayMsMax);
    for (const node of nodes.values()) {
      node.machine.pausedUntil = 0;
      // With a clock at twice the rate, and the longest delays, a round of reads is given up before it can be answered.
      node.setRate(1);
      node.weather.slow(0, 0);
      node.weather.slowWrites(0, 0);
      node.weather.failing = undefined;
      node.disk.hurry();
      node.onLogSync = undefined;
      node.onInstall = undefined;
      node.onLead = undefined;
      node.onUp = undefined;
      node.start();
    }
  }

  #nodeHandlers(clients: Clients) {
    const { world, count } = this.#cluster;
    const damage: NodeHandler = (node, action) => this.#damage(node, action);
    const fail: NodeHandler = (node, { kind }) => {
      count(kind);
      node.weather.failing = kind === "noSpace" ? "noSpace" : "syncError";
    };
    return {
      crash: this.#at((node) => this.#crash(node)),
      crashAtSync: this.#at((node, { strength }) => this.#crashAtSync(node, strength)),
      crashLoop: this.#at((node, { strength, variant }) => {
        count("crashLoop");
        this.#crashSoon(node, 2 + Math.floor(4 * variant), STARTED_MS_MAX * strength * strength, clients);
      }),
      crashAll: () => {
        count("crashAll");
        for (const node of this.#cluster.nodes.values()) this.#crash(node);
      },
      crashAtInstall: ({ strength, durationMs }: FaultAction) => {
        for (const node of this.#cluster.nodes.values()) this.#crashAtInstall(node, INSTALL_MS_MAX * strength);
        this.#later(8 * durationMs, () => {
          for (const node of this.#cluster.nodes.values()) node.onInstall = undefined;
        });
      },
      pause: this.#at((node, { durationMs, strength }) => {
        count("pause");
        node.pause(2 * durationMs, Math.max(0, strength - ALL_AT_ONCE_BELOW) * BACKLOG_MS_MAX);
      }),
      skew: this.#at((node, { strength }) => {
        count("skew");
        node.setRate(0.5 + 1.5 * strength);
      }),
      jump: this.#at((node, { strength }) => {
        count("jump");
        node.drift.offsetMs += 20 * this.#timeoutMs * strength * strength;
      }),
      slowDisk: this.#at((node, { durationMs, strength }) => {
        count("slowDisk");
        node.weather.slow(world.now + 2 * durationMs, this.#timeoutMs * 4 * strength);
      }),
      slowWrites: this.#at((node, { durationMs, strength }) => {
        count("slowWrites");
        node.weather.slowWrites(world.now + 2 * durationMs, this.#timeoutMs * 2 * strength);
      }),
      syncError: this.#at(fail),
      noSpace: this.#at(fail),
      rotLog: this.#at(damage),
      rotTable: this.#at(damage),
      // In a log of one block all behind the altered place is lost, and what is left is merely old.
      rotCatalog: (action: FaultAction) => {
        const running = [...this.#cluster.nodes.values()].filter((node) => node.running);
        const [node] = running.sort((a, b) => b.disk.catalog.walBytes - a.disk.catalog.walBytes);
        if (node !== undefined) this.#damage(node, action);
      },
      stale: this.#at(damage),
      wipe: this.#at(damage),
    };
  }

  /** Disks are slow, for longer than an election takes: the others commit what a node has not synced, or has no room to apply. */
  #applyLate({ target, strength }: FaultAction, clients: Clients): void {
    const { world, nodes } = this.#cluster;
    const random = world.fork(Math.floor(target * 1e6));
    const leader = this.#cluster.leader();
    if (leader !== undefined) clients.burst(leader, Math.floor(LATE_MAX * strength));
    for (const node of nodes.values()) {
      const share = node === leader ? 0.7 : 0.4;
      if (random.float() < share) node.weather.slow(world.now + 2 * this.#timeoutMs, 4 * this.#timeoutMs);
      else node.weather.slowWrites(world.now + 2 * this.#timeoutMs, 6 * this.#timeoutMs);
    }
  }

  /** Often the leader is lost while its change is under way. */
  #followUp(action: FaultAction, network: NetworkFaults): void {
    const { target, strength } = action;
    const delayMs = CHANGE_MS_MAX * strength;
    // Until others have stood for election.
    const durationMs = action.durationMs + this.#timeoutMs;
    if (target < 0.35) this.#later(delayMs, () => network.cut({ ...action, kind: "isolateLeader", durationMs }));
    else if (target < 0.6) {
      this.#later(delayMs, () => {
        const leader = this.#cluster.leader();
        if (leader !== undefined) this.#crash(leader);
      });
    }
  }

  /** A handler that looks for its node: often the leader. */
  #at(handle: NodeHandler): Handler {
    return (action) => {
      const leader = action.variant < 0.4 ? this.#cluster.leader() : undefined;
      const running = [...this.#cluster.nodes.values()].filter((node) => node.running);
      const node = leader ?? running[Math.floor(action.target * running.length)];
      if (node !== undefined) handle(node, action);
    };
  }

  /** What no node survives under its name is done only where the others can do without it. */
  #damage(node: SimNode, action: FaultAction): void {
    const { kind, strength, variant, target } = action;
    if (node.tampered || this.#churn.changing() || !this.#cluster.spares(node.id)) return;
    if (kind === "stale") {
      this.#putBack(node, action);
      return;
    }
    if (kind === "wipe" && variant < 0.5) {
      this.#putBackAll(node, NOTHING, strength);
      return;
    }
    this.#cluster.crash(node);
    const random = this.#cluster.world.fork(Math.floor(target * 1e6));
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

  /** An earlier state of its disk. Of the catalog alone that does no harm. */
  #putBack(node: SimNode, { variant, target, strength }: FaultAction): void {
    const image = node.images[Math.floor(target * node.images.length)];
    if (image === undefined) return;
    if (variant < 0.7) {
      this.#putBackAll(node, image, strength);
      return;
    }
    this.#cluster.count("staleCatalog");
    this.#cluster.crash(node);
    node.tampered = true;
    node.disk.restore(image, "catalog");
    this.#cluster.startSoon(node);
  }

  /**
   * Of everything it is a node that has forgotten what it promised: the others must know of a start that it does not remember, as they do once that has opened
   * its session. Often it speaks only when its number has passed the one that they know.
   */
  #putBackAll(node: SimNode, image: DiskImage, strength: number): void {
    const { count, forgotten, invariants, nodes } = this.#cluster;
    if (!this.#cluster.refusesStartsFrom(node, image)) return;
    count(image === NOTHING ? "wipedDisk" : "staleDisk");
    this.#cluster.crash(node);
    node.tampered = true;
    const passedBy = invariants.witness(node.id).log.incarnation - startsOn(image);
    invariants.retire(node.id);
    forgotten.forgets(
      node.id,
      [...nodes.values()].filter((other) => other !== node && !other.gone && !other.tampered).map(({ id }) => id),
    );
    node.disk.restore(image, "all");
    if (strength > UNHEARD_FROM) this.#dieUnheard(node, passedBy + Math.floor(UNHEARD_MORE_MAX * strength));
    this.#cluster.startSoon(node);
  }

  /** Its next starts are counted on its disk, and end before they have said a word. */
  #dieUnheard(node: SimNode, starts: number): void {
    node.onLogSync = (syncMs) => {
      node.onLogSync = undefined;
      this.#later(syncMs + COUNTED_MS, () => {
        this.#cluster.count("diedUnheard");
        if (starts > 1) this.#dieUnheard(node, starts - 1);
        this.#crash(node);
      });
    };
  }

  /** In the middle of the next sync of its log: what is sent at once has left, what waits for the sync has not. */
  #crashAtSync(node: SimNode, part: number): void {
    node.onLogSync = (syncMs) => {
      node.onLogSync = undefined;
      this.#later(syncMs * part, () => this.#crash(node));
    };
  }

  /** While a snapshot is written beside the catalog, takes its place, or the log is not told yet. */
  #crashAtInstall(node: SimNode, delayMs: number): void {
    node.onInstall = () => {
      node.onInstall = undefined;
      this.#later(delayMs, () => this.#crash(node));
    };
  }

  /** It dies soon after each start, so often; clients come back to it at once. */
  #crashSoon(node: SimNode, times: number, aliveMs: number, clients: Clients): void {
    node.onUp = () => {
      clients.read(node);
      clients.burst(node, 1);
      if (times <= 1) node.onUp = undefined;
      else this.#later(aliveMs, () => this.#crashSoon(node, times - 1, aliveMs, clients));
    };
    this.#crash(node);
  }

  #crash(node: SimNode): void {
    if (!node.running) return;
    this.#cluster.crash(node);
    this.#cluster.startSoon(node);
  }

  #later(delayMs: number, run: () => void): void {
    this.#cluster.world.after(delayMs, "fault", undefined, () => {
      if (!this.#ended) run();
    });
  }
}
