import type { BlobStore } from "../blobs/blob-store.ts";
import { CorruptBlobError } from "../blobs/corrupt-blob.ts";
import type { Applied } from "../consensus/consensus.ts";
import type { Digest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { PeerId, RaftId } from "../core/peer.ts";
import type { PieceHash } from "../core/pieces.ts";
import type { Random } from "../core/random.ts";
import type { BlobRecord, Member } from "../metadata/records.ts";
import { type Commit, newCommit } from "./commit-id.ts";
import { candidates, Spread, type SpreadContext } from "./spread.ts";

export interface RepairOptions extends SpreadContext {
  readonly blobs: BlobStore;
  readonly random: Random;
  readonly self: { readonly peerId: PeerId; readonly raftId: RaftId };
  /** How often records that are short of copies are looked for without cause. */
  readonly periodMs?: number;
}

interface Gathered {
  readonly copies: readonly RaftId[];
  committed(): void;
  abandon(): void;
}

interface Shortness {
  /** Passes that found it before. */
  readonly passes: number;
  /** The copy here was read again, since nobody would take it. */
  verified: boolean;
}

const PERIOD_MS = 30_000;
/** How long a node that was taken in, or has just begun, may need until it serves blobs. */
const NEWCOMER_MS = 3_000;
const PAGE = 256;
/** A holder whose turn it is has so many passes before the next one tries as well. */
const PASSES_EACH = 3;

/**
 * Brings records to their number of copies: those that are pushed, those that a grown cluster or a lost copy left short. Of a record's holders the one with
 * the lowest raft id that is connected acts; where that does not help, the next one does too. One record at a time.
 */
export class Repair {
  readonly #options: RepairOptions;
  readonly #context: SpreadContext;
  readonly #stops: readonly (() => void)[];
  /** Records that the last pass found short. */
  #short = new Map<Digest, Shortness>();
  readonly #spreading = new Map<Digest, Promise<void>>();
  readonly #pushing = new Map<Digest, number>();
  readonly #bad = new Set<Digest>();
  #pass: Promise<void> | undefined;
  #again = false;
  #wakesLater = false;
  #stopped = false;

  constructor(options: RepairOptions) {
    this.#options = options;
    this.#context = options;
    this.#stops = [
      options.consensus.onApplied((applied) => this.#hear(applied)),
      options.consensus.onInstalled(() => this.wake()),
      options.clock.every(options.periodMs ?? PERIOD_MS, () => this.wake()),
    ];
  }

  stop(): void {
    this.#stopped = true;
    for (const stop of this.#stops) stop();
  }

  newCommit(sizeBytes: number): Commit {
    return newCommit(this.#options.consensus.catalog.time(), sizeBytes, this.#options.random);
  }

  /**
   * Spreads a blob that is pinned here until `need` members hold it, this one included; goes on with the other targets afterwards.
   * @throws OciError UNAVAILABLE where too few can be reached within the deadline
   */
  async gather(blob: { digest: Digest; sizeBytes: number; root: PieceHash }, commit: Commit, signal: AbortSignal): Promise<Gathered> {
    const { digest } = blob;
    const spread = new Spread(this.#context, { ...blob, commit, held: [this.#options.self.raftId] });
    this.#pushing.set(digest, (this.#pushing.get(digest) ?? 0) + 1);
    void spread.done.finally(() => {
      const left = (this.#pushing.get(digest) ?? 1) - 1;
      if (left > 0) this.#pushing.set(digest, left);
      else this.#pushing.delete(digest);
    });
    const copies = await spread.reached(signal);
    return {
      copies,
      committed: () => {
        spread.onLate((copy) => void this.#addLate(digest, copy, commit));
        void spread.done.then(() => {
          if (spread.lacking > 0)
            this.#options.log.debug({ digest, lacking: spread.lacking }, "a pushed blob lacks copies: repair goes on");
        });
      },
      abandon: () => spread.abandon(),
    };
  }

  async #addLate(digest: Digest, copy: RaftId, commit: Commit): Promise<void> {
    try {
      await this.#add(digest, copy, commit);
    } catch (error) {
      this.#options.log.warn({ digest, copy, error }, "a late copy could not be recorded: repair goes on with it");
    }
  }

  async #add(digest: Digest, copy: RaftId, { commitId, deadline }: Commit): Promise<void> {
    const outcome = await this.#options.consensus.propose({ type: "copy.add", digest, copy, deadline, commitId });
    if (outcome.refused !== undefined) this.#options.log.warn({ digest, copy, refused: outcome.refused }, "a copy was not recorded");
  }

  /**
   * Spreads a record that is short of `need` at once; callers that ask for the same record share the work.
   * @throws OciError UNAVAILABLE where that cannot be done within the deadline
   */
  async spreadNow(digest: Digest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    let work = this.#spreading.get(digest);
    if (work === undefined) {
      work = this.#spread(digest, this.#context.stopping).finally(() => this.#spreading.delete(digest));
      this.#spreading.set(digest, work);
    }
    const aborted = Promise.withResolvers<never>();
    const stop = (): void => aborted.reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    await Promise.race([work, aborted.promise]).finally(() => signal.removeEventListener("abort", stop));
  }

  async #spread(digest: Digest, signal: AbortSignal): Promise<void> {
    const { consensus } = this.#options;
    const { catalog } = consensus;
    const record = catalog.blob(digest);
    if (record?.state !== "live") return;
    const commit = this.newCommit(record.sizeBytes);
    const holders = catalog.holders(record);
    const held = new Set(holders.map((member) => member.raftId));
    if (await this.#hold(digest, record, held, commit, signal)) held.add(this.#options.self.raftId);
    const leaving = holders.filter((member) => member.draining).map((member) => member.raftId);
    const counted = [...held].filter((raftId) => !leaving.includes(raftId));
    const spread = new Spread(this.#context, { digest, sizeBytes: record.sizeBytes, root: record.root, commit, held: counted, leaving });
    const additions: Promise<void>[] = [];
    const add = (copy: RaftId): void => void additions.push(this.#addLate(digest, copy, commit));
    try {
      await spread.reached(signal);
    } finally {
      // those that came are recorded, also where they are too few
      for (const copy of spread.copies) if (!held.has(copy)) add(copy);
      spread.onLate(add);
    }
    await spread.done;
    await Promise.all(additions);
  }

  /** Sees that the bytes are here, to be sent on. @returns whether this node has become a copy by it */
  async #hold(digest: Digest, record: BlobRecord, held: ReadonlySet<RaftId>, commit: Commit, signal: AbortSignal): Promise<boolean> {
    const { blobs, consensus, exchange, self } = this.#options;
    if (held.has(self.raftId) && (await blobs.stat(digest)) !== undefined) return false;
    const expected = { digest, sizeBytes: record.sizeBytes, root: record.root };
    if ((await blobs.pin(digest, commit.commitId)) === undefined) {
      const holders = consensus.catalog.holders(record).map((member) => member.peerId);
      const others = holders.filter((peer) => peer !== self.peerId);
      const source = exchange.fetch({ ...expected, holders: others }, { start: 0, end: record.sizeBytes }, signal);
      await blobs.receive(expected, commit.commitId, source, signal);
    }
    await this.#add(digest, self.raftId, commit);
    return true;
  }

  /** This node's copy is gone or was quarantined: its place in the record is given up first, and the holders that are left heal it. */
  reportBad(digest: Digest): void {
    this.#bad.add(digest);
    void this.#giveUp(digest);
  }

  async #giveUp(digest: Digest): Promise<void> {
    const { blobs, consensus, log, self } = this.#options;
    try {
      const listed = consensus.catalog.blob(digest)?.copies.includes(self.raftId) === true;
      // a good one may have been brought since
      if (listed && (await blobs.stat(digest)) === undefined) {
        await consensus.propose({ type: "copy.drop", digest, copy: self.raftId, bad: true });
      }
      this.#bad.delete(digest);
    } catch (error) {
      log.warn({ digest, error }, "a bad copy could not be struck from the record yet: it is tried again with the next pass");
    }
  }

  #hear({ command, outcome }: Applied): void {
    if (outcome.refused !== undefined) return;
    const { type } = command;
    if (type === "member.add" || type === "member.remove" || type === "member.state" || type === "copy.drop") this.wake();
    // a newcomer is not spoken to before it has heard itself that it is one
    if (type === "member.add") this.#wakeLater();
  }

  /** A member is connected that was not: it may take, or give, what was missing. At once, and once more when a node that has just begun serves blobs. */
  peerConnected(): void {
    this.wake();
    this.#wakeLater();
  }

  #wakeLater(): void {
    if (this.#wakesLater) return;
    this.#wakesLater = true;
    this.#options.clock.after(NEWCOMER_MS, () => {
      this.#wakesLater = false;
      this.wake();
    });
  }

  /** Looks for short records; once more where it is asked for while a pass runs. */
  wake(): void {
    if (this.#stopped) return;
    this.#again = true;
    this.#pass ??= this.#passes().finally(() => {
      this.#pass = undefined;
    });
  }

  /** Resolves when no pass runs. */
  async idle(): Promise<void> {
    while (this.#pass !== undefined) await this.#pass;
  }

  async #passes(): Promise<void> {
    const { consensus, log, stopping } = this.#options;
    // the listeners of the entry that woke it, and its waiters, come first
    await Promise.resolve();
    while (this.#again && !stopping.aborted) {
      this.#again = false;
      if (consensus.status().cutOff) return;
      for (const digest of this.#bad) await this.#giveUp(digest);
      try {
        await this.#look();
      } catch (error) {
        if (!stopping.aborted) log.warn({ error }, "the search for records short of copies failed: it begins again with the next pass");
      }
    }
  }

  async #look(): Promise<void> {
    const { catalog } = this.#options.consensus;
    const short = new Map<Digest, Shortness>();
    const silent = new Set<RaftId>();
    for (let after = ""; ; ) {
      const page = await catalog.shortRecords(after, PAGE);
      for (const digest of page) {
        const before = this.#short.get(digest);
        const shortness = { passes: before === undefined ? 0 : before.passes + 1, verified: before?.verified === true };
        short.set(digest, shortness);
        if (!this.#pushing.has(digest) && this.#isOurs(digest, shortness.passes)) await this.#heal(digest, shortness, silent);
      }
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) break;
      after = last;
    }
    this.#short = short;
  }

  /** One rule, the same on every node: in the order of their ids, each holder that is connected has its passes. */
  #isOurs(digest: Digest, passes: number): boolean {
    const { consensus, exchange, self } = this.#options;
    const record = consensus.catalog.blob(digest);
    if (record?.state !== "live") return false;
    const connected = new Set(exchange.peers().flatMap((peer) => (peer.connected ? [peer.peer] : [])));
    const isThere = (member: Member): boolean => member.raftId === self.raftId || connected.has(member.peerId);
    const holders = consensus.catalog.holders(record).filter(isThere);
    const position = holders
      .map((member) => member.raftId)
      .sort((a, b) => a - b)
      .indexOf(self.raftId);
    return position >= 0 && passes >= position * PASSES_EACH;
  }

  /** @param silent members that were not reached in this pass: one that is dead costs one attempt a pass, and not one a record */
  async #heal(digest: Digest, shortness: Shortness, silent: Set<RaftId>): Promise<void> {
    const { consensus, exchange, log, stopping } = this.#options;
    const before = consensus.catalog.blob(digest)?.copies;
    const targets = candidates(consensus.catalog, digest, new Set(before));
    if (targets.every((target) => silent.has(target.raftId))) return;
    try {
      await this.spreadNow(digest, stopping);
    } catch (error) {
      if (stopping.aborted) throw error;
      const known = error instanceof OciError ? error.code : error;
      log.warn({ digest, error: known }, "a record stays short of copies: it is tried again with the next pass");
    }
    if (consensus.catalog.blob(digest)?.copies !== before) return;
    const connected = new Set(exchange.peers().flatMap((peer) => (peer.connected ? [peer.peer] : [])));
    const unreached = targets.filter((target) => !connected.has(target.peerId));
    for (const target of unreached) silent.add(target.raftId);
    if (unreached.length === targets.length || shortness.verified) return;
    shortness.verified = true;
    await this.#verify(digest, stopping);
  }

  /** Nobody took the copy: it may be this one that is bad, and a target does not say why it refuses (G6). */
  async #verify(digest: Digest, signal: AbortSignal): Promise<void> {
    const { blobs, log } = this.#options;
    const local = await blobs.stat(digest);
    if (local === undefined) return this.#giveUp(digest);
    try {
      for await (const _ of blobs.open(digest, { start: 0, end: local.sizeBytes }, signal));
    } catch (error) {
      if (!(error instanceof CorruptBlobError)) return;
      log.error({ digest, error }, "a copy on this node is bad: it is quarantined and healed from the others");
      await blobs.quarantine(digest, error.message);
      this.#bad.add(digest);
      await this.#giveUp(digest);
    }
  }
}
