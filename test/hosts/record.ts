import type { Digest } from "../../src/core/digest.ts";
import type { Model, Operation } from "../sim/linearizability/model.ts";
import { type TagInput, type TagOutput, tagModel } from "../sim/register-model.ts";

/** What is asked of one tag, named `repository:tag`. */
export type TagOperation = TagInput & { readonly tag: string };

/** Each tag a register of its own. */
export const tagsModel: Model<number | null, TagOperation, TagOutput> = { ...tagModel, partition: ({ tag }) => tag };

/** An image of which the manifest was sent. */
export interface SentImage {
  readonly number: number;
  readonly repository: string;
  readonly manifest: Uint8Array;
  readonly mediaType: string;
  readonly digest: Digest;
  readonly blobs: readonly Digest[];
  /** `sent`: no answer said that it stands; `dying`: a deletion was begun, and may be done or not. */
  state: "sent" | "kept" | "dying" | "deleted";
}

/** One request that changes something, as the client saw it. */
export interface WriteAttempt {
  readonly host: string;
  readonly what: string;
  readonly calledAt: number;
  readonly endedAt: number;
  /** Undefined where no answer came. */
  readonly status: number | undefined;
}

/** A time in which a host had no contact with a majority and knew it. */
export interface CutOffTime {
  readonly host: string;
  readonly from: number;
  to: number;
}

/** So long without a write is worth a line. */
const NOTED_GAP_MS = 8_000;

/** All that is known about a run: what the clients did, what was done to the hosts, what was found. Times are those of `performance.now()`. */
export class RunRecord {
  readonly history: Operation<TagOperation, TagOutput>[] = [];
  readonly images: SentImage[] = [];
  readonly writes: WriteAttempt[] = [];
  readonly cutOff: CutOffTime[] = [];
  readonly counts = new Map<string, number>();
  readonly faults = new Map<string, number>();
  readonly violations: string[] = [];
  readonly #print: (line: string) => void;
  #wroteAt: number | undefined;
  readonly #byDigest = new Map<string, SentImage>();

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  wrote(attempt: WriteAttempt): void {
    this.writes.push(attempt);
    if (attempt.status !== 201 || attempt.what !== "manifest") return;
    const gapMs = attempt.endedAt - (this.#wroteAt ?? attempt.endedAt);
    this.#wroteAt = attempt.endedAt;
    if (gapMs >= NOTED_GAP_MS) this.note(`  the first write after ${(gapMs / 1_000).toFixed(1)} s`);
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  fault(kind: string): void {
    this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1);
  }

  violation(text: string): void {
    this.violations.push(text);
    this.#print(`VIOLATION ${text}`);
  }

  note(text: string): void {
    this.#print(text);
  }

  addImage(image: Omit<SentImage, "number" | "state">): SentImage {
    const sent: SentImage = { ...image, number: this.images.length + 1, state: "sent" };
    this.images.push(sent);
    this.#byDigest.set(sent.digest, sent);
    return sent;
  }

  imageOf(digest: string | null): SentImage | undefined {
    return digest === null ? undefined : this.#byDigest.get(digest);
  }

  /** The longest time in which no write came through, from `from` to `to`. */
  longestWithoutWrite(from: number, to: number): number {
    const times = this.writes.flatMap(({ status, what, endedAt }) => (status === 201 && what === "manifest" ? [endedAt] : []));
    let longest = 0;
    let last = from;
    for (const at of [...times.sort((a, b) => a - b), to]) {
      if (at < from || at > to) continue;
      longest = Math.max(longest, at - last);
      last = at;
    }
    return longest;
  }
}
