import type { Digest } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";
import { readRow } from "./draft.ts";
import { blobKey } from "./keys.ts";
import { edgeId } from "./manifest-rows.ts";
import type { BlobRecord } from "./records.ts";
import { BLOB, CHILD, LINK, MANIFEST, type ManifestRow } from "./rows.ts";
import type { CatalogStore } from "./view.ts";

export interface CatalogFindings {
  readonly manifests: number;
  readonly links: number;
  readonly blobs: number;
  /** Sentences: what a counter says and the manifests do not, or a manifest names and nobody has. The first hundred. */
  readonly findings: readonly string[];
  readonly found: number;
}

interface Group {
  readonly repository: string;
  readonly rows: readonly (readonly [digest: string, value: Uint8Array])[];
}

const PAGE = 512;
const FINDINGS_MAX = 100;
/** Digests whose links are counted at once: more of them take another pass each. */
const COUNTED_AT_ONCE = 200_000;

/**
 * Works out anew, from the manifests alone, what the reference counts and the records must be, a repository at a time, so that what it holds in memory
 * is that of the largest one.
 * @param store must not change meanwhile: a snapshot
 */
export async function verifyCatalog(store: CatalogStore, signal: AbortSignal): Promise<CatalogFindings> {
  const notes = new Notes();
  let manifests = 0;
  let links = 0;
  for await (const group of merged(store, ["manifest/", "link/", "child/"])) {
    signal.throwIfAborted();
    const [manifestRows, linkRows, childRows] = group.rows as [Group["rows"], Group["rows"], Group["rows"]];
    manifests += manifestRows.length;
    links += linkRows.length;
    verifyRepository(store, group.repository as RepositoryName, { manifestRows, linkRows, childRows }, notes);
  }
  const blobs = await verifyRecords(store, links, notes, signal);
  return { manifests, links, blobs, findings: notes.kept, found: notes.found };
}

class Notes {
  readonly kept: string[] = [];
  found = 0;

  add(finding: string): void {
    this.found += 1;
    if (this.kept.length < FINDINGS_MAX) this.kept.push(finding);
  }
}

interface Counts {
  references: number;
  trashed: number;
  referrers: number;
}

interface RepositoryRows {
  readonly manifestRows: Group["rows"];
  readonly linkRows: Group["rows"];
  readonly childRows: Group["rows"];
}

function verifyRepository(store: CatalogStore, repository: RepositoryName, rows: RepositoryRows, notes: Notes): void {
  const expected = new Map<string, Counts>();
  const at = (id: string): Counts => {
    const known = expected.get(id) ?? { references: 0, trashed: 0, referrers: 0 };
    expected.set(id, known);
    return known;
  };
  const needed = new Set<Digest>();
  for (const [, value] of rows.manifestRows) countEdges(MANIFEST.decode(value), at, needed);
  const compare = (id: string, { references, trashed, referrers }: Counts): void => {
    const wanted = expected.get(id) ?? { references: 0, trashed: 0, referrers: 0 };
    expected.delete(id);
    if (wanted.references === references && wanted.trashed === trashed && wanted.referrers === referrers) return;
    notes.add(`${repository}: ${id} counts ${textOf({ references, trashed, referrers })}, and its manifests say ${textOf(wanted)}`);
  };
  for (const [digest, value] of rows.linkRows) {
    const { references, trashed, present, hidden } = LINK.decode(value);
    compare(`blob ${digest}`, { references, trashed, referrers: 0 });
    if (present && !hidden && isHeld(readRow(store, BLOB, blobKey(digest as Digest)))) needed.delete(digest as Digest);
  }
  for (const [digest, value] of rows.childRows) compare(`manifest ${digest}`, CHILD.decode(value));
  for (const [id, counts] of expected) {
    if (counts.references + counts.trashed + counts.referrers > 0)
      notes.add(`${repository}: ${id} counts nothing, and its manifests say ${textOf(counts)}`);
  }
  for (const digest of needed) notes.add(`${repository}: a manifest names the blob ${digest}, which is not there`);
}

function isHeld(record: BlobRecord | undefined): boolean {
  return record?.state === "live" || record?.state === "remote";
}

function countEdges(row: ManifestRow, at: (id: string) => Counts, needed: Set<Digest>): void {
  const isTrashed = row.purgeAfter !== undefined;
  for (const edge of row.references) {
    const counts = at(edgeId(edge));
    if (isTrashed) counts.trashed += 1;
    else counts.references += 1;
    if (edge.kind === "blob" && !isTrashed) needed.add(edge.digest);
  }
  if (row.subject !== undefined && !isTrashed) at(`manifest ${row.subject}`).referrers += 1;
}

function textOf({ references, trashed, referrers }: Counts): string {
  return `${references} references, ${trashed} in the trash, ${referrers} referrers`;
}

/** @returns how many records there are */
async function verifyRecords(store: CatalogStore, links: number, notes: Notes, signal: AbortSignal): Promise<number> {
  const passes = Math.max(1, Math.ceil(links / COUNTED_AT_ONCE));
  let blobs = 0;
  for (let pass = 0; pass < passes; pass += 1) {
    const isOurs = (digest: string): boolean => Number.parseInt(digest.slice(-6), 16) % passes === pass;
    const counted = new Map<string, number>();
    for await (const { rows } of groups(store, "link/")) {
      signal.throwIfAborted();
      for (const [digest, value] of rows) {
        if (isOurs(digest) && LINK.decode(value).present) counted.set(digest, (counted.get(digest) ?? 0) + 1);
      }
    }
    for await (const [digest, value] of rowsOf(store, "blob/")) {
      if (!isOurs(digest)) continue;
      signal.throwIfAborted();
      blobs += 1;
      const { state, links: stands } = BLOB.decode(value);
      const wanted = counted.get(digest) ?? 0;
      counted.delete(digest);
      if (stands !== wanted) notes.add(`the record of ${digest} (${state}) counts ${stands} links, and there are ${wanted}`);
    }
    for (const digest of counted.keys()) notes.add(`${digest} has links and no record`);
  }
  return blobs;
}

async function* rowsOf(store: CatalogStore, prefix: string): AsyncGenerator<readonly [rest: string, value: Uint8Array]> {
  for (let after = ""; ; ) {
    const rows = await store.scan(prefix, after, PAGE);
    for (const [key, value] of rows) yield [key.slice(prefix.length), value];
    const last = rows.at(-1)?.[0];
    if (last === undefined || rows.length < PAGE) return;
    after = last.slice(prefix.length);
  }
}

/** Rows of one repository after the other, in the order of their names. */
async function* groups(store: CatalogStore, prefix: string): AsyncGenerator<Group> {
  let repository: string | undefined;
  let rows: (readonly [string, Uint8Array])[] = [];
  for await (const [rest, value] of rowsOf(store, prefix)) {
    const [name = "", digest = ""] = rest.split("\0");
    if (repository !== undefined && name !== repository) {
      yield { repository, rows };
      rows = [];
    }
    repository = name;
    rows.push([digest, value]);
  }
  if (repository !== undefined) yield { repository, rows };
}

/** Of several kinds of rows together: all of them have the repository first in their keys, and so one order. */
async function* merged(
  store: CatalogStore,
  prefixes: readonly string[],
): AsyncGenerator<{ readonly repository: string; readonly rows: readonly Group["rows"][] }> {
  const streams = prefixes.map((prefix) => groups(store, prefix));
  const heads = await Promise.all(streams.map((stream) => stream.next()));
  for (;;) {
    const names = heads.flatMap((head) => (head.done === true ? [] : [head.value.repository]));
    // by bytes, as the keys are: a name ends with NUL there, which sorts below all that may follow
    const [repository] = names.sort();
    if (repository === undefined) return;
    const rows: Group["rows"][] = [];
    for (const [at, head] of heads.entries()) {
      const isOurs = head.done !== true && head.value.repository === repository;
      rows.push(isOurs ? head.value.rows : []);
      if (isOurs) heads[at] = await streams[at]!.next();
    }
    yield { repository, rows };
  }
}
