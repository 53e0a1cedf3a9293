import { parseDigest } from "../core/digest.ts";
import { parsePeerId } from "../core/peer.ts";
import { parseRepositoryName, parseTag } from "../core/reference.ts";
import { AUDIT_LENGTHS, AUDIT_NOTES_MAX, type Command, RENEWED_LINKS_MAX } from "./commands.ts";
import { STARTS_REMEMBERED } from "./records.ts";

type Check = (value: unknown) => boolean;
type Shape = Readonly<Record<string, Check>>;

const HEX_32 = /^[0-9a-f]{64}$/;
const HEX_16 = /^[0-9a-f]{16}$/;
const TOKEN_ID = /^[A-Za-z0-9_-]{1,64}$/;
const TAGS_MAX = 1_000;

const count: Check = (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const positive: Check = (value) => count(value) && value !== 0;
const flag: Check = (value) => typeof value === "boolean";
const time: Check = (value) => typeof value === "number" && Number.isFinite(value);
const weight: Check = (value) => time(value) && (value as number) > 0;
const digest: Check = (value) => typeof value === "string" && parseDigest(value) !== undefined;
const repository: Check = (value) => typeof value === "string" && parseRepositoryName(value) !== undefined;
const tag: Check = (value) => typeof value === "string" && parseTag(value) !== undefined;
const root: Check = (value) => typeof value === "string" && HEX_32.test(value);
const nonce: Check = (value) => typeof value === "string" && HEX_16.test(value);
const tokenId: Check = (value) => typeof value === "string" && TOKEN_ID.test(value);
const peerId: Check = (value) => typeof value === "string" && parsePeerId(value) !== undefined;
const expected: Check = (value) => value === "*" || digest(value);
const edgeKind: Check = (value) => value === "blob" || value === "manifest" || value === "foreign";

const text =
  (lengthMax: number): Check =>
  (value) =>
    typeof value === "string" && value.length <= lengthMax;
const bytes =
  (lengthMax: number): Check =>
  (value) =>
    value instanceof Uint8Array && value.byteLength <= lengthMax;
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const list =
  (check: Check, lengthMax: number): Check =>
  (value) =>
    Array.isArray(value) && value.length <= lengthMax && value.every(check);
function fields(shape: Shape): Check {
  const keys = Object.keys(shape);
  const checks = Object.values(shape);
  return (value) => {
    if (typeof value !== "object" || value === null) return false;
    for (let at = 0; at < keys.length; at += 1) if (!checks[at]!((value as Record<string, unknown>)[keys[at]!])) return false;
    return true;
  };
}

const stringMap: Check = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every((one) => typeof one === "string");

const PATTERNS_MAX = 64;
const MEMBERS_MAX = 1_000;
const REFERENCES_MAX = 100_000;
const MANIFEST_BYTES_MAX = 4 * 1024 * 1024;

const member = fields({
  peerId,
  name: text(255),
  zone: text(255),
  capacity: weight,
  addresses: list(text(1_024), 64),
  http: text(1_024),
  versionMax: positive,
});
const named: Shape = { repository, digest };
const sized: Shape = { ...named, sizeBytes: count };

/** What a command's fields may hold. The proposers are members, so this guards against a defect; a refused entry never stops a node. */
const SHAPES: { readonly [T in Command["type"]]: Shape } = {
  "cluster.init": {
    clusterId: text(128),
    publicKey: bytes(1_024),
    member,
    durability: optional(fields({ copies: positive, acks: positive })),
    lifetimes: optional(fields({ leaseMs: positive, graceMs: count, trashKeepMs: count })),
  },
  "cluster.raise": { version: positive },
  "cluster.recover": {
    from: text(128),
    clusterId: text(128),
    publicKey: bytes(1_024),
    lastTerm: positive,
    lastIndex: positive,
    lost: list(positive, MEMBERS_MAX),
    signature: bytes(256),
  },
  "session.open": {
    raftId: positive,
    boot: optional(fields({ incarnation: positive, nonce, earlier: optional(list(nonce, STARTS_REMEMBERED)) })),
  },
  "clock.tick": {},
  "project.set": {
    project: text(255),
    rules: fields({
      immutableTags: list(text(255), PATTERNS_MAX),
      protectedRepositories: list(text(255), PATTERNS_MAX),
      quota: fields({ bytes: optional(count), softBytes: optional(count), repositories: optional(count) }),
    }),
  },
  "audit.note": {
    raftId: positive,
    notes: list(
      fields({
        atMs: count,
        action: text(AUDIT_LENGTHS.action),
        target: text(AUDIT_LENGTHS.target),
        detail: text(AUDIT_LENGTHS.detail),
      }),
      AUDIT_NOTES_MAX,
    ),
  },
  "member.add": { member, token: fields({ id: tokenId, hash: bytes(64) }) },
  "member.replace": {
    old: positive,
    member,
    token: fields({ id: tokenId, hash: bytes(64) }),
    proven: flag,
    lost: optional(flag),
  },
  "member.update": { raftId: positive, member },
  "member.state": { raftId: positive, down: optional(flag), draining: optional(flag), keepCount: optional(flag) },
  "member.remove": { raftId: positive, lost: optional(flag) },
  "token.create": { id: tokenId, hash: bytes(64), uses: positive, ttlMs: count },
  "token.revoke": { id: tokenId },
  "blob.commit": {
    ...sized,
    root,
    copies: list(positive, MEMBERS_MAX),
    deadline: time,
    commitId: text(128),
    source: optional(text(2_048)),
  },
  "blob.remote": { ...sized, source: text(2_048) },
  "blob.adopt": { ...sized, root: optional(root), copy: positive },
  "blob.mount": { source: repository, target: repository, digest },
  "blob.unlink": named,
  "lease.renew": named,
  "lease.renewLinks": { repository, digests: list(digest, RENEWED_LINKS_MAX) },
  "copy.add": { digest, copy: positive, deadline: time, commitId: text(128) },
  "copy.drop": { digest, copy: positive, bad: flag, keepUp: optional(flag) },
  "cache.evict": { digest },
  "manifest.put": {
    ...named,
    mediaType: text(255),
    bytes: bytes(MANIFEST_BYTES_MAX),
    tags: list(tag, TAGS_MAX),
    references: list(fields({ digest, kind: edgeKind }), REFERENCES_MAX),
    subject: optional(digest),
    artifactType: optional(text(1_024)),
    annotations: optional(stringMap),
    ifMatch: optional(list(expected, TAGS_MAX)),
    ifNoneMatch: optional(list(expected, TAGS_MAX)),
    sparse: optional(flag),
  },
  "manifest.delete": named,
  "manifest.undelete": named,
  "manifest.purge": named,
  "tag.delete": { repository, tag },
  "gc.hold": { held: flag, reason: text(512) },
  "gc.ran": {
    run: fields({
      startedMs: count,
      endedMs: count,
      manifests: count,
      links: count,
      blobs: count,
      freed: list(fields({ raftId: positive, sizeBytes: count }), MEMBERS_MAX),
    }),
  },
  "gc.unlink": named,
  "gc.condemn": { digest },
  "gc.deleted": { digest, copy: positive, condemnedAt: count },
  "gc.reclaim": { digest, condemnedAt: count },
};

const CHECKS = new Map<string, Check>(Object.entries(SHAPES).map(([type, shape]) => [type, fields(shape)]));

export function isCommandType(type: string): type is Command["type"] {
  return CHECKS.has(type);
}

export function isWellFormed(type: Command["type"], command: object): boolean {
  return CHECKS.get(type)?.(command) === true;
}
