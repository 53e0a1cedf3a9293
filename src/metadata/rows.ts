import { decode, encode } from "../core/codec.ts";
import type { RaftId } from "../core/peer.ts";
import type { Tag } from "../core/reference.ts";
import type { Outcome } from "./commands.ts";
import type {
  BlobRecord,
  BootId,
  CatalogTime,
  ClusterRecord,
  JoinTokenRecord,
  Link,
  ManifestRecord,
  Member,
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
 * Fields in one fixed order and none that is undefined: equal values have equal bytes, however they were built. Rows that each entry reads
 * and writes again (head, session) are remembered from one entry to the next, by the identity of value and bytes, which nobody alters.
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

export const HEAD = row<Head>(["index", "time", "hash"]);
export const CLUSTER = row<ClusterRecord>(["clusterId", "version", "publicKey", "durability"]);
export const MEMBER = row<Member>(["raftId", "peerId", "name", "zone", "capacity", "addresses", "http", "down", "draining", "versionMax"]);
export const PEER = row<{ readonly raftId: RaftId }>(["raftId"]);
export const USAGE = row<Usage>(["copies", "sole"]);
export const TOKEN = row<JoinTokenRecord>(["id", "hash", "usesLeft", "expiresAt", "revoked"]);
export const BOOT = row<BootId>(["incarnation", "nonce"]);
export const TOKENS = row<{ readonly ids: readonly string[] }>(["ids"]);
export const SESSIONS = row<{ readonly ids: readonly number[] }>(["ids"]);
export const SESSION = row<Session>(["raftId", "seenAt", "lowest", "highest"]);
export const OUTCOME = row<Outcome>(["index", "refused", "digest", "value"]);

/** An outcome in a slot of its session: the sequence (6 bytes, big-endian), then the outcome. */
export const KEPT: Row<{ readonly sequence: number; readonly outcome: Outcome }> = {
  encode({ sequence, outcome }) {
    const encoded = OUTCOME.encode(outcome);
    const bytes = Buffer.allocUnsafe(SEQUENCE_BYTES + encoded.byteLength);
    bytes.writeUIntBE(sequence, 0, SEQUENCE_BYTES);
    bytes.set(encoded, SEQUENCE_BYTES);
    return bytes;
  },
  decode(bytes) {
    const sequence = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readUIntBE(0, SEQUENCE_BYTES);
    return { sequence, outcome: OUTCOME.decode(bytes.subarray(SEQUENCE_BYTES)) };
  },
};
const SEQUENCE_BYTES = 6;

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
