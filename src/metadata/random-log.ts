import fc from "fast-check";
import type { Digest } from "../core/digest.ts";
import { projectOf, type RepositoryName, type Tag } from "../core/reference.ts";
import { applyEntry } from "./apply-entry.ts";
import type { Command } from "./commands.ts";
import { readRow } from "./draft.ts";
import { encodeEnvelope, stampEntry } from "./entry.ts";
import { blobKey, CLUSTER_KEY } from "./keys.ts";
import { readRoster } from "./membership.ts";
import { MemoryStore } from "./memory-store.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";
import type { Edge } from "./records.ts";
import { BLOB, CLUSTER, HEAD, type Head } from "./rows.ts";
import { digestNamed, factsOf, rootNamed, SECRET_HASH } from "./scenario.ts";

// For tests: logs of random commands over few names, so that they meet.

export const SMALL_POLICY: Policy = {
  ...DEFAULT_POLICY,
  leaseMs: 6,
  graceMs: 2,
  trashKeepMs: 1,
  allowsRemote: (repository) => repository === "p",
  allowsAdoption: (repository) => repository === "p",
};

export const REPOSITORIES = ["a", "a/b", "p"] as RepositoryName[];
const BLOBS = ["x", "y", "z"].map(digestNamed);
const TAGS = ["v1", "v2"] as Tag[];
const [X = digestNamed("x"), Y = digestNamed("y")] = BLOBS;
const [IMAGE, OTHER, INDEX] = ["image", "other", "index"].map(digestNamed) as [Digest, Digest, Digest];
const MANIFESTS = [IMAGE, OTHER, INDEX];

const REFERENCES: ReadonlyMap<Digest, readonly Edge[]> = new Map([
  [IMAGE, [{ digest: X, kind: "blob" }]],
  // named twice, and as both kinds: one edge
  [
    OTHER,
    [
      { digest: Y, kind: "foreign" },
      { digest: X, kind: "blob" },
      { digest: X, kind: "foreign" },
    ],
  ],
  [
    INDEX,
    [
      { digest: IMAGE, kind: "manifest" },
      { digest: OTHER, kind: "manifest" },
    ],
  ],
]);

/** What one random entry is made of. */
export type Draw = readonly [kind: number, a: number, b: number, c: number];

export const DRAWS = fc.array(fc.tuple(fc.nat(999), fc.nat(999), fc.nat(999), fc.nat(999)), { minLength: 20, maxLength: 150, size: "max" });

type Make = (pick: <T>(list: readonly T[]) => T, store: MemoryStore) => Command;

const named = (pick: <T>(list: readonly T[]) => T) => ({ repository: pick(REPOSITORIES), digest: pick(BLOBS) });
const ids = (store: MemoryStore): readonly number[] => readRoster(store).seats.map(({ id }) => id);
const timeOf = (store: MemoryStore): number => headOf(store)?.time ?? 0;
const condemnedAt = (store: MemoryStore, digest: Digest): number => readRow(store, BLOB, blobKey(digest))?.condemnedAt ?? 0;

const COMMANDS: readonly (readonly [weight: number, make: Make])[] = [
  [2, () => ({ type: "clock.tick" })],
  [1, () => ({ type: "audit.note", raftId: 1, notes: [{ atMs: 1, action: "join.refused", target: "peer", detail: "wrong" }] })],
  [1, (pick) => ({ type: "member.add", member: factsOf(pick([1, 2, 3])), token: { id: "t", hash: SECRET_HASH } })],
  [1, (pick, store) => replace(pick, store)],
  [1, (pick, store) => recover(pick, store)],
  [1, (pick, store) => ({ type: "member.remove", raftId: pick(ids(store)), lost: pick([true, false]) })],
  [1, (pick, store) => ({ type: "member.state", raftId: pick(ids(store)), down: pick([true, false]), draining: pick([true, false]) })],
  [6, (pick, store) => commit(pick, store)],
  [1, (pick) => ({ type: "blob.remote", ...named(pick), sizeBytes: 10, source: "up" })],
  [1, (pick, store) => ({ type: "blob.adopt", ...named(pick), sizeBytes: 10, copy: pick(ids(store)) })],
  [2, (pick) => ({ type: "blob.mount", source: pick(REPOSITORIES), target: pick(REPOSITORIES), digest: pick(BLOBS) })],
  [1, (pick) => ({ type: "blob.unlink", ...named(pick) })],
  [1, (pick) => ({ type: "lease.renew", repository: pick(REPOSITORIES), digest: pick([...BLOBS, ...MANIFESTS]) })],
  [1, (pick) => ({ type: "lease.renewLinks", repository: pick(REPOSITORIES), digests: pick([BLOBS, BLOBS.slice(1)]) })],
  [2, (pick, store) => ({ type: "copy.add", digest: pick(BLOBS), copy: pick(ids(store)), deadline: timeOf(store) + 1, commitId: "c" })],
  [
    1,
    (pick, store) => ({
      type: "copy.drop",
      digest: pick(BLOBS),
      copy: pick(ids(store)),
      bad: pick([true, false]),
      keepUp: pick([true, false]),
    }),
  ],
  [1, (pick) => ({ type: "cache.evict", digest: pick(BLOBS) })],
  [9, (pick) => put(pick)],
  [3, (pick) => ({ type: "manifest.delete", repository: pick(REPOSITORIES), digest: pick(MANIFESTS) })],
  [2, (pick) => ({ type: "manifest.undelete", repository: pick(REPOSITORIES), digest: pick(MANIFESTS) })],
  [3, (pick) => ({ type: "manifest.purge", repository: pick(REPOSITORIES), digest: pick(MANIFESTS) })],
  [1, (pick) => ({ type: "tag.delete", repository: pick(REPOSITORIES), tag: pick(TAGS) })],
  [
    1,
    (pick) => ({
      type: "project.set",
      project: projectOf(pick(REPOSITORIES)),
      rules: {
        immutableTags: pick([[], [], ["v2"]]),
        protectedRepositories: [],
        quota: { bytes: pick([undefined, undefined, 25]), repositories: pick([undefined, undefined, 1]) },
      },
    }),
  ],
  [1, (pick) => ({ type: "gc.hold", held: pick([true, ...Array<false>(9).fill(false)]), reason: "because" })],
  [
    1,
    () => ({ type: "gc.ran", run: { startedMs: 1, endedMs: 2, manifests: 3, links: 4, blobs: 5, freed: [{ raftId: 1, sizeBytes: 6 }] } }),
  ],
  [4, (pick) => ({ type: "gc.unlink", ...named(pick) })],
  [4, (pick) => ({ type: "gc.condemn", digest: pick(BLOBS) })],
  [9, (pick, store) => deleted(pick, store)],
  [8, (pick, store) => ((digest) => ({ type: "gc.reclaim", digest, condemnedAt: condemnedAt(store, digest) }))(pick(BLOBS))],
];
const POOL = COMMANDS.flatMap(([weight, make]) => Array<Make>(weight).fill(make));

function replace(pick: Parameters<Make>[0], store: MemoryStore): Command {
  const member = factsOf(pick([1, 2, 3, 4, 5, 6]));
  const [proven, lost] = [pick([true, false]), pick([true, false])];
  return { type: "member.replace", old: pick(ids(store)), member, token: { id: "t", hash: SECRET_HASH }, proven, lost };
}

function recover(pick: Parameters<Make>[0], store: MemoryStore): Command {
  const { clusterId = "" } = readRow(store, CLUSTER, CLUSTER_KEY) ?? {};
  const lastIndex = headOf(store)?.index ?? 0;
  const [publicKey, signature] = [Uint8Array.of(1), Uint8Array.of(2)];
  return {
    type: "cluster.recover",
    from: clusterId,
    clusterId: `${clusterId}'`,
    publicKey,
    lastTerm: 1,
    lastIndex,
    lost: [pick(ids(store))],
    signature,
  };
}

function commit(pick: <T>(list: readonly T[]) => T, store: MemoryStore): Command {
  const copies = [...new Set([pick(ids(store)), pick(ids(store))])];
  const source = pick([true, false, false]) ? { source: "up" } : {};
  return {
    type: "blob.commit",
    ...named(pick),
    sizeBytes: 10,
    root: rootNamed("b"),
    copies,
    deadline: timeOf(store) + pick([0, 5]),
    commitId: "c",
    ...source,
  };
}

function put(pick: <T>(list: readonly T[]) => T): Command {
  const digest = pick(MANIFESTS);
  const rest = pick([{}, {}, { ifMatch: ["*" as const] }, { ifNoneMatch: ["*" as const] }]);
  return {
    type: "manifest.put",
    repository: pick(REPOSITORIES),
    digest,
    mediaType: pick(["image/one", "image/two"]),
    bytes: Buffer.from(digest),
    tags: pick([[], ["v1"], ["v1", "v2"]] as Tag[][]),
    // a parser of another version may find fewer
    references: (REFERENCES.get(digest) ?? []).slice(0, pick([3, 3, 3, 1])),
    sparse: pick([true, false]),
    ...(pick([true, false]) ? { subject: pick(MANIFESTS), annotations: { b: "1", a: "2" } } : {}),
    ...rest,
  };
}

function deleted(pick: <T>(list: readonly T[]) => T, store: MemoryStore): Command {
  const digest = pick(BLOBS);
  return { type: "gc.deleted", digest, copy: pick(ids(store)), condemnedAt: condemnedAt(store, digest) };
}

/** Its own numbers, so that one choice does not decide the next. */
function picker([, a, b, c]: Draw): <T>(list: readonly T[]) => T {
  let state = (a * 1_000_000 + b * 1_000 + c) | 0;
  return (list) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return list[(state >>> 8) % list.length] as (typeof list)[number];
  };
}

export interface RandomLog {
  /** Data of the entries 1, 2, .. */
  readonly entries: readonly Uint8Array[];
  /** Types of the commands that were accepted. */
  readonly accepted: ReadonlySet<string>;
  /** As all of them leave it. */
  readonly store: MemoryStore;
}

/** A log that begins with a cluster of one, a session and a token. Each command is made with the state before it in sight. */
export function makeLog(draws: readonly Draw[]): RandomLog {
  const store = new MemoryStore();
  const entries: Uint8Array[] = [];
  const accepted = new Set<string>();
  const send = (command: Command, session: number, sequence: number, stampMs: number): void => {
    entries.push(stampEntry(stampMs, encodeEnvelope({ v: 1, session, sequence, lowest: Math.max(0, sequence - 4), command })));
    const applied = applyEntry(store, entries.length, entries.at(-1) ?? new Uint8Array(), SMALL_POLICY);
    store.write(applied.changes);
    if (applied.outcome.refused === undefined) accepted.add(command.type);
  };
  const durability = { copies: 3, acks: 2 };
  send({ type: "cluster.init", clusterId: "c", publicKey: new Uint8Array([1]), member: factsOf(0), durability }, 0, 0, 0);
  send({ type: "session.open", raftId: 1 }, 0, 0, 0);
  send({ type: "token.create", id: "t", hash: SECRET_HASH, uses: 9, ttlMs: 1e9 }, 2, 1, 0);
  for (const [at, draw] of draws.entries()) {
    const make = POOL[draw[0] % POOL.length] ?? POOL[0];
    if (make !== undefined) send(make(picker(draw), store), 2, at + 2, draw[3] % 3);
  }
  return { entries, accepted, store };
}

export function headOf(store: MemoryStore): Head | undefined {
  return readRow(store, HEAD, "chain/head");
}
