import type { Driver } from "../../src/consensus/driver.ts";
import { decodeMeta } from "../../src/consensus/log-record.ts";
import { decode } from "../../src/core/codec.ts";
import type { Random } from "../../src/core/random.ts";
import { bootKey } from "../../src/metadata/keys.ts";
import { BOOT } from "../../src/metadata/rows.ts";
import type { DiskImage } from "./disk/node-disk.ts";
import type { CrashPlan } from "./disk/volume.ts";
import { ForgottenStarts } from "./forgotten-starts.ts";
import { Invariants } from "./invariants.ts";
import { SimNetwork } from "./network.ts";
import { SimNode, type SimNodeOptions } from "./sim-node.ts";
import type { World } from "./world.ts";

export type NodeSettings = Pick<SimNodeOptions, "timing" | "limits" | "disk" | "keepsImages"> & {
  readonly delayMsMax: number;
  readonly streams: boolean;
};

export interface ClusterOptions {
  readonly world: World;
  readonly settings: NodeSettings;
  /** Called each time that a node has opened. */
  readonly up?: (node: SimNode, driver: Driver) => void;
}

/** How often the log on it was opened. */
export function startsOn({ log }: DiskImage): number {
  const head = log.get("m");
  return head === undefined ? 0 : (decodeMeta(head)?.incarnation ?? 0);
}

const RESTART_MS_MIN = 5;
const RESTART_MS_MAX = 400;

/** The nodes of one simulated cluster, those that are down and gone among them. */
export class Cluster {
  readonly world: World;
  readonly network: SimNetwork;
  readonly invariants: Invariants;
  readonly forgotten: ForgottenStarts;
  readonly nodes = new Map<number, SimNode>();
  /** How often each fault has fired. */
  readonly counts = new Map<string, number>();
  readonly #options: ClusterOptions;
  readonly #random: Random;

  constructor(options: ClusterOptions) {
    const { world } = options;
    this.world = world;
    this.#options = options;
    this.#random = world.fork(1);
    this.invariants = new Invariants(world);
    this.forgotten = new ForgottenStarts(world);
    this.network = new SimNetwork(world, world.fork(2), this.count, options.settings.streams);
    if (options.settings.streams) this.count("streams");
    this.network.calm(options.settings.delayMsMax);
    this.network.observe = (from, message) => {
      if (message.kind === "raft") this.invariants.sent(from, message.message);
    };
  }

  readonly count = (fault: string): void => {
    this.counts.set(fault, (this.counts.get(fault) ?? 0) + 1);
  };

  /** A node that is not started yet. */
  add(id: number, begin: { readonly image?: DiskImage; readonly voters?: readonly number[] } = {}): SimNode {
    const { timing, limits, disk, keepsImages } = this.#options.settings;
    const node = new SimNode(id, {
      world: this.world,
      network: this.network,
      invariants: this.invariants,
      forgotten: this.forgotten,
      timing,
      limits,
      disk,
      keepsImages,
      ...begin,
      up: () => {
        if (node.driver !== undefined) this.#options.up?.(node, node.driver);
      },
      installing: () => this.count("snapshot"),
      ended: (_, replace) => {
        if (replace) {
          node.gone = true;
          this.count("replaced");
        } else this.startSoon(node);
      },
    });
    this.nodes.set(id, node);
    return node;
  }

  /** Those that take part, in order of their ids. */
  up(): SimNode[] {
    return [...this.nodes.values()].filter((node) => node.up);
  }

  leader(): (SimNode & { readonly driver: Driver }) | undefined {
    let newest: SimNode | undefined;
    let term = 0;
    for (const node of this.nodes.values()) {
      if (node.driver === undefined || !node.driver.leads()) continue;
      const own = node.driver.position().term;
      if (own > term) {
        newest = node;
        term = own;
      }
    }
    return newest as (SimNode & { readonly driver: Driver }) | undefined;
  }

  startSoon(node: SimNode): void {
    const delayMs = RESTART_MS_MIN + this.#random.float() * this.#random.float() * RESTART_MS_MAX;
    this.world.after(delayMs, "boot", undefined, () => node.start());
  }

  /** Kills it as the dice say: everything written is there, only what was synced, or something between. */
  crash(node: SimNode): void {
    if (!node.running) return;
    if (node.disk.installing) this.count("crashInstalling");
    const log = this.#crashPlan();
    const catalog = this.#crashPlan();
    if (log.torn > 0 || catalog.torn > 0) this.count("tornRecord");
    this.count("crash");
    node.crash({ log, catalog });
  }

  /**
   * Whether the others can do without it for good: a majority of each half of every configuration that is in force somewhere stays. Whoever is no member any more is
   * about to lose its vote, and counts as gone.
   */
  spares(id: number): boolean {
    const members = this.#members();
    for (const node of this.nodes.values()) {
      if (node.gone) continue;
      for (const { voters, votersOutgoing } of this.invariants.witness(node.id).configurations) {
        for (const half of [voters, votersOutgoing]) {
          if (half.length === 0) continue;
          // One that has no vote may get one at any moment.
          const count = half.includes(id) ? half.length : half.length + 1;
          const stays = (node: SimNode | undefined) => node !== undefined && !node.gone && !node.tampered && members.has(node.id);
          const staying = half.filter((each) => each !== id && stays(this.nodes.get(each)));
          if (staying.length <= count / 2) return false;
        }
      }
    }
    return true;
  }

  /** As the catalog has them that has applied most, of those that can be asked. */
  #members(): ReadonlySet<number> {
    const applied = (node: SimNode): number => node.driver?.position().appliedIndex ?? 0;
    const [newest] = this.up().sort((a, b) => applied(b) - applied(a));
    return new Set(newest?.driver?.catalog.members().map(({ raftId }) => raftId));
  }

  /** Whether all others know, for good, of a start of the node that the image does not remember, and the image has the configuration of now, or none. */
  refusesStartsFrom(node: SimNode, image: DiskImage): boolean {
    const key = `c${bootKey(node.id)}`;
    const now = this.invariants.witness(node.id).configurations[0];
    const head = image.catalog.get("m");
    if (now === undefined) return false;
    if (head !== undefined && JSON.stringify((decode(head) as { confState: unknown }).confState) !== JSON.stringify(now)) return false;
    for (const other of this.nodes.values()) {
      if (other === node || other.gone) continue;
      const known = other.disk.catalog.synced().get(key);
      if (known === undefined || BOOT.decode(known).incarnation <= startsOn(image)) return false;
    }
    return true;
  }

  #crashPlan(): CrashPlan {
    const dice = this.#random.float();
    const keep = dice < 0.35 ? 0 : dice < 0.65 ? 1 : this.#random.float();
    const torn = this.#random.float() < 0.3 ? this.#random.float() : 0;
    return { keep, torn };
  }
}
