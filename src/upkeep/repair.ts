import type { BlobStore } from "../blobs/blob-store.ts";
import type { Applied } from "../consensus/consensus.ts";
import type { Digest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { PeerId, RaftId } from "../core/peer.ts";
import type { PieceHash } from "../core/pieces.ts";
import type { Random } from "../core/random.ts";
import type { BlobRecord, Member } from "../metadata/records.ts";
import type { Audit } from "./audit.ts";
import { BadCopies } from "./bad-copies.ts";
import { Breath } from "./breath.ts";
import { type Commit, newCommit } from "./commit-id.ts";
import { Lanes } from "./lanes.ts";
import { RateMeter } from "./rate-meter.ts";
import { Refusals } from "./refusals.ts";
import { Shortage, type Shortness } from "./shortage.ts";
import { candidates, Spread, type SpreadContext } from "./spread.ts";

export interface RepairOptions extends SpreadContext {
  readonly blobs: BlobStore;
  readonly random: Random;
  readonly self: { readonly peerId: PeerId; readonly raftId: RaftId };
  readonly audit: Audit;
  /** `durability.repairAfter`: for so long copies of a member that is down are not made again. */
  readonly repairAfterMs: number;
  /** How often records that are short of copies are looked for without cause. */
  readonly periodMs?: number;
}

interface Gathered {
  readonly copies: readonly RaftId[];
  committed(): void;
  abandon(): void;
}

const PERIOD_MS = 30_000;
/** How long a node that was taken in, or has just begun, may need until it serves blobs. */
const NEWCOMER_MS = 3_000;
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
  readonly #badCopies: BadCopies;
  readonly #refusals: Refusals;
  readonly #listeners = new Set<() => void>();
  readonly shortage: Shortage;
  /** Bytes that this node has sent to make copies again. */
  readonly meter: RateMeter;
  readonly #spreading = new Map<Digest, Promise<void>>();
  readonly #pushing = new Map<Digest, number>();
  #pass: Promise<void> | undefined;
  #again = false;
  #surveyDue = true;
  #wakesLater = false;
  #stopped = false;

  constructor(options: RepairOptions) {
    this.#options = options;
    this.#context = options;
    this.#badCopies = new BadCopies(options);
    this.#refusals = new Refusals(options.clock, () => this.#wake());
    this.shortage = new Shortage(options);
    this.meter = new RateMeter(options.clock);
    this.#stops = [
      options.consensus.onApplied((applied) => this.#hear(applied)),
      options.consensus.onInstalled(() => {
        this.shortage.forgetWalks();
        this.wake();
      }),
      options.clock.every(options.periodMs ?? Math.min(PERIOD_MS, options.repairAfterMs), () => this.wake()),
    ];
  }

  /** Begins nothing more but for what is pushed; `idle` resolves after the record at hand. */
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
    const overdue = this.shortage.overdue();
    const leaving = holders.filter(({ raftId, draining }) => draining || overdue.has(raftId)).map((member) => member.raftId);
    const counted = [...held].filter((raftId) => !leaving.includes(raftId));
    const spread = new Spread(this.#context, { digest, sizeBytes: record.sizeBytes, root: record.root, commit, held: counted, leaving });
    const additions: Promise<void>[] = [];
    const add = (copy: RaftId): void => {
      this.meter.add(record.sizeBytes);
      this.#refusals.took(copy);
      additions.push(this.#addLate(digest, copy, commit));
    };
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
    this.#badCopies.report(digest);
  }

  /** Reads the copy here again, where nobody would take it; a bad one is quarantined and struck. @returns whether it is good */
  verify(digest: Digest): Promise<boolean> {
    return this.#badCopies.verify(digest, this.#options.stopping);
  }

  #hear(applied: Applied): void {
    const asks = this.shortage.hear(applied);
    if (asks === "survey") this.wake();
    else if (asks === "record") this.#wake();
    // a newcomer is not spoken to before it has heard itself that it is one
    const { type } = applied.command;
    if (asks === "survey" && (type === "member.add" || type === "member.replace")) this.#wakeLater();
  }

  /** Whether this node spreads it, for a client that pushes it. */
  isPushing(digest: Digest): boolean {
    return this.#pushing.has(digest);
  }

  /** Called after each pass. @returns ends it */
  onPass(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A member is connected that was not: it may take, or give, what was missing. At once, and once more when a node that has just begun serves blobs. */
  peerConnected(): void {
    this.#refusals.clear();
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
    this.#surveyDue = true;
    this.#wake();
  }

  #wake(): void {
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
    while (this.#again && !this.#stopped && !stopping.aborted) {
      this.#again = false;
      if (consensus.status().cutOff) return;
      await this.#badCopies.retry();
      try {
        await this.#look();
        for (const listener of this.#listeners) listener();
      } catch (error) {
        if (!stopping.aborted) log.warn({ error }, "the search for records short of copies failed: it begins again with the next pass");
      }
    }
  }

  async #look(): Promise<void> {
    if (this.#surveyDue) {
      this.#surveyDue = false;
      await this.shortage.survey();
    }
    const silent = new Set<RaftId>(this.#refusals.current());
    let connected = this.#connected();
    const breath = new Breath();
    const lanes = new Lanes();
    try {
      for (const [digest, shortness] of this.shortage.records) {
        await breath.next();
        if (this.#stopped) break;
        if (!this.#pushing.has(digest) && this.#isOurs(digest, shortness.passes, connected)) {
          const sizeBytes = this.#options.consensus.catalog.blob(digest)?.sizeBytes ?? 0;
          await lanes.begin(sizeBytes, () => this.#heal(digest, shortness, silent));
          connected = this.#connected();
        }
        shortness.passes += 1;
      }
    } finally {
      await lanes.end();
    }
  }

  #connected(): ReadonlySet<PeerId> {
    return new Set(this.#options.exchange.peers().flatMap((peer) => (peer.connected ? [peer.peer] : [])));
  }

  /** One rule, the same on every node: in the order of their ids, each holder that is connected has its passes. */
  #isOurs(digest: Digest, passes: number, connected: ReadonlySet<PeerId>): boolean {
    const { consensus, self } = this.#options;
    const record = consensus.catalog.blob(digest);
    if (record?.state !== "live") return false;
    const isThere = (member: Member): boolean => member.raftId === self.raftId || connected.has(member.peerId);
    const holders = consensus.catalog.holders(record).filter(isThere);
    const position = holders
      .map((member) => member.raftId)
      .sort((a, b) => a - b)
      .indexOf(self.raftId);
    return position >= 0 && passes >= position * PASSES_EACH;
  }

  /** @param silent members that were not reached in this pass, or take nothing: one that is dead or full costs one attempt a pass, and not one a record. @returns whether there is a copy more */
  async #heal(digest: Digest, shortness: Shortness, silent: Set<RaftId>): Promise<boolean> {
    const { consensus, log, stopping } = this.#options;
    const before = consensus.catalog.blob(digest)?.copies;
    const targets = candidates(consensus.catalog, digest, new Set(before));
    if (targets.every((target) => silent.has(target.raftId))) return false;
    try {
      await this.spreadNow(digest, stopping);
    } catch (error) {
      if (stopping.aborted) throw error;
      const known = error instanceof OciError ? error.code : error;
      log.warn({ digest, error: known }, "a record stays short of copies: it is tried again with the next pass");
    }
    if (consensus.catalog.blob(digest)?.copies !== before) return true;
    const connected = this.#connected();
    const unreached = targets.filter((target) => !connected.has(target.peerId));
    for (const target of unreached) silent.add(target.raftId);
    if (unreached.length === targets.length) return false;
    const isGood = shortness.verified || (await this.verify(digest));
    shortness.verified = true;
    if (!isGood) return false;
    for (const { raftId } of targets.filter((target) => connected.has(target.peerId))) {
      this.#refusals.add(raftId);
      silent.add(raftId);
    }
    return false;
  }
}
