import type { Digest } from "../core/digest.ts";
import { projectOf, type RepositoryName } from "../core/reference.ts";
import { edgeId } from "./manifest-rows.ts";
import type { MemoryStore } from "./memory-store.ts";
import { BLOB, CHILD, LINK, MANIFEST, PROJECT_USAGE, QUEUED_TOKEN, REPOSITORY, ROSTER, SHARE, TAG, TOKENS, USAGE } from "./rows.ts";

// For tests: what the counters and indexes must be, worked out anew from the records alone.

type Rows = ReadonlyMap<string, Uint8Array>;

/** Each sentence is something that a counter or an index says and the records do not. Empty where all is in step. */
export function disagreements(store: MemoryStore): readonly string[] {
  const rows: Rows = new Map(store.entries());
  const derived = new Map<string, string>();
  deriveEdges(rows, derived);
  deriveLinks(rows, derived);
  deriveRecords(rows, derived);
  deriveRepositories(rows, derived);
  deriveProjects(rows, derived);
  const stored = new Map<string, string>();
  collectStored(rows, stored);
  const keys = [...new Set([...derived.keys(), ...stored.keys()])].sort();
  return keys
    .filter((key) => (derived.get(key) ?? "absent") !== (stored.get(key) ?? "absent"))
    .map((key) => `${key.replaceAll("\0", " ")}: ${stored.get(key) ?? "absent"}, and the records say ${derived.get(key) ?? "absent"}`);
}

function under(rows: Rows, prefix: string): readonly (readonly [string, Uint8Array])[] {
  return [...rows].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]);
}

function split(rest: string): readonly [RepositoryName, Digest] {
  const [repository = "", digest = ""] = rest.split("\0");
  return [repository as RepositoryName, digest as Digest];
}

function deriveEdges(rows: Rows, out: Map<string, string>): void {
  const counts = new Map<string, { references: number; trashed: number; referrers: number }>();
  const at = (key: string): { references: number; trashed: number; referrers: number } => {
    const found = counts.get(key) ?? { references: 0, trashed: 0, referrers: 0 };
    counts.set(key, found);
    return found;
  };
  for (const [rest, value] of under(rows, "manifest/")) {
    const [repository, digest] = split(rest);
    const row = MANIFEST.decode(value);
    const trashed = row.purgeAfter !== undefined;
    for (const edge of row.references) {
      const count = at(`edges ${repository} ${edgeId(edge)}`);
      if (trashed) count.trashed += 1;
      else count.references += 1;
    }
    if (trashed) out.set(`gc/trash/${String(row.purgeAfter).padStart(16, "0")}\0${repository}\0${digest}`, "marked");
    if (row.subject === undefined || trashed) continue;
    at(`edges ${repository} manifest ${row.subject}`).referrers += 1;
    out.set(`referrer/${repository}\0${row.subject}\0${digest}`, "marked");
  }
  for (const [key, count] of counts) out.set(key, JSON.stringify(count));
}

function deriveLinks(rows: Rows, out: Map<string, string>): void {
  const links = new Map<string, { links: number; sourced: number }>();
  for (const [rest, value] of under(rows, "link/")) {
    const [repository, digest] = split(rest);
    const link = LINK.decode(value);
    if (link.due !== undefined) out.set(`gc/idle/${String(link.due).padStart(16, "0")}\0${repository}\0${digest}`, "marked");
    if ((link.due !== undefined) !== (link.present && link.references + link.trashed === 0)) out.set(`due of ${rest}`, "wrong");
    if (!link.present) continue;
    if (!link.hidden && link.references + link.trashed === 0)
      out.set(`lease/${repository}\0${String(link.lease).padStart(16, "0")}\0${digest}`, "marked");
    if (!link.hidden) out.set(`linked/${digest}\0${repository}`, "marked");
    const count = links.get(digest) ?? { links: 0, sourced: 0 };
    links.set(digest, { links: count.links + 1, sourced: count.sourced + Number(link.source !== undefined) });
  }
  for (const [digest, count] of links) out.set(`links of ${digest}`, JSON.stringify(count));
}

function deriveRecords(rows: Rows, out: Map<string, string>): void {
  const usage = new Map<number, { copies: number; sole: number; sizeBytes: number }>();
  for (const [digest, value] of under(rows, "blob/")) {
    const record = BLOB.decode(value);
    if (record.state === "condemned") out.set(`gc/condemned/${digest}`, "marked");
    else if (record.links === 0) out.set(`gc/unlinked/${digest}`, "marked");
    if (record.state !== "live") continue;
    out.set(`width/${String(record.copies.length).padStart(16, "0")}\0${digest}`, "marked");
    for (const id of record.copies) {
      out.set(`holder/${String(id).padStart(16, "0")}\0${digest}`, "marked");
      const { copies, sole, sizeBytes } = usage.get(id) ?? { copies: 0, sole: 0, sizeBytes: 0 };
      const isSole = Number(record.copies.length === 1);
      usage.set(id, { copies: copies + 1, sole: sole + isSole, sizeBytes: sizeBytes + record.sizeBytes });
    }
  }
  for (const [id, count] of usage) out.set(`usage/${String(id).padStart(16, "0")}`, JSON.stringify(count));
}

function deriveRepositories(rows: Rows, out: Map<string, string>): void {
  const counts = new Map<string, { manifests: number; tags: number }>();
  const tagged = new Map<string, string[]>();
  for (const [rest, value] of under(rows, "tag/")) {
    const [repository, tag] = rest.split("\0");
    const key = `${repository}\0${TAG.decode(value).digest}`;
    tagged.set(key, [...(tagged.get(key) ?? []), tag ?? ""]);
  }
  for (const [rest, value] of under(rows, "manifest/")) {
    const row = MANIFEST.decode(value);
    const [repository] = split(rest);
    if ([...row.tags].sort().join() !== (tagged.get(rest) ?? []).sort().join()) out.set(`tags of ${rest}`, String(tagged.get(rest)));
    tagged.delete(rest);
    if (row.purgeAfter !== undefined) continue;
    const count = counts.get(repository) ?? { manifests: 0, tags: 0 };
    counts.set(repository, { manifests: count.manifests + 1, tags: count.tags + row.tags.length });
    if (!rows.has(`content/${rest}`)) out.set(`content of ${rest}`, "there");
  }
  for (const rest of tagged.keys()) out.set(`a tag names ${rest}`, "which is not there");
  for (const [repository, count] of counts) out.set(`repository ${repository}`, JSON.stringify(count));
}

function deriveProjects(rows: Rows, out: Map<string, string>): void {
  const usage = new Map<string, { sizeBytes: number; blobs: number; repositories: number }>();
  const at = (repository: RepositoryName) => {
    const project = projectOf(repository);
    const found = usage.get(project) ?? { sizeBytes: 0, blobs: 0, repositories: 0 };
    usage.set(project, found);
    return found;
  };
  const shares = new Map<string, number>();
  for (const [rest, value] of under(rows, "link/")) {
    const [repository, digest] = split(rest);
    if (!LINK.decode(value).present) continue;
    const key = `share/${projectOf(repository)}\0${digest}`;
    const links = (shares.get(key) ?? 0) + 1;
    shares.set(key, links);
    if (links > 1) continue;
    const record = rows.get(`blob/${digest}`);
    at(repository).blobs += 1;
    at(repository).sizeBytes += record === undefined ? 0 : BLOB.decode(record).sizeBytes;
  }
  for (const [rest, value] of under(rows, "repository/"))
    if (REPOSITORY.decode(value).manifests > 0) at(rest as RepositoryName).repositories += 1;
  for (const [key, links] of shares) out.set(key, String(links));
  for (const [project, used] of usage) out.set(`usage of ${project}`, JSON.stringify(used));
}

const INDEXES = ["gc/idle/", "gc/unlinked/", "gc/condemned/", "gc/trash/", "holder/", "width/", "referrer/", "linked/", "lease/"];

function collectStored(rows: Rows, out: Map<string, string>): void {
  for (const prefix of INDEXES) for (const [rest] of under(rows, prefix)) out.set(`${prefix}${rest}`, "marked");
  for (const [rest, value] of under(rows, "link/")) {
    const { references, trashed } = LINK.decode(value);
    const [repository, digest] = split(rest);
    if (references + trashed > 0) out.set(`edges ${repository} blob ${digest}`, JSON.stringify({ references, trashed, referrers: 0 }));
  }
  for (const [rest, value] of under(rows, "child/")) {
    const { references, trashed, referrers } = CHILD.decode(value);
    out.set(`edges ${rest.replace("\0", " manifest ")}`, JSON.stringify({ references, trashed, referrers }));
  }
  for (const [digest, value] of under(rows, "blob/")) {
    const { links, sourcedLinks } = BLOB.decode(value);
    if (links > 0) out.set(`links of ${digest}`, JSON.stringify({ links, sourced: sourcedLinks ?? 0 }));
  }
  for (const [id, value] of under(rows, "usage/")) out.set(`usage/${id}`, JSON.stringify(readUsage(value)));
  for (const [name, value] of under(rows, "repository/")) {
    const { manifests, tags } = REPOSITORY.decode(value);
    if (manifests + tags > 0) out.set(`repository ${name}`, JSON.stringify({ manifests, tags }));
  }
  for (const [rest, value] of under(rows, "share/")) out.set(`share/${rest}`, String(SHARE.decode(value).links));
  for (const [project, value] of under(rows, "projectUsage/")) {
    const { sizeBytes, blobs, repositories } = PROJECT_USAGE.decode(value);
    if (sizeBytes !== 0 || blobs !== 0 || repositories !== 0)
      out.set(`usage of ${project}`, JSON.stringify({ sizeBytes, blobs, repositories }));
  }
  const roster = rows.get("roster");
  const seats = roster === undefined ? [] : ROSTER.decode(roster).seats.map(({ id }) => `member/${String(id).padStart(16, "0")}`);
  const members = under(rows, "member/").map(([id]) => `member/${id}`);
  if (seats.join() !== members.join()) out.set("roster", `${seats} beside ${members}`);
  const listed = rows.get("tokens");
  const { first, next } = listed === undefined ? { first: 0, next: 0 } : TOKENS.decode(listed);
  const queued = under(rows, "tokens/");
  if (queued.length !== next - first) out.set("tokens", `${queued.length} places from ${first} to ${next}`);
  const ids = queued.map(([, value]) => QUEUED_TOKEN.decode(value).id).sort();
  const tokens = under(rows, "token/").map(([id]) => id);
  if (ids.join() !== tokens.join()) out.set("tokens", `${ids} beside ${tokens}`);
}

function readUsage(value: Uint8Array): object {
  const { copies, sole, sizeBytes } = USAGE.decode(value);
  return { copies, sole, sizeBytes };
}
