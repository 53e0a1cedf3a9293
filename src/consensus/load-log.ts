import type { Start } from "../metadata/records.ts";
import type { ConfState, Entry } from "../raft/types.ts";
import type { LogWitness, Storage } from "./database.ts";
import { type DatabaseView, parseOrderedIndex } from "./database.ts";
import type { EntryTail } from "./entry-tail.ts";
import { ConsensusError, logCorrupt } from "./errors.ts";
import { decodeEntries, decodeMeta, ENTRY_PREFIX, type LogMeta, type LogOwner, META_KEY, nextStart, STARTS_KEY } from "./log-record.ts";
import type { RecordList } from "./log-records.ts";
import type { SealChain } from "./seal-chain.ts";

export interface LogParts {
  readonly storage: Storage;
  readonly database: DatabaseView;
  readonly chain: SealChain;
  readonly tail: EntryTail;
  readonly records: RecordList;
  readonly witness: LogWitness | undefined;
  readonly owner: LogOwner | undefined;
  /** The cluster of which it may still be. */
  readonly formerCluster: string | undefined;
}

/**
 * Reads and checks everything, and fills chain, tail and records. Undefined: the log has nothing yet.
 * @throws ConsensusError logCorrupt, foreignFolder
 */
export async function loadLog(parts: LogParts): Promise<LogMeta | undefined> {
  try {
    return await load(parts);
  } catch (error) {
    if (error instanceof ConsensusError) throw error;
    throw logCorrupt(parts.storage.place, `it cannot be read (${error instanceof Error ? error.message : String(error)})`);
  }
}

async function load(parts: LogParts): Promise<LogMeta | undefined> {
  const { storage, database, chain } = parts;
  const { place } = storage;
  const witnessed = (await parts.witness?.read()) ?? 0;
  const record = database.get(META_KEY);
  if (record === undefined) {
    for await (const [key] of database.scan({ prefix: "", limit: 1 }))
      throw logCorrupt(place, `there is no head record, but a key ${JSON.stringify(key)}`);
    if (witnessed > 0) throw logCorrupt(place, `it is empty, but ${witnessed} batches were acknowledged`);
    return undefined;
  }
  const meta = decodeMeta(record);
  if (meta === undefined) throw logCorrupt(place, "the head record is altered");
  checkOwner(place, meta.owner, parts.owner, parts.formerCluster);
  if (witnessed > meta.sequence)
    throw logCorrupt(place, `it ends with batch ${meta.sequence}, but ${witnessed} were acknowledged: its end was cut off`);
  const verdict = await chain.verify(database, meta.checkpoint, meta.sequence);
  if ("broken" in verdict) throw logCorrupt(place, `a batch was lost: ${verdict.broken}`);
  await loadEntries(parts, meta);
  return meta;
}

/**
 * The start that this is, with what is on the disk of those before it.
 * @param before the number of the last one
 * @throws ConsensusError logCorrupt
 */
export function loadStart({ place }: Storage, database: DatabaseView, before: number, nonce: string): Start {
  const start = nextStart(before, database.get(STARTS_KEY), nonce);
  if (start === undefined) throw logCorrupt(place, "the record of its starts is altered");
  return start;
}

async function loadEntries({ storage, database, tail, records }: LogParts, meta: LogMeta): Promise<void> {
  const { place } = storage;
  const { base, lastIndex, hardState } = meta;
  let expected = base.index + 1;
  let term = base.term;
  const take = (entries: readonly Entry[]): void => {
    for (const entry of entries) {
      if (entry.term < term) throw logCorrupt(place, `the term falls at entry ${entry.index}`);
      term = entry.term;
    }
    expected += entries.length;
    tail.append(entries);
  };
  tail.reset(expected);
  let held: readonly Entry[] = [];
  for await (const [key, value] of database.scan({ prefix: ENTRY_PREFIX })) {
    const first = parseOrderedIndex(key.slice(ENTRY_PREFIX.length));
    // A record ends where the next one begins, and the first one may begin before what was cut.
    take(held.filter(({ index }) => index < first));
    if (first > expected) throw logCorrupt(place, `the entry ${expected} is missing (the next one is ${first})`);
    const { entries, altered } = decodeEntries(first, value);
    if (altered) throw logCorrupt(place, `the entry ${first + entries.length} is altered`);
    held = entries.filter(({ index }) => index > base.index);
    records.push(first);
  }
  take(held);
  if (expected - 1 !== lastIndex) throw logCorrupt(place, `it ends at ${expected - 1}, but ${lastIndex} was acknowledged`);
  if (lastIndex < hardState.commit) throw logCorrupt(place, `it ends at ${lastIndex}, before the commit ${hardState.commit}`);
  if (term > hardState.term) throw logCorrupt(place, `an entry of term ${term} is above the term ${hardState.term}`);
}

function checkOwner(place: string, found: LogOwner | undefined, wanted: LogOwner | undefined, formerCluster: string | undefined): void {
  if (found === undefined || wanted === undefined) return;
  if ((found.clusterId === wanted.clusterId || found.clusterId === formerCluster) && found.raftId === wanted.raftId) return;
  throw new ConsensusError(
    "foreignFolder",
    `The Raft log in ${place} is of node ${found.raftId} of the cluster ${found.clusterId}, but the folder is of node ${wanted.raftId} of the cluster ${wanted.clusterId}: parts of two data folders were mixed. Put back the folder as it was, or replace the node: remove it, and join with an empty folder.`,
    { folder: place, found: found.raftId, wanted: wanted.raftId },
  );
}

/** What a log that has nothing yet begins with. */
export function freshMeta(bootstrap: ConfState | undefined): LogMeta {
  const begun = bootstrap === undefined ? 0 : 1;
  return {
    incarnation: 0,
    hardState: { term: begun, vote: 0, commit: begun },
    base: { index: begun, term: begun },
    lastIndex: begun,
    sizeBytes: 0,
    sequence: 0,
    checkpoint: 0,
    bootConfState: bootstrap,
  };
}
