import { OciError } from "../core/errors.ts";
import type { RaftId } from "../core/peer.ts";
import { applyEntry } from "../metadata/apply-entry.ts";
import { isWellFormed } from "../metadata/command-shape.ts";
import type { Command, Outcome } from "../metadata/commands.ts";
import { COMMAND_VERSION } from "../metadata/commands.ts";
import { encodeEnvelope, stampEntry } from "../metadata/entry.ts";
import { MemoryStore } from "../metadata/memory-store.ts";
import { type AppliedCatalog, createCatalog } from "../metadata/store-catalog.ts";
import type { Applied, Consensus, ConsensusStatus, Freshness } from "./consensus.ts";
import { isSessionless } from "./sessionless.ts";

export interface MemoryConsensusOptions {
  readonly self?: RaftId;
  /** State to begin with. */
  readonly store?: MemoryStore;
}

/** A cluster of one node without a log, a network or a disk: for the tests of what stands above the port. */
export class MemoryConsensus implements Consensus {
  readonly self: RaftId;
  readonly store: MemoryStore;
  readonly catalog: AppliedCatalog;
  /** Reads answer `cutOff` and proposals are refused with UNAVAILABLE while it is set (G3). */
  cutOff = false;
  /** Moves catalog time by this much with the next entry. */
  stampMs = 0;
  readonly #applied = new Set<(applied: Applied) => void>();
  readonly #synced = new Set<(index: number) => void>();
  readonly #installed = new Set<(index: number) => void>();
  #bySnapshot = false;
  #index = 1;
  #session: number | undefined;
  #sequence = 0;

  constructor(options: MemoryConsensusOptions = {}) {
    this.self = options.self ?? 1;
    this.store = options.store ?? new MemoryStore();
    this.catalog = createCatalog(this.store);
    this.#index = Math.max(1, this.catalog.head()?.index ?? 1);
  }

  async propose(
    command: Command,
    options: { readonly signal?: AbortSignal; readonly deadlineMs?: number; readonly principal?: string } = {},
  ): Promise<Outcome> {
    options.signal?.throwIfAborted();
    if (!isWellFormed(command.type, command)) throw new TypeError(`${command.type} has a field that is missing or out of bounds`);
    if (this.cutOff) throw unavailable("This node has no contact with a majority of the cluster.");
    // The answer comes in a later turn, as from a disk.
    await Promise.resolve();
    if (isSessionless(command.type)) return this.#apply(command, 0, 0, options.principal);
    if (this.#session === undefined) {
      const opened = this.#apply({ type: "session.open", raftId: this.self }, 0, 0, undefined);
      if (opened.value === undefined) throw unavailable("This node is no member of an initialised cluster yet.");
      this.#session = opened.value;
    }
    const sequence = this.#sequence;
    this.#sequence += 1;
    return this.#apply(command, this.#session, sequence, options.principal);
  }

  async barrier(signal?: AbortSignal): Promise<Freshness> {
    signal?.throwIfAborted();
    return this.cutOff ? "cutOff" : "fresh";
  }

  status(): ConsensusStatus {
    return {
      self: this.self,
      role: this.cutOff ? "follower" : "leader",
      leader: this.cutOff ? undefined : this.self,
      term: 1,
      commitIndex: this.#index,
      appliedIndex: this.#index,
      syncedIndex: this.#index,
      lastIndex: this.#index,
      elections: 1,
      cutOff: this.cutOff,
      voters: [this.self],
      learners: [],
      progress: [],
    };
  }

  onApplied(listener: (applied: Applied) => void): () => void {
    this.#applied.add(listener);
    return () => this.#applied.delete(listener);
  }

  onSynced(listener: (index: number) => void): () => void {
    this.#synced.add(listener);
    return () => this.#synced.delete(listener);
  }

  onInstalled(listener: (index: number) => void): () => void {
    this.#installed.add(listener);
    return () => this.#installed.delete(listener);
  }

  /** What `work` proposes comes as a snapshot brings it: its outcomes are not heard, and the state is there at once at the end. */
  async bySnapshot(work: () => Promise<void>): Promise<void> {
    this.#bySnapshot = true;
    await work();
    this.#bySnapshot = false;
    for (const listener of this.#synced) listener(this.#index);
    for (const listener of this.#installed) listener(this.#index);
  }

  #apply(command: Command, session: number, sequence: number, principal: string | undefined): Outcome {
    const index = this.#index + 1;
    const envelope = encodeEnvelope({ v: COMMAND_VERSION, session, sequence, lowest: sequence, principal, command });
    const stampMs = this.stampMs;
    this.stampMs = 0;
    const applied = applyEntry(this.store, index, stampEntry(stampMs, envelope));
    this.#index = index;
    this.store.write(applied.changes);
    this.catalog.changed(applied.changes.map(({ key }) => key));
    if (this.#bySnapshot) return applied.outcome;
    const { outcome, duplicate } = applied;
    for (const listener of this.#applied) listener({ index, command: applied.command, outcome, duplicate });
    for (const listener of this.#synced) listener(index);
    return outcome;
  }
}

function unavailable(message: string): OciError {
  return new OciError("UNAVAILABLE", message, { retryAfterSeconds: 1 });
}
