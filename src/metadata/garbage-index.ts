import type { Digest } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";
import { CONDEMNED_PREFIX, IDLE_PREFIX, ORPHANS_PREFIX, parsePlaced, TRASH_PREFIX, UNLINKED_PREFIX } from "./keys.ts";
import type { CatalogTime } from "./records.ts";
import type { CatalogStore } from "./view.ts";

/** One page of a scan; `next` goes on after it, undefined where that was all. */
export interface Page<T> {
  readonly found: readonly T[];
  readonly next: string | undefined;
}

export interface Placed {
  readonly repository: RepositoryName;
  readonly digest: Digest;
}

/** What the garbage collector looks through: as many rows as there is to collect, and never the catalog. Each scan goes strictly after `after`, "" from the start. */
export interface GarbageIndex {
  /** Manifests of the trash that may be purged at `time`. */
  trashDue(time: CatalogTime, after: string, limit: number): Promise<Page<Placed>>;
  /** Purged subjects whose referrers are to follow. */
  orphans(after: string, limit: number): Promise<Page<Placed>>;
  /** Links that `gc.unlink` may take at `time`. */
  idleLinks(time: CatalogTime, after: string, limit: number): Promise<Page<Placed>>;
  /** Records without a link. */
  unlinked(after: string, limit: number): Promise<Page<Digest>>;
  condemned(after: string, limit: number): Promise<Page<Digest>>;
}

export function garbageIndex(store: CatalogStore): GarbageIndex {
  /** Rows under `prefix` whose time, the first part of their key, is not after `time`. */
  const due = async (prefix: string, time: CatalogTime, after: string, limit: number): Promise<Page<Placed>> => {
    const rows = await store.scan(prefix, after, limit);
    const rests = rows.map(([key]) => key.slice(prefix.length));
    const found = rests.map(parsePlaced).filter((placed) => placed.time <= time);
    const isAll = rows.length < limit || found.length < rows.length;
    return { found, next: isAll ? undefined : rests.at(-1) };
  };
  const all = async <T>(prefix: string, after: string, limit: number, parse: (rest: string) => T): Promise<Page<T>> => {
    const rests = (await store.scan(prefix, after, limit)).map(([key]) => key.slice(prefix.length));
    return { found: rests.map(parse), next: rests.length < limit ? undefined : rests.at(-1) };
  };
  return {
    trashDue: (time, after, limit) => due(TRASH_PREFIX, time, after, limit),
    orphans: (after, limit) => all(ORPHANS_PREFIX, after, limit, (rest) => parsePlaced(`0\0${rest}`)),
    idleLinks: (time, after, limit) => due(IDLE_PREFIX, time, after, limit),
    unlinked: (after, limit) => all(UNLINKED_PREFIX, after, limit, (rest) => rest as Digest),
    condemned: (after, limit) => all(CONDEMNED_PREFIX, after, limit, (rest) => rest as Digest),
  };
}
