import type { KadDHTComponents } from "@libp2p/kad-dht";
import type { Clock } from "../../core/clock.ts";

type Datastore = KadDHTComponents["datastore"];
type Key = Parameters<Datastore["get"]>[0];

interface Kept {
  readonly key: Key;
  readonly value: Uint8Array;
  readonly untilMs: number;
}

/** Of all members together, those told longest ago go first: some 20 MB. */
const RECORDS_MAX = 50_000;

/**
 * What the members have told this node of their cached copies, in memory and for a time: the datastore of the DHT. The library's own goes through all of its
 * records for each question, hands on those that have expired for up to an hour, and has no bound.
 */
export class ProviderRecords implements Pick<Datastore, "has" | "put" | "get" | "delete" | "query"> {
  /** By all but the last part of the key, which is the provider: the oldest first. */
  readonly #groups = new Map<string, Map<string, Kept>>();
  readonly #clock: Clock;
  readonly #validMs: number;
  readonly #recordsMax: number;
  #size = 0;

  constructor(clock: Clock, validMs: number, recordsMax = RECORDS_MAX) {
    this.#clock = clock;
    this.#validMs = validMs;
    this.#recordsMax = recordsMax;
  }

  get size(): number {
    return this.#size;
  }

  has(key: Key): boolean {
    return this.#find(key) !== undefined;
  }

  put(key: Key, value: Uint8Array): Key {
    this.delete(key);
    const group = parentOf(key);
    const records = this.#groups.get(group) ?? new Map<string, Kept>();
    this.#groups.delete(group); // to the end: the oldest groups go first
    this.#groups.set(group, records.set(key.toString(), { key, value, untilMs: this.#clock.monotonicMs() + this.#validMs }));
    this.#size += 1;
    const [oldest] = this.#groups;
    if (this.#size > this.#recordsMax && oldest !== undefined) this.#drop(...oldest);
    return key;
  }

  /** @throws Error of the name that the library looks for, where there is no such record any more */
  get(key: Key): Uint8Array {
    const kept = this.#find(key);
    if (kept === undefined) throw Object.assign(new Error("no such record"), { name: "NotFoundError" });
    return kept.value;
  }

  delete(key: Key): void {
    const group = parentOf(key);
    const records = this.#groups.get(group);
    if (records?.delete(key.toString()) !== true) return;
    this.#size -= 1;
    if (records.size === 0) this.#groups.delete(group);
  }

  async *query({ prefix = "" }: { prefix?: string }): AsyncGenerator<{ key: Key; value: Uint8Array }> {
    const exact = this.#groups.get(prefix);
    const groups =
      exact === undefined ? [...this.#groups].filter(([group]) => `${group}/`.startsWith(`${prefix}/`)) : [[prefix, exact] as const];
    for (const [, records] of groups) {
      for (const { key, value, untilMs } of [...records.values()]) {
        if (untilMs > this.#clock.monotonicMs()) yield { key, value };
        else this.delete(key);
      }
    }
  }

  #find(key: Key): Kept | undefined {
    const kept = this.#groups.get(parentOf(key))?.get(key.toString());
    return kept === undefined || kept.untilMs <= this.#clock.monotonicMs() ? undefined : kept;
  }

  #drop(group: string, records: ReadonlyMap<string, Kept>): void {
    this.#size -= records.size;
    this.#groups.delete(group);
  }
}

function parentOf(key: Key): string {
  const text = key.toString();
  return text.slice(0, text.lastIndexOf("/"));
}
