import type { Driver } from "../../src/consensus/driver.ts";
import { ConsensusError } from "../../src/consensus/errors.ts";
import { openConsensus, type StorageLimits } from "../../src/consensus/open-consensus.ts";
import type { Timing } from "../../src/consensus/timing.ts";
import type { Transport, TransportHandler } from "../../src/consensus/transport.ts";
import { silentLog } from "../../src/core/log.ts";
import { RaftError } from "../../src/raft/errors.ts";
import { commitBound } from "./commit-bound.ts";
import { type DiskOptions, DiskWeather } from "./disk/disk-weather.ts";
import { type DiskImage, NodeDisk } from "./disk/node-disk.ts";
import type { Batch, CrashPlan, Rows } from "./disk/volume.ts";
import type { Owner } from "./event-heap.ts";
import type { ForgottenStarts } from "./forgotten-starts.ts";
import type { Invariants } from "./invariants.ts";
import type { Endpoint, SimNetwork } from "./network.ts";
import { NodeClock } from "./node-clock.ts";
import type { Witness } from "./witness.ts";
import { ViolationError, type World } from "./world.ts";

export interface SimNodeOptions {
  readonly world: World;
  readonly network: SimNetwork;
  readonly invariants: Invariants;
  readonly forgotten: ForgottenStarts;
  readonly timing: Partial<Timing>;
  readonly limits: StorageLimits;
  readonly disk: DiskOptions;
  /** Whether states of its disk are kept, to be put back. */
  readonly keepsImages: boolean;
  readonly image?: DiskImage;
  /** Makes a cluster. */
  readonly voters?: readonly number[];
  readonly installing: (node: SimNode) => void;
  /** It has opened and takes part. */
  readonly up: (node: SimNode) => void;
  /** Its process has ended by itself. @param replace its disk cannot be trusted any more */
  readonly ended: (node: SimNode, replace: boolean) => void;
}

interface Machine extends Owner {
  alive: boolean;
  pausedUntil: number;
  backlogMs: number;
}

/** One start of the process: what belongs to it ends with it. */
class Process implements Owner {
  readonly id: number;
  alive = true;
  /** Its end is decided: it takes nothing any more. */
  ending = false;
  readonly endpoint: Endpoint;
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.id = machine.id;
    this.#machine = machine;
    this.endpoint = { owner: this, machine, handler: undefined, boot: undefined };
  }

  get pausedUntil(): number {
    return this.#machine.pausedUntil;
  }

  get backlogMs(): number {
    return this.#machine.backlogMs;
  }
}

/** What a leader counts. */
function leadingOf(driver: Driver): Witness["leading"] {
  return (peer) => {
    if (!driver.leads()) return undefined;
    const { term, progress } = driver.position();
    const known = progress.get(peer);
    return known === undefined ? undefined : { term, match: known.match };
  };
}

const CRASH_PLAN_OF_EXIT: CrashPlan = { keep: 1, torn: 0.5 };

/** One machine: its disk and clock, and the real consensus on it, which may be killed and started at any step. */
export class SimNode {
  readonly id: number;
  readonly machine: Machine;
  readonly disk: NodeDisk;
  readonly weather: DiskWeather;
  readonly drift = { rate: 1, offsetMs: 0 };
  driver: Driver | undefined;
  /** It will never start again. */
  gone = false;
  starts = 0;
  /** Its disk as it was before each start, where they are kept. */
  readonly images: DiskImage[] = [];
  /** Called when a sync of its log begins, with its length. */
  onLogSync: ((durationMs: number) => void) | undefined;
  /** Called when it has opened and takes part. */
  onUp: (() => void) | undefined;
  /** Called when it has become leader. */
  onLead: (() => void) | undefined;
  /** Called when it begins to install a snapshot. */
  onInstall: (() => void) | undefined;
  readonly #options: SimNodeOptions;
  #process: Process | undefined;
  #confirmLog: (() => void) | undefined;

  constructor(id: number, options: SimNodeOptions) {
    const { world, invariants, image, disk } = options;
    this.id = id;
    this.#options = options;
    this.machine = { id, alive: true, pausedUntil: 0, backlogMs: 0 };
    this.weather = new DiskWeather(world, world.fork(100 + id), disk);
    const observer = {
      logOpened: (rows: ReadonlyMap<string, Uint8Array>) => {
        this.#confirmLog = invariants.logOpened(id, rows);
      },
      logWritten: invariants.logWritten.bind(invariants, id),
      logWriting: (batch: Batch, sync: boolean, durationMs: number) => {
        invariants.logWriting(id, batch);
        if (sync) this.onLogSync?.(durationMs);
      },
      catalogOpened: invariants.catalogOpened.bind(invariants, id),
      catalogReplaced: (rows: Rows) => {
        invariants.snapshots.installed(id, rows);
        invariants.catalogReplaced(id, rows);
      },
      catalogRead: (rows: Rows) => {
        if (!this.tampered) invariants.snapshots.read(rows);
      },
      installBegun: () => {
        options.installing(this);
        this.onInstall?.();
      },
      catalogWritten: invariants.catalogWritten.bind(invariants, id),
    };
    this.disk = new NodeDisk(world, `n${id}`, this.weather, observer, image);
    if (image !== undefined) invariants.founded(id, image);
  }

  /** Something was done to its disk that Raft does not bear: it may refuse to go on. */
  get tampered(): boolean {
    return this.#options.invariants.witness(this.id).tampered;
  }

  set tampered(tampered: boolean) {
    this.#options.invariants.witness(this.id).tampered = tampered;
  }

  /** This start of it, for clocks of what runs beside it. */
  get process(): Owner | undefined {
    return this.#process;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  /** Whether its process takes part. */
  get up(): boolean {
    return this.driver !== undefined;
  }

  get paused(): boolean {
    return this.machine.pausedUntil > this.#options.world.now;
  }

  /** From now on; what it has read so far stays read. */
  setRate(rate: number): void {
    const { now } = this.#options.world;
    this.drift.offsetMs += now * (this.drift.rate - rate);
    this.drift.rate = rate;
  }

  pause(durationMs: number, backlogMs: number): void {
    this.machine.pausedUntil = this.#options.world.now + durationMs;
    this.machine.backlogMs = backlogMs;
  }

  start(): void {
    if (this.running || this.gone) return;
    const { world, network, forgotten, timing, limits, voters } = this.#options;
    const { machine } = this;
    this.starts += 1;
    if (this.#options.keepsImages) this.images.push(this.disk.image());
    const process = new Process(machine);
    this.#process = process;
    world.note(() => `node ${this.id} starts`);
    const clock = new NodeClock(world, process, this.drift);
    const wire = network.transport(process.endpoint, clock);
    const transport: Transport = { ...wire, start: (handler, boot) => wire.start(this.#judged(handler), boot) };
    openConsensus({
      storage: this.disk.storage(process),
      raftId: this.id,
      bootstrap: this.starts === 1 && voters !== undefined ? { voters } : undefined,
      transport: forgotten.watch(transport, {
        self: this.id,
        sound: () => process.alive && !process.ending && !this.tampered,
      }),
      clock,
      random: world.fork(10_000 + this.id * 100 + this.starts),
      log: silentLog,
      fatal: (error) => this.#fatal(process, error),
      timing,
      limits,
      defer: (run) => world.defer(process, run),
    }).then(
      (driver) => this.#opened(process, driver),
      (error: unknown) => this.#fatal(process, error instanceof Error ? error : new Error(String(error))),
    );
  }

  /** The process is killed, or the power fails: what is in memory is gone, and of the unsynced writes what the plan leaves out. */
  crash(plans: { readonly log: CrashPlan; readonly catalog: CrashPlan }): void {
    const process = this.#process;
    if (process === undefined) return;
    this.#options.world.note(() => `node ${this.id} crashes`);
    process.alive = false;
    this.#process = undefined;
    this.driver = undefined;
    const witness = this.#options.invariants.witness(this.id);
    witness.running = undefined;
    witness.ruling = undefined;
    witness.committed = undefined;
    witness.campaigning = undefined;
    witness.leading = undefined;
    this.#options.network.down(process.endpoint);
    this.disk.crash(plans);
  }

  #opened(process: Process, driver: Driver): void {
    if (!process.alive) return;
    this.#confirmLog?.();
    const { world, invariants, up } = this.#options;
    this.driver = driver;
    const witness = invariants.witness(this.id);
    witness.running = () => driver.configuration();
    witness.committed = () => driver.position().commitIndex;
    witness.campaigning = () => {
      const { role, commitIndex } = driver.position();
      return role === "candidate" || role === "preCandidate" ? commitIndex : undefined;
    };
    witness.leading = leadingOf(driver);
    if (this.disk.catalog.gapped) {
      const message = `node ${this.id} opened a catalog from the middle of which batches are missing`;
      world.fail(new ViolationError("corruption is detected", message));
    }
    driver.onSeal((index, seal) => {
      if (process.alive && !process.ending) invariants.entryApplied(this.id, index, seal, driver.position().appliedIndex === index);
    });
    driver.onApplied((applied) => {
      if (process.alive) invariants.did(this.id, applied);
    });
    let led = 0;
    driver.onConfiguration(() => {
      if (!process.alive || !driver.leads()) return;
      const { term, commitIndex } = driver.position();
      const begins = term > led;
      if (begins) invariants.witness(this.id).committedBefore = commitIndex;
      led = term;
      invariants.leads(this.id, term);
      if (begins) this.onLead?.();
    });
    up(this);
    this.onUp?.();
  }

  /** What it hears is judged by what that does to its commit index. */
  #judged(handler: TransportHandler): TransportHandler {
    const { world, invariants } = this.#options;
    return {
      receive: (from, boot, messages) => {
        for (const each of messages) if (each.kind === "raft") invariants.heard(this.id, each.message);
        // To ask costs more than to judge: what is no message of Raft commits nothing, and a leader commits by itself.
        if (this.driver?.leads() !== false || !messages.some(({ kind }) => kind === "raft")) return handler.receive(from, boot, messages);
        const before = this.driver.position();
        const refusal = handler.receive(from, boot, messages);
        const after = this.driver?.position();
        if (after === undefined || after.role === "leader") return refusal;
        const bound = commitBound(messages);
        if (after.commitIndex > Math.max(before.commitIndex, bound)) {
          const message = `node ${this.id} goes from commit ${before.commitIndex} to ${after.commitIndex} by messages that let it commit ${bound}`;
          world.fail(new ViolationError("a follower commits what it has verified", message));
        }
        return refusal;
      },
      receiveSnapshot: (from, boot, header, chunks) => handler.receiveSnapshot(from, boot, header, chunks),
      refused: (by, refusal) => handler.refused(by, refusal),
      unreachable: (to) => handler.unreachable(to),
    };
  }

  /** The process ends in a later turn, as a real one does; what it does until then counts. */
  #fatal(process: Process, error: Error): void {
    if (!process.alive) return;
    process.ending = true;
    const { world, ended } = this.#options;
    world.note(() => `node ${this.id} ends: ${error.message}`);
    const code = error instanceof ConsensusError || error instanceof RaftError ? error.code : "unknown";
    const damaged = code === "logCorrupt" || code === "catalogCorrupt" || code === "outdated";
    if (code !== "storage" && !(damaged && this.tampered)) {
      const disk = this.tampered ? "a disk that was tampered with" : "a healthy disk";
      world.fail(new ViolationError("no node ends by itself", `node ${this.id}, on ${disk}: ${error.stack ?? error.message}`));
      return;
    }
    world.after(1, "boot", process, () => {
      this.crash({ log: CRASH_PLAN_OF_EXIT, catalog: CRASH_PLAN_OF_EXIT });
      ended(this, damaged);
    });
  }
}
