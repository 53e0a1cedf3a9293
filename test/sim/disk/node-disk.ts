import type { CatalogDatabases, LogWitness, Storage } from "../../../src/consensus/database.ts";
import { ConsensusError, logCorrupt } from "../../../src/consensus/errors.ts";
import type { Owner } from "../event-heap.ts";
import type { World } from "../world.ts";
import { type DiskBehaviour, SimDatabase } from "./sim-database.ts";
import { type Batch, type CrashPlan, type Rows, Volume } from "./volume.ts";

/** Sees what reaches the disk. */
export interface DiskObserver {
  logOpened(rows: Rows): void;
  logWritten(batch: Batch, sync: boolean): void;
  logWriting(batch: Batch, sync: boolean, durationMs: number): void;
  catalogOpened(rows: Rows): void;
  /** A snapshot has become the current one. */
  catalogReplaced(rows: Rows): void;
  /** A snapshot of the catalog is taken, to be sent. */
  catalogRead(rows: Rows): void;
  /** A snapshot is about to be written. */
  installBegun(): void;
  catalogWritten(batch: Batch): void;
}

/** A node's disk at one moment, for another node or another time. */
export interface DiskImage {
  readonly log: Rows;
  readonly catalog: Rows;
  /** How far the log was acknowledged; 0 where that is not kept. */
  readonly witness: number;
}

const SWITCH_MS = 3;

/** The disk of one node: the log's database, and those of the catalog with the name of the current one. It outlives the process. */
export class NodeDisk {
  readonly #world: World;
  readonly #behaviour: DiskBehaviour;
  readonly #observer: DiskObserver;
  readonly #place: string;
  #log: Volume;
  #catalog: Volume;
  /** What the file beside the log says, and what it said before. */
  #witness = 0;
  #witnessBefore = 0;
  #openLog: SimDatabase | undefined;
  #openCatalog: SimDatabase | undefined;
  /** A snapshot's database was begun and has not become the current one. */
  installing = false;

  constructor(world: World, place: string, behaviour: DiskBehaviour, observer: DiskObserver, image: DiskImage | undefined) {
    this.#world = world;
    this.#place = place;
    this.#behaviour = behaviour;
    this.#observer = observer;
    this.#log = new Volume(image?.log);
    this.#catalog = new Volume(image?.catalog);
    this.#witness = image?.witness ?? 0;
  }

  get log(): Volume {
    return this.#log;
  }

  get catalog(): Volume {
    return this.#catalog;
  }

  image(): DiskImage {
    return { log: this.#log.synced(), catalog: this.#catalog.synced(), witness: this.#witness };
  }

  /** Puts an earlier state back, of the catalog alone or of everything, while no process runs. */
  restore(image: DiskImage, what: "catalog" | "all"): void {
    this.#catalog = new Volume(image.catalog);
    if (what === "catalog") return;
    this.#log = new Volume(image.log);
    this.#witness = image.witness;
  }

  crash(plans: { readonly log: CrashPlan; readonly catalog: CrashPlan }): void {
    // It is never synced, so it may be set back.
    if (plans.log.keep < 0.5) this.#witness = this.#witnessBefore;
    this.#log.crash(plans.log, this.#openLog?.running);
    this.#catalog.crash(plans.catalog, this.#openCatalog?.running);
    this.#openLog = undefined;
    this.#openCatalog = undefined;
    this.installing = false;
  }

  /** The weather of the disk has turned good, also for what is being written. */
  hurry(): void {
    this.#openLog?.hurry();
    this.#openCatalog?.hurry();
  }

  /** For one start of the process. */
  storage(owner: Owner): Storage {
    return {
      place: this.#place,
      openLog: async (marker) => {
        await this.#wait(owner, this.#behaviour.latencyMs(true));
        const rows = this.#log.recover(marker);
        if (!(rows instanceof Map)) {
          throw logCorrupt(this.#place, `the record at byte ${rows.lostAt} of 000001.log is altered, and others follow it`);
        }
        this.#observer.logOpened(rows);
        this.#openLog = new SimDatabase({
          world: this.#world,
          owner,
          volume: this.#log,
          rows,
          behaviour: this.#behaviour,
          written: (batch, sync) => this.#observer.logWritten(batch, sync),
          writing: (batch, sync, durationMs) => this.#observer.logWriting(batch, sync, durationMs),
        });
        return this.#openLog;
      },
      ...(this.#behaviour.keepsWitness ? { openWitness: async () => this.#openWitness(owner) } : {}),
      openCatalog: async () => {
        await this.#wait(owner, this.#behaviour.latencyMs(true));
        const rows = this.#catalog.recover(undefined);
        if (!(rows instanceof Map)) throw new ConsensusError("storage", "the catalog's log is not looked at");
        this.#observer.catalogOpened(rows);
        return this.#databases(owner, rows);
      },
    };
  }

  #openWitness(owner: Owner): LogWitness {
    return {
      read: async () => this.#witness,
      write: (sequence) => {
        this.#world.after(this.#behaviour.latencyMs(false), "disk", owner, () => {
          this.#witnessBefore = this.#witness;
          this.#witness = sequence;
        });
      },
      close: async () => undefined,
    };
  }

  #databases(owner: Owner, rows: Map<string, Uint8Array>): CatalogDatabases {
    let current = this.#openOn(owner, this.#catalog, rows);
    this.#openCatalog = current;
    return {
      get current() {
        return current;
      },
      begin: async () => {
        await this.#wait(owner, this.#behaviour.latencyMs(false));
        this.installing = true;
        this.#observer.installBegun();
        return this.#openOn(owner, new Volume(), new Map());
      },
      commit: async (fresh, switched) => {
        if (!(fresh instanceof SimDatabase)) throw new Error("only a database of this disk can become the current one");
        await this.#wait(owner, SWITCH_MS);
        // The rename: a crash before it leaves the old content, after it the new.
        const old = current;
        this.#catalog = fresh.volume;
        this.#openCatalog = fresh;
        this.#observer.catalogReplaced(fresh.volume.synced());
        current = fresh;
        this.installing = false;
        switched();
        await old.close();
        await this.#wait(owner, SWITCH_MS);
      },
      discard: async () => {
        this.installing = false;
        await this.#wait(owner, SWITCH_MS);
      },
      close: async () => undefined,
    };
  }

  #openOn(owner: Owner, volume: Volume, rows: Map<string, Uint8Array>): SimDatabase {
    const written = (batch: Batch): void => {
      if (this.#openCatalog === database) this.#observer.catalogWritten(batch);
    };
    const database = new SimDatabase({
      world: this.#world,
      owner,
      volume,
      rows,
      behaviour: this.#behaviour,
      written,
      snapshot: (taken) => this.#observer.catalogRead(taken),
    });
    return database;
  }

  #wait(owner: Owner, durationMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#world.after(durationMs, "disk", owner, resolve);
    });
  }
}
