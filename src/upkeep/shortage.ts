import type { Applied, Consensus } from "../consensus/consensus.ts";
import type { Digest } from "../core/digest.ts";
import type { RaftId } from "../core/peer.ts";
import type { BlobRecord } from "../metadata/records.ts";
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

interface Kept extends Shortness {
  /** Of the copies that are lacking. */
  bytes: number;
}

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
  #bytes = 0;
  #beyond: Amount = NOTHING;
  /** Short, and every member that is up holds a copy: there is nobody to take one. */
  #stuck: Amount = NOTHING;
  /** Overdue members that were looked through, with what was stuck there. */
  readonly #walked = new Map<RaftId, Amount>();

  constructor(options: ShortageOptions) {
    this.#options = options;
  }

  /** Records that a member which is up could take. More may come while they are gone through. */
  get records(): ReadonlyMap<Digest, Shortness> {
    return this.#short;
  }

  /** What is short, and could be mended with the members that are up. */
  get mendable(): Amount {
    return { blobs: this.#short.size + this.#beyond.blobs, bytes: this.#bytes + this.#beyond.bytes };
  }

  /** All that is short. */
  get amount(): Amount {
    return [this.mendable, this.#stuck, ...this.#walked.values()].reduce(sum);
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
    if (this.#beyond.blobs > 0) this.#walked.clear();
    this.#beyond = NOTHING;
    for (const digest of [...this.#short.keys()]) this.#look(digest, overdue);
    this.#stuck = await this.#surveyIndexes(overdue);
    for (const id of overdue) if (!this.#walked.has(id)) await this.#walk(id, overdue);
  }

  /** @returns what is stuck */
  async #surveyIndexes(overdue: ReadonlySet<RaftId>): Promise<Amount> {
    const { catalog } = this.#options.consensus;
    let stuck = NOTHING;
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
    this.#walked.set(id, NOTHING);
    for (let after = ""; ; ) {
      const page = await catalog.heldBy(id, after, PAGE);
      // a member has come or gone meanwhile: the survey that this asked for begins again
      const before = this.#walked.get(id);
      if (before === undefined) return;
      const stuck = page.filter((digest) => this.#isShownFirstBy(id, digest, overdue)).map((digest) => this.#find(digest, overdue));
      this.#walked.set(id, stuck.reduce(sum, before));
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
  #find(digest: Digest, overdue: ReadonlySet<RaftId>): Amount {
    const bytes = this.#lackingBytes(digest, overdue);
    if (bytes === undefined) return NOTHING;
    if (!this.#isMendable(digest)) return { blobs: 1, bytes };
    if (this.#short.has(digest) || this.#short.size < KEPT_MAX) this.#keep(digest, bytes);
    else this.#beyond = sum(this.#beyond, { blobs: 1, bytes });
    return NOTHING;
  }

  /** @returns whether it is short, and could be mended */
  #look(digest: Digest, overdue: ReadonlySet<RaftId>): boolean {
    const bytes = this.#lackingBytes(digest, overdue);
    if (bytes !== undefined && this.#isMendable(digest)) {
      this.#keep(digest, bytes);
      return true;
    }
    this.#bytes -= this.#short.get(digest)?.bytes ?? 0;
    this.#short.delete(digest);
    return false;
  }

  #keep(digest: Digest, bytes: number): void {
    const known = this.#short.get(digest);
    this.#bytes += bytes - (known?.bytes ?? 0);
    if (known === undefined) this.#short.set(digest, { passes: 0, verified: false, bytes });
    else known.bytes = bytes;
  }

  /** Undefined where nothing is lacking; an empty blob lacks copies of no bytes. */
  #lackingBytes(digest: Digest, overdue: ReadonlySet<RaftId>): number | undefined {
    const { catalog } = this.#options.consensus;
    const record = catalog.blob(digest);
    if (record?.state !== "live") return undefined;
    const lacking = this.#target() - countedHolders(catalog, record, overdue).length;
    return lacking > 0 ? lacking * record.sizeBytes : undefined;
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

function sum(a: Amount, b: Amount): Amount {
  return { blobs: a.blobs + b.blobs, bytes: a.bytes + b.bytes };
}
