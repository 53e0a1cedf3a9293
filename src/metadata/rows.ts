import { decode, encode } from "../core/codec.ts";
import type { RaftId } from "../core/peer.ts";
import type { Tag } from "../core/reference.ts";
import type { Outcome } from "./commands.ts";
import type {
  AuditRecord,
  BlobRecord,
  BootId,
  CatalogTime,
  ClusterRecord,
  CollectorRecord,
  JoinTokenRecord,
  Link,
  ManifestRecord,
  Member,
  ProjectRules,
  ProjectUsage,
  Referrer,
  RepositoryRecord,
  TagRecord,
} from "./records.ts";

/** How the value under one kind of key is written. */
export interface Row<T> {
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

/**
 * Fields in one fixed order and none that is undefined: equal values have equal bytes, however they were built. A row that one entry after the other reads
 * (cluster) is remembered, by the identity of value and bytes, which nobody alters.
 */
function row<T extends object>(fields: readonly (keyof T & string)[]): Row<T> {
  let given: T | undefined;
  let plain: T | undefined;
  let written: Uint8Array | undefined;
  return {
    encode(value) {
      if (value === given && written !== undefined) return written;
      const out: Partial<Record<keyof T & string, unknown>> = {};
      for (const field of fields) if (value[field] !== undefined) out[field] = value[field];
      given = value;
      plain = out as T;
      written = encode(out);
      return written;
    },
    decode(bytes) {
      if (bytes === written && plain !== undefined) return plain;
      plain = decode(bytes) as T;
      given = plain;
      written = bytes;
      return plain;
    },
  };
}

/** The last entry that was applied. */
export interface Head {
  readonly index: number;
  readonly time: CatalogTime;
  /** Of the chain of G9. */
  readonly hash: Uint8Array;
}

/** What guards need of a member. */
export interface Seat {
  readonly id: RaftId;
  readonly down: boolean;
  readonly draining: boolean;
  readonly versionMax: number;
}

export interface Roster {
  readonly seats: readonly Seat[];
  readonly removed: readonly RaftId[];
}

export interface Usage {
  readonly copies: number;
  /** Records with no other copy, as they stood when they were last written. */
  readonly sole: number;
  /** Of all its copies. */
  readonly sizeBytes: number;
}

export interface Session {
  readonly raftId: RaftId;
  readonly seenAt: CatalogTime;
  /** Outcomes from `lowest` to `highest` are kept. */
  readonly lowest: number;
  readonly highest: number;
}

/** A link, or, where `present` is false, the edges that a later link starts with. */
export interface LinkRow extends Link {
  readonly present: boolean;
  /** Where its key stands in the index of idle links. */
  readonly due: CatalogTime | undefined;
}

/** Edges to a manifest of the repository. */
export interface Child {
  readonly references: number;
  readonly trashed: number;
  /** Manifests outside the trash that name it as their subject. */
  readonly referrers: number;
}

/** A manifest without its bytes: a tag that moves does not write 4 MiB again. */
export interface ManifestRow extends Omit<ManifestRecord, "digest" | "bytes"> {
  readonly sizeBytes: number;
  /** In the trash: the tags that named it. */
  readonly deletedTags: readonly Tag[] | undefined;
}

export type ReferrerRow = Omit<Referrer, "digest">;

export const CLUSTER = row<ClusterRecord>(["clusterId", "version", "publicKey", "durability", "lifetimes", "former"]);
export const MEMBER = row<Member>([
  "raftId",
  "peerId",
  "name",
  "zone",
  "capacity",
  "addresses",
  "http",
  "down",
  "downSince",
  "draining",
  "versionMax",
]);
export const PEER = row<{ readonly raftId: RaftId }>(["raftId"]);
export const USAGE = row<Usage>(["copies", "sole", "sizeBytes"]);
export const TOKEN = row<JoinTokenRecord>(["id", "hash", "usesLeft", "expiresAt", "revoked"]);
export const BOOT = row<BootId>(["incarnation", "nonce"]);
/** Where the queue of join tokens begins and ends. */
export const TOKENS = row<{ readonly first: number; readonly next: number }>(["first", "next"]);
export const COLLECTOR = row<CollectorRecord>(["held", "runs"]);
export const PROJECT = row<ProjectRules>(["immutableTags", "protectedRepositories", "quota"]);
export const PROJECT_USAGE = row<ProjectUsage>(["sizeBytes", "blobs", "repositories"]);
/** How many repositories of a project link a blob. */
export const SHARE = row<{ readonly links: number }>(["links"]);
/** Where the audit trail begins and ends. */
export const AUDIT_TRAIL = row<{ readonly first: number; readonly next: number }>(["first", "next"]);
export const AUDIT = row<Omit<AuditRecord, "number">>(["raftId", "atMs", "action", "target", "detail"]);
export const QUEUED_TOKEN = row<{ readonly id: string }>(["id"]);
export const SESSIONS = row<{ readonly ids: readonly number[] }>(["ids"]);

/** A number of a row that every entry reads or writes: those are not msgpack, which took a seventh of the time of applying. */
const NUMBER_BYTES = 6;

/** Index and catalog time, then the hash. */
export const HEAD: Row<Head> = {
  encode({ index, time, hash }) {
    const bytes = Buffer.allocUnsafe(2 * NUMBER_BYTES + hash.byteLength);
    bytes.writeUIntBE(index, 0, NUMBER_BYTES);
    bytes.writeUIntBE(time, NUMBER_BYTES, NUMBER_BYTES);
    bytes.set(hash, 2 * NUMBER_BYTES);
    return bytes;
  },
  decode(row) {
    const bytes = bufferOf(row);
    const hash = bytes.subarray(2 * NUMBER_BYTES);
    return { index: bytes.readUIntBE(0, NUMBER_BYTES), time: bytes.readUIntBE(NUMBER_BYTES, NUMBER_BYTES), hash };
  },
};

/** Its numbers in their order; one more than the highest sequence, which is -1 at first. */
export const SESSION: Row<Session> = {
  encode({ raftId, seenAt, lowest, highest }) {
    const bytes = Buffer.allocUnsafe(4 * NUMBER_BYTES);
    bytes.writeUIntBE(raftId, 0, NUMBER_BYTES);
    bytes.writeUIntBE(seenAt, NUMBER_BYTES, NUMBER_BYTES);
    bytes.writeUIntBE(lowest, 2 * NUMBER_BYTES, NUMBER_BYTES);
    bytes.writeUIntBE(highest + 1, 3 * NUMBER_BYTES, NUMBER_BYTES);
    return bytes;
  },
  decode(row) {
    const bytes = bufferOf(row);
    return {
      raftId: bytes.readUIntBE(0, NUMBER_BYTES),
      seenAt: bytes.readUIntBE(NUMBER_BYTES, NUMBER_BYTES),
      lowest: bytes.readUIntBE(2 * NUMBER_BYTES, NUMBER_BYTES),
      highest: bytes.readUIntBE(3 * NUMBER_BYTES, NUMBER_BYTES) - 1,
    };
  },
};

const OUTCOME_REST = row<Omit<Outcome, "index">>(["refused", "digest", "value"]);
/** Most commands of an entry are accepted, and say nothing else: the same bytes for all of them. */
let accepted = { index: 0, bytes: encodeOutcome(0, new Uint8Array()) };

/** The index, and in msgpack what it says beside "accepted", where it says more. */
export const OUTCOME: Row<Outcome> = {
  encode(outcome) {
    const { index, refused, digest, value } = outcome;
    if (refused !== undefined || digest !== undefined || value !== undefined) return encodeOutcome(index, OUTCOME_REST.encode(outcome));
    if (index !== accepted.index) accepted = { index, bytes: encodeOutcome(index, new Uint8Array()) };
    return accepted.bytes;
  },
  decode(row) {
    const index = bufferOf(row).readUIntBE(0, NUMBER_BYTES);
    return row.byteLength === NUMBER_BYTES ? { index } : { index, ...OUTCOME_REST.decode(row.subarray(NUMBER_BYTES)) };
  },
};

function encodeOutcome(index: number, rest: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(NUMBER_BYTES + rest.byteLength);
  bytes.writeUIntBE(index, 0, NUMBER_BYTES);
  bytes.set(rest, NUMBER_BYTES);
  return bytes;
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export const BLOB = row<BlobRecord>([
  "state",
  "sizeBytes",
  "root",
  "copies",
  "condemnedAt",
  "acknowledged",
  "links",
  "sourcedLinks",
  "adopted",
]);
export const LINK = row<LinkRow>(["present", "references", "trashed", "lease", "zeroSince", "source", "hidden", "due"]);
export const CHILD = row<Child>(["references", "trashed", "referrers"]);
export const TAG = row<TagRecord>(["digest", "mediaType", "sizeBytes"]);
export const REFERRER = row<ReferrerRow>(["mediaType", "sizeBytes", "artifactType", "annotations"]);
export const REPOSITORY = row<RepositoryRecord>(["name", "manifests", "tags"]);
export const MANIFEST = row<ManifestRow>([
  "mediaType",
  "sizeBytes",
  "references",
  "subject",
  "artifactType",
  "annotations",
  "tags",
  "lease",
  "purgeAfter",
  "deletedTags",
]);

export const ROSTER: Row<Roster> = {
  encode: ({ seats, removed }) =>
    encode({ seats: seats.map(({ id, down, draining, versionMax }) => ({ id, down, draining, versionMax })), removed: [...removed] }),
  decode: (bytes) => decode(bytes) as Roster,
};

/** An index key says it all. */
export const MARK = encode(true);
