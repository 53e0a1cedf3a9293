import type { ConfChange } from "./conf-change.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { RawNode } from "./raw-node.ts";
import type { Config, ConfState, Entry, Message, NodeId, ReadState, Snapshot } from "./types.ts";

type Options = Partial<Omit<Config, "id" | "storage" | "applied">>;

/** One member, driven synchronously over storage in memory. */
export class MemoryMember {
  raw: RawNode;
  readonly storage: MemoryStorage;
  readonly applied: Entry[] = [];
  readonly reads: ReadState[] = [];
  confState: ConfState;
  readonly #config: Omit<Config, "applied">;

  constructor(id: NodeId, confState: ConfState, options: Options) {
    this.storage = new MemoryStorage(confState);
    this.confState = confState;
    // Random election timeouts are the longest there are, so that only those campaign that a test tells to.
    this.#config = { id, electionTick: 10, heartbeatTick: 1, random: () => 0.999, log: () => {}, ...options, storage: this.storage };
    this.raw = new RawNode(this.#config);
  }

  get id(): NodeId {
    return this.#config.id;
  }

  /** What was applied, without the empty entries of new leaders. */
  get texts(): string[] {
    return this.applied.flatMap(({ type, data }) => (type === "normal" && data !== undefined ? [new TextDecoder().decode(data)] : []));
  }

  /** Crashes after all that was handed out is durable, and starts again at its applied index. */
  restart(): void {
    this.raw = new RawNode({ ...this.#config, applied: this.applied.at(-1)?.index ?? this.storage.firstIndex() - 1 });
  }

  /** A snapshot of what has applied; the log before it goes. */
  compact(): Snapshot {
    const last = this.applied.at(-1) as Entry;
    const meta = { index: last.index, term: last.term, confState: this.confState };
    const snapshot = { meta, data: new TextEncoder().encode(this.texts.join("\n")) };
    this.storage.setSnapshot(snapshot);
    this.storage.compact(last.index);
    return snapshot;
  }

  /** @returns the messages that leave */
  work(): readonly Message[] {
    const ready = this.raw.ready();
    if (ready.hardState !== undefined) this.storage.setHardState(ready.hardState);
    if (ready.snapshot !== undefined) this.#install(ready.snapshot);
    this.storage.append(ready.entries);
    this.reads.push(...ready.readStates);
    for (const entry of ready.committedEntries) {
      this.applied.push(entry);
      if (entry.type !== "normal") this.confState = this.raw.applyConfChange(entry.data, entry.index);
    }
    this.raw.advance();
    return ready.messages;
  }

  #install(snapshot: Snapshot): void {
    const { index, term, confState } = snapshot.meta;
    this.storage.applySnapshot(snapshot);
    this.confState = confState;
    this.applied.push({ index, term, type: "normal", data: snapshot.data });
  }
}

/** A whole group in memory: messages go in the order in which they were sent, but over links that are cut or held. For tests. */
export class MemoryCluster {
  readonly members = new Map<NodeId, MemoryMember>();
  /** Messages that left a node and were not delivered yet. */
  queue: Message[] = [];
  readonly #options: Options;
  readonly #first: ConfState;
  #isLost: (message: Message) => boolean = () => false;

  constructor(voters: readonly NodeId[], options: Options = {}, learners: readonly NodeId[] = []) {
    this.#options = options;
    const confState = { voters, votersOutgoing: [], learners, learnersNext: [], autoLeave: false };
    this.#first = confState;
    for (const id of [...voters, ...learners]) this.members.set(id, new MemoryMember(id, confState, options));
  }

  member(id: NodeId): MemoryMember {
    const member = this.members.get(id);
    if (member === undefined) throw new Error(`no member ${id}`);
    return member;
  }

  node(id: NodeId): RawNode {
    return this.member(id).raw;
  }

  /** A node with an empty log. It knows the configuration that the log begins with, which no entry of it holds. */
  join(id: NodeId): void {
    this.members.set(id, new MemoryMember(id, this.#first, this.#options));
  }

  lose(isLost: (message: Message) => boolean): void {
    this.#isLost = isLost;
  }

  isolate(...ids: NodeId[]): void {
    this.lose(({ from, to }) => ids.includes(from) !== ids.includes(to));
  }

  heal(): void {
    this.lose(() => false);
  }

  tick(id: NodeId, ticks = 1): void {
    for (let i = 0; i < ticks; i += 1) this.node(id).tick();
  }

  propose(id: NodeId, text: string): void {
    const refusal = this.node(id).propose(new TextEncoder().encode(text));
    if (refusal !== undefined) throw new Error(`refused: ${refusal}`);
  }

  change(id: NodeId, change: Partial<ConfChange>): void {
    this.node(id).proposeConfChange({ transition: "auto", changes: [], context: undefined, ...change });
  }

  elect(id: NodeId): void {
    this.node(id).campaign();
    this.settle();
  }

  /** Lets every node work off its Readies; what they send waits in `queue`. */
  work(): void {
    for (const member of this.members.values()) while (member.raw.hasReady()) this.queue.push(...member.work());
  }

  /** Works and delivers until nothing is left to do. */
  settle(): void {
    for (this.work(); this.queue.length > 0; this.work()) {
      const batch = this.queue;
      this.queue = [];
      for (const message of batch) if (!this.#isLost(message)) this.members.get(message.to)?.raw.step(message);
    }
  }
}
