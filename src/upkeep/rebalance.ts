import type { BlobStore } from "../blobs/blob-store.ts";
import type { Applied, Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { BlobRecord, Member } from "../metadata/records.ts";
import { Breath } from "./breath.ts";
import { ByteRate } from "./byte-rate.ts";
import { type Move, nextMove } from "./next-move.ts";
import { RateMeter } from "./rate-meter.ts";
import { Refusals } from "./refusals.ts";
import type { Repair } from "./repair.ts";
import type { Amount } from "./standing.ts";

export interface RebalanceOptions {
  readonly consensus: Consensus;
  readonly exchange: Exchange;
  readonly blobs: Pick<BlobStore, "stat">;
  readonly repair: Repair;
  readonly clock: Clock;
  readonly log: Log;
  readonly self: RaftId;
  /** `durability.copies`, where the cluster's record names none. */
  readonly copies: number;
  /** `durability.moveRate`: what this node sends at most, in bytes a second. */
  readonly bytesPerSecond: number;
  /** Aborts when the node stops. */
  readonly stopping: AbortSignal;
  /** How often it is looked whether time has brought work. */
  readonly periodMs?: number;
}

const PERIOD_MS = 30_000;
const PAGE = 256;
/** Records that are kept by name; those beyond are counted, and found by the next survey. */
const KEPT_MAX = 50_000;

/**
 * Moves copies to where placement wants them: after a join about 1/n of the data, after a node's return what stood in for it, after a push the copy that lies
 * where the client came. In the background, under a byte rate, while nothing is short of copies; a copy goes only when the others are durable. What lies here
 * is looked through once after each change of the members, and known by the commands that apply afterwards.
 */
export class Rebalance {
  readonly #options: RebalanceOptions;
  readonly #rate: ByteRate;
  readonly #stops: readonly (() => void)[];
  /** Out of place, and this node's to move; with the bytes that are to be sent. */
  readonly #moves = new Map<Digest, number>();
  readonly #refusals: Refusals;
  /** As they were heeded last. */
  #refusing: ReadonlySet<RaftId> = new Set();
  /** Bytes that this node has moved. */
  readonly meter: RateMeter;
  #bytes = 0;
  #beyond: Amount = { blobs: 0, bytes: 0 };
  /** The overdue members of the last survey. */
  #overdue: ReadonlySet<RaftId> = new Set();
  #surveyDue = true;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(options: RebalanceOptions) {
    this.#options = options;
    const { clock, consensus, repair } = options;
    this.#rate = new ByteRate(clock);
    this.#refusals = new Refusals(clock, () => this.#wake());
    this.meter = new RateMeter(clock);
    this.#stops = [
      // short records come first: it begins when a pass of the repair has found none
      repair.onPass(() => this.#wake()),
      consensus.onApplied((applied) => this.#hear(applied)),
      consensus.onInstalled(() => {
        this.#surveyDue = true;
      }),
      clock.every(options.periodMs ?? PERIOD_MS, () => this.#wake()),
    ];
  }

  stop(): void {
    this.#stopped = true;
    for (const stop of this.#stops) stop();
  }

  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** What this node has yet to move; a copy that only goes counts no bytes. */
  get amount(): Amount {
    return { blobs: this.#moves.size + this.#beyond.blobs, bytes: this.#bytes + this.#beyond.bytes };
  }

  /** A member is connected that was not: it may take now what it did not take before. */
  peerConnected(): void {
    if (this.#refusals.clear()) this.#wake();
  }

  #hear({ command, outcome }: Applied): void {
    if (outcome.refused !== undefined) return;
    switch (command.type) {
      case "member.add":
      case "member.remove":
      case "member.replace":
      case "member.state":
      case "member.update":
        this.#surveyDue = true; // the repair hears of it too, and wakes this once nothing is short
        break;
      case "blob.commit":
      case "copy.add":
      case "copy.drop":
        if (this.#note(command.digest) !== undefined || this.#moves.size > 0) this.#wake();
        break;
      case "cache.evict":
      case "gc.condemn":
        this.#note(command.digest);
        break;
    }
  }

  #wake(): void {
    if (this.#stopped) return;
    this.#again = true;
    this.#running ??= this.#passes().finally(() => {
      this.#running = undefined;
    });
  }

  async #passes(): Promise<void> {
    const { log, stopping } = this.#options;
    await Promise.resolve(); // the listeners of the entry that woke it, and its waiters, come first
    while (this.#again && !stopping.aborted) {
      this.#again = false;
      try {
        await this.#pass();
      } catch (error) {
        if (!stopping.aborted) log.warn({ error }, "copies could not be moved to where they belong: it is tried again");
      }
    }
  }

  async #pass(): Promise<void> {
    this.#heedTime();
    if (!this.#mayMove()) return;
    if (this.#surveyDue || (this.#moves.size === 0 && this.#beyond.blobs > 0)) await this.#survey();
    const breath = new Breath();
    for (const digest of [...this.#moves.keys()]) {
      await breath.next();
      if (!this.#mayMove()) return;
      await this.#bringHome(digest);
    }
  }

  #mayMove(): boolean {
    const { consensus, repair } = this.#options;
    return !this.#stopped && !consensus.status().cutOff && repair.shortage.mendable.blobs === 0;
  }

  /** Time alone changes what is wanted: a member has been down for long, or has refused long ago. */
  #heedTime(): void {
    const refusing = this.#refusals.current();
    if (!this.#refusing.isSubsetOf(refusing)) this.#surveyDue = true;
    this.#refusing = refusing;
    const overdue = this.#options.repair.shortage.overdue();
    if (overdue.symmetricDifference(this.#overdue).size > 0) this.#surveyDue = true;
    this.#overdue = overdue;
  }

  async #survey(): Promise<void> {
    const { consensus, self } = this.#options;
    this.#surveyDue = false;
    this.#beyond = { blobs: 0, bytes: 0 };
    const breath = new Breath();
    for (const digest of [...this.#moves.keys()]) {
      this.#note(digest);
      await breath.next();
    }
    for (let after = ""; !this.#stopped; ) {
      const page = await consensus.catalog.heldBy(self, after, PAGE);
      for (const digest of page) {
        this.#note(digest);
        await breath.next();
      }
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return;
      after = last;
    }
  }

  /** Keeps, counts or forgets a record. @returns what this node is to do for it */
  #note(digest: Digest): Move | undefined {
    const { consensus, self } = this.#options;
    const record = consensus.catalog.blob(digest);
    const move = record?.state === "live" && record.copies.includes(self) ? this.#moveOf(digest, record) : undefined;
    const known = this.#moves.get(digest);
    this.#bytes -= known ?? 0;
    if (move === undefined || record === undefined) {
      this.#moves.delete(digest);
      return undefined;
    }
    const bytes = move.type === "add" ? record.sizeBytes : 0;
    if (known === undefined && this.#moves.size >= KEPT_MAX) {
      this.#beyond = { blobs: this.#beyond.blobs + 1, bytes: this.#beyond.bytes + bytes };
      return undefined;
    }
    this.#moves.set(digest, bytes);
    this.#bytes += bytes;
    return move;
  }

  #moveOf(digest: Digest, record: BlobRecord): Move | undefined {
    const { consensus, copies, self } = this.#options;
    const move = nextMove(consensus.catalog, digest, record, { copies, overdue: this.#overdue, refusing: this.#refusing });
    return move?.actor === self ? move : undefined;
  }

  /** One record, step by step, as long as the next step is this node's. */
  async #bringHome(digest: Digest): Promise<void> {
    const { repair, stopping } = this.#options;
    for (;;) {
      if (repair.isPushing(digest)) return;
      if (this.#note(digest)?.type === "add") await this.#rate.turn(stopping);
      const move = this.#note(digest);
      if (move === undefined || !this.#mayMove()) return;
      const done = move.type === "add" ? await this.#add(digest, move.member) : await this.#drop(digest, move.member.raftId);
      if (!done) return;
    }
  }

  async #add(digest: Digest, member: Member): Promise<boolean> {
    const { blobs, bytesPerSecond, consensus, exchange, log, repair, stopping } = this.#options;
    const record = consensus.catalog.blob(digest);
    if (record?.state !== "live") return false;
    if ((await blobs.stat(digest)) === undefined) {
      repair.reportBad(digest);
      return false;
    }
    const { sizeBytes, root } = record;
    const { commitId, deadline } = repair.newCommit(sizeBytes);
    const holders = consensus.catalog.holders(record).map(({ peerId }) => peerId);
    const taken = await exchange.spread({ digest, sizeBytes, root, holders }, commitId, [member.peerId], () => undefined, stopping);
    this.#rate.spend(sizeBytes, bytesPerSecond);
    if (taken.length === 0) {
      log.debug({ digest, member: member.raftId }, "a member did not take a copy that belongs there: it is asked again later");
      // unless it is this copy that is bad
      if (await repair.verify(digest)) this.#refused(member.raftId);
      return false;
    }
    this.#refusals.took(member.raftId);
    this.meter.add(sizeBytes);
    const { refused } = await consensus.propose({ type: "copy.add", digest, copy: member.raftId, deadline, commitId });
    if (refused !== undefined) log.debug({ digest, copy: member.raftId, refused }, "a copy that was moved was not recorded");
    return refused === undefined;
  }

  #refused(member: RaftId): void {
    this.#refusals.add(member);
    this.#refusing = this.#refusals.current();
  }

  /** `count`: another one went, or a member went down a moment ago; what follows is heard. */
  async #drop(digest: Digest, copy: RaftId): Promise<boolean> {
    const { consensus, log } = this.#options;
    const { refused } = await consensus.propose({ type: "copy.drop", digest, copy, bad: false, keepUp: true });
    if (refused !== undefined) log.debug({ digest, copy, refused }, "a surplus copy stays for now");
    return refused === undefined;
  }
}
