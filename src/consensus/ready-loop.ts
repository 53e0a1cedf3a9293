import type { RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import { encodeEnvelope, STAMP_MS_MAX, stampEntry } from "../metadata/entry.ts";
import type { RawNode } from "../raft/raw-node.ts";
import type { AppendMessage, Message, ReadState, Ready, SnapshotMessage, SoftState, StorageAppend, StorageReply } from "../raft/types.ts";
import type { Applier } from "./applier.ts";
import type { Fatal } from "./errors.ts";
import { groupsOf } from "./proposal-groups.ts";
import type { RaftLog } from "./store.ts";
import type { PeerMessage, Transport } from "./transport.ts";

export interface ReadyLoopOptions {
  readonly self: RaftId;
  readonly node: RawNode;
  readonly log: RaftLog;
  readonly applier: Applier;
  readonly transport: Transport;
  readonly monotonicMs: () => number;
  /** Schema of the commands that it proposes itself. */
  readonly version: () => number;
  /** Runs in a later turn of the event loop, so that all inputs that are there by then share one Ready. */
  readonly defer: (run: () => void) => void;
  readonly appendBytes: number;
  readonly fatal: Fatal;
  readonly soft: (state: SoftState) => void;
  readonly reads: (states: readonly ReadState[]) => void;
  readonly sendSnapshot: (message: SnapshotMessage) => void;
}

/** Proposals that wait for the core, in bytes: beyond them they are dropped, and their proposers send again. */
const LOCAL_BYTES_MAX = 64 * 2 ** 20;

/**
 * Takes Readys and does their work: messages leave at once, the log writer and the applier work beside the loop, and what
 * they have done is stepped into the core. So heartbeats are answered while an fsync runs.
 */
export class ReadyLoop {
  readonly #options: ReadyLoopOptions;
  #local: Uint8Array[] = [];
  #localBytes = 0;
  #stampedAt: number | undefined;
  #scheduled = false;
  #stopped = false;
  /** Appends without entries, by peer: they tell how far the log is committed, or ask how far the peer's goes. */
  readonly #notices = new Map<RaftId, PeerMessage>();

  constructor(options: ReadyLoopOptions) {
    this.#options = options;
  }

  /** As leader: proposes a tick of catalog time where nothing was stamped for `idleMs`. */
  moveTime(idleMs: number, random: Random): void {
    if (this.#options.monotonicMs() - (this.#stampedAt ?? 0) < Math.min(idleMs, STAMP_MS_MAX) || this.#local.length > 0) return;
    const sequence = Math.floor(random.float() * 2 ** 48);
    this.take([encodeEnvelope({ v: this.#options.version(), session: 0, sequence, lowest: 0, command: { type: "clock.tick" } })]);
  }

  wake(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    this.#options.defer(() => {
      this.#scheduled = false;
      this.process();
    });
  }

  /** As leader: takes envelopes, its own and those that followers sent on. */
  take(envelopes: readonly Uint8Array[]): void {
    for (const envelope of envelopes) {
      if (this.#localBytes > LOCAL_BYTES_MAX) break;
      this.#local.push(envelope);
      this.#localBytes += envelope.byteLength;
    }
    this.wake();
  }

  step(message: Message | StorageReply): void {
    this.#guard(() => this.#options.node.step(message));
    this.wake();
  }

  tick(): void {
    this.#guard(() => this.#options.node.tick());
    this.wake();
  }

  process(): void {
    this.#guard(() => {
      const { node } = this.#options;
      this.#propose();
      while (!this.#stopped && node.hasReady()) this.#handle(node.ready());
    });
  }

  /** A new leader's first stamp is 0; a node that leads no more keeps no proposals. */
  roleChanged(): void {
    this.#stampedAt = undefined;
    this.#local = [];
    this.#localBytes = 0;
  }

  stop(): void {
    this.#stopped = true;
    this.#local = [];
    this.#notices.clear();
  }

  /** All that came in one turn goes into as few entries as may be, and those into one append. */
  #propose(): void {
    const { node, appendBytes, monotonicMs } = this.#options;
    while (this.#local.length > 0) {
      const entries: Uint8Array[] = [];
      let count = 0;
      let sizeBytes = 0;
      const now = monotonicMs();
      let before = this.#stampedAt ?? now;
      for (const envelopes of groupsOf(this.#local)) {
        const stampMs = Math.trunc(now - before);
        const entry = stampEntry(stampMs, ...envelopes);
        if (entries.length > 0 && sizeBytes + entry.byteLength > appendBytes) break;
        entries.push(entry);
        before += stampMs;
        count += envelopes.length;
        sizeBytes += entry.byteLength;
      }
      // Refused while leadership is handed over or too much is uncommitted: they wait, or go with the leadership.
      if (node.proposeAll(entries) !== undefined) return;
      this.#stampedAt = before;
      for (const envelope of this.#local.splice(0, count)) this.#localBytes -= envelope.byteLength;
    }
  }

  #handle(ready: Ready): void {
    if (ready.softState !== undefined) this.#options.soft(ready.softState);
    const { storageAppend } = ready;
    // Others may elect it without its own vote: one that forgets its term in a crash would lead it twice, with two logs (Raft paper, figure 2: before it answers or asks).
    const held = storageAppend === undefined ? [] : ready.messages.filter(({ type }) => type === "vote");
    this.#send(held.length === 0 ? ready.messages : ready.messages.filter(({ type }) => type !== "vote"));
    if (ready.readStates.length > 0) this.#options.reads(ready.readStates);
    if (storageAppend !== undefined) this.#store(storageAppend, held);
    if (ready.storageApply !== undefined) {
      this.#options.applier.enqueue({ entries: ready.storageApply.entries, replies: ready.storageApply.responses });
    }
  }

  /** @param held said once it is on the disk */
  #store(work: StorageAppend, held: readonly Message[]): void {
    const { log } = this.#options;
    log.append({ hardState: work.hardState, snapshot: work.snapshot?.meta, entries: work.entries }).then(
      () => {
        if (this.#stopped) return;
        const own = work.responses.filter(({ to }) => to === this.#options.self);
        this.#send([...held, ...work.responses.filter((response): response is Message => response.to !== this.#options.self)]);
        this.#guard(() => {
          for (const response of own) this.#options.node.step(response);
        });
        this.process();
      },
      () => undefined, // The log has told `fatal`.
    );
  }

  #send(messages: readonly Message[]): void {
    const byPeer = new Map<RaftId, PeerMessage[]>();
    for (const message of messages) {
      if (message.type === "snapshot") {
        this.#options.sendSnapshot(message);
        continue;
      }
      if (message.type === "append" && this.#waits(message)) continue;
      const list = byPeer.get(message.to);
      if (list === undefined) byPeer.set(message.to, [{ kind: "raft", message }]);
      else list.push({ kind: "raft", message });
    }
    for (const [to, list] of byPeer) this.#options.transport.send(to, list);
  }

  /** One without entries waits a moment: the next proposal is often there by then, and its append says the same. */
  #waits(message: AppendMessage): boolean {
    const isNotice = message.entries.length === 0;
    if (!isNotice) this.#notices.delete(message.to);
    else {
      const { defer } = this.#options;
      // In the turn after the next: what has just been committed is answered in this one, and its proposer's next command is taken in the next.
      if (this.#notices.size === 0) defer(() => defer(() => this.#sendNotices()));
      this.#notices.set(message.to, { kind: "raft", message });
    }
    return isNotice;
  }

  #sendNotices(): void {
    for (const [to, notice] of this.#notices) this.#options.transport.send(to, [notice]);
    this.#notices.clear();
  }

  #guard(run: () => void): void {
    if (this.#stopped) return;
    try {
      run();
    } catch (error) {
      this.#stopped = true;
      this.#options.fatal(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
