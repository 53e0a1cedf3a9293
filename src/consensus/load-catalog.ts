import { decode } from "../core/codec.ts";
import { type ConfState, NO_CONFIGURATION } from "../raft/types.ts";
import type { DurableCatalogOptions } from "./catalog-store.ts";
import type { Database } from "./database.ts";
import { ConsensusError } from "./errors.ts";
import type { LogOwner } from "./log-record.ts";
import { SealChain } from "./seal-chain.ts";

/** Catalog keys, seals and the meta record never collide: each has a first byte of its own. */
export const CATALOG = "c";
export const SEAL = "s";
export const META = "m";
/** The index at a sync that had nothing else to write. */
export const MARKER = "y";
/** One in each batch of an installed snapshot: no seal tells of those. */
export const PART = "p";

/** What each batch says of the state as it leaves it. */
export interface Meta {
  /** Left out where nobody has said so yet. */
  readonly owner?: LogOwner | undefined;
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
  readonly checkpoint: number;
  readonly installed: number;
  /** Batches that the snapshot came in which it began with. */
  readonly parts?: number | undefined;
}

export const NO_SEAL = new Uint8Array(32);

/** What stands in the database. */
export interface Loaded {
  readonly chain: SealChain;
  readonly meta: Meta;
  readonly seal: Uint8Array;
}

export function sealBytes(options: DurableCatalogOptions): number {
  return options.sealBytes ?? 16 * 2 ** 20;
}

/** Reads and checks the seals. @throws ConsensusError catalogCorrupt */
export async function loadCatalog(database: Database, options: DurableCatalogOptions): Promise<Loaded> {
  const bytes = database.get(META);
  if (bytes === undefined) {
    for await (const [key] of database.scan({ prefix: "", limit: 1 })) {
      throw corrupt(options, `there is no applied index, but a key ${JSON.stringify(key)}`);
    }
    const initial = options.initial ?? { index: 0, term: 0, confState: NO_CONFIGURATION };
    return { chain: new SealChain(SEAL, sealBytes(options), 0), meta: { ...initial, checkpoint: 0, installed: 0 }, seal: NO_SEAL };
  }
  let meta: Meta;
  try {
    meta = decode(bytes) as Meta;
  } catch (error) {
    throw corrupt(options, "the applied index cannot be read", error);
  }
  const chain = new SealChain(SEAL, sealBytes(options), 0);
  const verdict = await chain.verify(database, meta.checkpoint, meta.index);
  if ("broken" in verdict) throw corrupt(options, verdict.broken);
  let parts = 0;
  for await (const _ of database.scan({ prefix: PART })) parts += 1;
  if (parts !== (meta.parts ?? 0))
    throw corrupt(options, `of the ${meta.parts ?? 0} parts of the snapshot that it began with ${parts} are there`);
  // Where the last links are gone together, what follows them in LevelDB's log may be a marker alone.
  const marker = database.get(MARKER);
  if (marker !== undefined && decodeIndex(marker) > meta.index) {
    throw corrupt(options, `it was synced at ${decodeIndex(marker)}, but ends at ${meta.index}`);
  }
  return { chain, meta, seal: verdict.value ?? NO_SEAL };
}

/** Infinite where it cannot be read. */
function decodeIndex(bytes: Uint8Array): number {
  try {
    const index = decode(bytes);
    return typeof index === "number" ? index : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

function corrupt(options: DurableCatalogOptions, reason: string, cause?: unknown): ConsensusError {
  return new ConsensusError(
    "catalogCorrupt",
    `The catalog in ${options.storage.place} has lost writes: ${reason}. It must be reinstalled from a snapshot of another member.`,
    { folder: options.storage.place },
    cause,
  );
}
