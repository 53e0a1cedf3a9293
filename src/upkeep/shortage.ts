import type { Applied, Consensus } from "../consensus/consensus.ts";
import type { Digest } from "../core/digest.ts";
import type { RaftId } from "../core/peer.ts";
import type { BlobRecord } from "../metadata/records.ts";
import { Breath } from "./breath.ts";
import { type Amount, countedHolders, NOTHING, overdueMembers, targetCopies } from "./standing.ts";

export interface ShortageOptions {
  readonly consensus: Consensus;
  /** `durability.copies`, where the cluster's record names none. */
  readonly copies: number;
  /** `durability.repairAfter`: for so long copies of a member that is down are not made again. */
  readonly repairAfterMs: number;
}

/** What is known of a record that is short of copies. */
export interface Shortness {
  /** Passes that found it before. */
  passes: number;
  /** The copy here was read again, since nobody would take it. */
  verified: boolean;
}

/** Of the copies that are lacking. */
interface Lack {
  readonly bytes: number;
  /** Only since a holder drains: nothing is in danger. */
  readonly isLeaving: boolean;
}

interface Kept extends Shortness {
  lack: Lack;
}

/** Both kinds of lack. */
interface Tally {
  readonly short: Amount;
  readonly leaving: Amount;
}

const EMPTY: Tally = { short: NOTHING, leaving: NOTHING };

const PAGE = 256;
/** Records that are kept by name; those beyond are counted, and found by the next survey. */
const KEPT_MAX = 50_000;

/**
 * Which records are short of copies. What stands in the catalog's indexes (too few copies, a removed holder, one that drains) is listed by each survey, in
 * proportion to what is short; a member whose time for repair has come is looked through once, and what follows is known by the commands that apply.
 */
export class Shortage {
  readonly #options: ShortageOptions;
  readonly #short = new Map<Digest, Kept>();
  #kept = EMPTY;
  #beyond = EMPTY;
  /** Short, and every member that is up holds a copy: there is nobody to take one. */
  #stuck = EMPTY;
  /** Overdue members that were looked through, with what was stuck there. */
  readonly #walked = new Map<RaftId, Tally>();

  constructor(options: ShortageOptions) {
    this.#options = options;
  }

  /** Records that a member which is up could take. More may come while they are gone through. */
  get records(): ReadonlyMap<Digest, Shortness> {
    return this.#short;
  }

  /** What is short, or is to leave a member that drains, and could be mended with the members that are up. */
  get mendable(): Amount {
    const { short, leaving } = sum(this.#kept, this.#beyond);
    return plus(short, leaving);
  }

  /** All that is short of copies; what a drain moves is not. */
  get amount(): Amount {
    return [this.#kept, this.#beyond, this.#stuck, ...this.#walked.values()].reduce((all, one) => sum(all, one)).short;
  }

  overdue(): ReadonlySet<RaftId> {
    return overdueMembers(this.#options.consensus.catalog, this.#options.repairAfterMs);
  }

  /** @returns whether what has applied asks for a look: a survey, or at one record that has become short */
  hear({ command, outcome }: Applied): "survey" | "record" | undefined {
    if (outcome.refused !== undefined) return undefined;
    switch (command.type) {
      case "member.add":
      case "member.remove":
      case "member.replace":
      case "member.state":
        this.#walked.clear();
        return "survey";
      case "copy.drop":
        return this.#look(command.digest, this.overdue()) ? "record" : undefined;
      case "copy.add":
      case "blob.commit":
      case "cache.evict":
      case "gc.condemn":
        // a commit whose other copies are on their way is none of it yet
        if (this.#short.has(command.digest)) this.#look(command.digest, this.overdue());
        return undefined;
      default:
        return undefined;
    }
  }

  /** After a snapshot, whose commands nobody heard. */
  forgetWalks(): void {
    this.#walked.clear();
  }

  async survey(): Promise<void> {
    const overdue = this.overdue();
    for (const id of this.#walked.keys()) if (!overdue.has(id)) this.#walked.delete(id);
    if (this.#beyond !== EMPTY) this.#walked.clear();
    this.#beyond = EMPTY;
    const breath = new Breath();
    for (const digest of [...this.#short.keys()]) {
      this.#look(digest, overdue);
      await breath.next();
    }
    this.#stuck = await this.#surveyIndexes(overdue);
    for (const id of overdue) if (!this.#walked.has(id)) await this.#walk(id, overdue);
  }

  /** @returns what is stuck */
  async #surveyIndexes(overdue: ReadonlySet<RaftId>): Promise<Tally> {
    const { catalog } = this.#options.consensus;
    let stuck = EMPTY;
    for (let after = ""; ; ) {
      const page = await catalog.shortRecords(after, PAGE);
      for (const digest of page) stuck = sum(stuck, this.#find(digest, overdue));
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return stuck;
      after = last;
    }
  }

  /** What the indexes do not show: records that list enough copies, of which too few count since `id` is overdue. */
  async #walk(id: RaftId, overdue: ReadonlySet<RaftId>): Promise<void> {
    const { catalog } = this.#options.consensus;
    this.#walked.set(id, EMPTY);
    for (let after = ""; ; ) {
      const page = await catalog.heldBy(id, after, PAGE);
      // a member has come or gone meanwhile: the survey that this asked for begins again
      const before = this.#walked.get(id);
      if (before === undefined) return;
      const stuck = page.filter((digest) => this.#isShownFirstBy(id, digest, overdue)).map((digest) => this.#find(digest, overdue));
      this.#walked.set(
        id,
        stuck.reduce((all, one) => sum(all, one), before),
      );
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return;
      after = last;
    }
  }

  /** Neither by the indexes, nor by another overdue member: each is counted once. */
  #isShownFirstBy(id: RaftId, digest: Digest, overdue: ReadonlySet<RaftId>): boolean {
    const { catalog } = this.#options.consensus;
    const record = catalog.blob(digest);
    if (record === undefined) return false;
    if (catalog.holders(record).filter((member) => !member.draining).length < this.#target()) return false;
    return Math.min(...record.copies.filter((copy) => overdue.has(copy))) === id;
  }

  #target(): number {
    return targetCopies(this.#options.consensus.catalog, this.#options.copies);
  }

  /** Keeps or counts what a survey has shown. @returns it, where it is stuck */
  #find(digest: Digest, overdue: ReadonlySet<RaftId>): Tally {
    const lack = this.#lackOf(digest, overdue);
    if (lack === undefined) return EMPTY;
    if (!this.#isMendable(digest)) return tallyOf(lack);
    if (this.#short.has(digest) || this.#short.size < KEPT_MAX) this.#keep(digest, lack);
    else this.#beyond = sum(this.#beyond, tallyOf(lack));
    return EMPTY;
  }

  /** @returns whether it is short, and could be mended */
  #look(digest: Digest, overdue: ReadonlySet<RaftId>): boolean {
    const lack = this.#lackOf(digest, overdue);
    if (lack !== undefined && this.#isMendable(digest)) {
      this.#keep(digest, lack);
      return true;
    }
    const known = this.#short.get(digest);
    if (known !== undefined) this.#kept = sum(this.#kept, tallyOf(known.lack), -1);
    this.#short.delete(digest);
    return false;
  }

  #keep(digest: Digest, lack: Lack): void {
    const known = this.#short.get(digest);
    if (known !== undefined) this.#kept = sum(this.#kept, tallyOf(known.lack), -1);
    this.#kept = sum(this.#kept, tallyOf(lack));
    if (known === undefined) this.#short.set(digest, { passes: 0, verified: false, lack });
    else known.lack = lack;
  }

  /** Undefined where nothing is lacking; an empty blob lacks copies of no bytes. */
  #lackOf(digest: Digest, overdue: ReadonlySet<RaftId>): Lack | undefined {
    const { catalog } = this.#options.consensus;
    const record = catalog.blob(digest);
    if (record?.state !== "live") return undefined;
    const target = this.#target();
    const lacking = target - countedHolders(catalog, record, overdue).length;
    if (lacking <= 0) return undefined;
    const there = catalog.holders(record).filter((member) => !overdue.has(member.raftId));
    return { bytes: lacking * record.sizeBytes, isLeaving: there.length >= target };
  }

  #isMendable(digest: Digest): boolean {
    const { catalog } = this.#options.consensus;
    const record = catalog.blob(digest) as BlobRecord;
    const holders = new Set(catalog.holders(record).map((member) => member.raftId));
    // one that drains takes a copy only where `need` could not be met otherwise
    const mayDrain = holders.size < catalog.need();
    return catalog.members().some(({ raftId, down, draining }) => !holders.has(raftId) && !down && (mayDrain || !draining));
  }
}

function tallyOf({ bytes, isLeaving }: Lack): Tally {
  const amount = { blobs: 1, bytes };
  return isLeaving ? { short: NOTHING, leaving: amount } : { short: amount, leaving: NOTHING };
}

function sum(a: Tally, b: Tally, times: 1 | -1 = 1): Tally {
  return { short: plus(a.short, b.short, times), leaving: plus(a.leaving, b.leaving, times) };
}

function plus(a: Amount, b: Amount, times: 1 | -1 = 1): Amount {
  return { blobs: a.blobs + times * b.blobs, bytes: a.bytes + times * b.bytes };
}
