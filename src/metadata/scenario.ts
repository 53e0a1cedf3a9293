import { createHash } from "node:crypto";
import { encode } from "../core/codec.ts";
import { type Digest, digestOf } from "../core/digest.ts";
import type { PeerId, RaftId } from "../core/peer.ts";
import type { PieceHash } from "../core/pieces.ts";
import type { RepositoryName } from "../core/reference.ts";
import { apply } from "./apply.ts";
import type { Command, MemberFacts, Outcome } from "./commands.ts";
import { readRow } from "./draft.ts";
import { blobKey, linkKey, manifestKey } from "./keys.ts";
import { MemoryStore } from "./memory-store.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";
import type { BlobRecord, CatalogTime, Edge } from "./records.ts";
import { BLOB, LINK, type LinkRow, MANIFEST, type ManifestRow } from "./rows.ts";

// For tests: a state to which commands apply one after the other, without entries and sessions.

export const SECRET_HASH: Uint8Array = createHash("sha256").update("secret").digest();

/** A peer id of the right form that stands for the nth node. */
export function peerOf(node: number): PeerId {
  const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  const tail = Array.from({ length: 6 }, (_, at) => alphabet[Math.trunc(node / alphabet.length ** at) % alphabet.length]).join("");
  return `12D3KooW${"1".repeat(38)}${tail}` as PeerId;
}

export function factsOf(node: number, changes: Partial<MemberFacts> = {}): MemberFacts {
  return {
    peerId: peerOf(node),
    name: `node-${node}`,
    zone: "",
    capacity: 1,
    addresses: [`/ip4/127.0.0.1/tcp/${5100 + node}`],
    http: `127.0.0.1:${5000 + node}`,
    versionMax: 1,
    ...changes,
  };
}

export const digestNamed = (name: string): Digest => digestOf(Buffer.from(name));
export const rootNamed = (name: string): PieceHash => createHash("sha256").update(`root ${name}`).digest("hex") as PieceHash;

export class Scenario {
  readonly policy: Policy;
  store: MemoryStore = new MemoryStore();
  index = 0;
  time: CatalogTime = 0;

  constructor(policy: Partial<Policy> = {}) {
    this.policy = { ...DEFAULT_POLICY, ...policy };
  }

  run(command: Command): Outcome {
    this.index += 1;
    const context = { index: this.index, time: this.time, schema: 1, policy: this.policy };
    const { outcome, changes } = apply(this.store, context, command);
    this.store.write(changes);
    return outcome;
  }

  /** Makes the cluster with that many members; answers their ids. */
  found(members: number): readonly RaftId[] {
    this.run({ type: "cluster.init", clusterId: "test", publicKey: new Uint8Array([1]), member: factsOf(0) });
    this.run({ type: "token.create", id: "t", hash: SECRET_HASH, uses: 1_000, ttlMs: 2 ** 40 });
    return [1, ...Array.from({ length: members - 1 }, (_, at) => this.join(at + 1))];
  }

  join(node: number): RaftId {
    return this.run({ type: "member.add", member: factsOf(node), token: { id: "t", hash: SECRET_HASH } }).value ?? 0;
  }

  commit(repository: RepositoryName, digest: Digest, copies: readonly RaftId[], source?: string): Outcome {
    return this.run({
      type: "blob.commit",
      repository,
      digest,
      sizeBytes: 10,
      root: rootNamed("blob"),
      copies,
      deadline: this.time,
      commitId: "c",
      ...(source === undefined ? {} : { source }),
    });
  }

  put(
    repository: RepositoryName,
    digest: Digest,
    references: readonly Edge[],
    more: Partial<Extract<Command, { type: "manifest.put" }>> = {},
  ): Outcome {
    return this.run({
      type: "manifest.put",
      repository,
      digest,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      bytes: Buffer.from("{}"),
      tags: [],
      references,
      ...more,
    });
  }

  blob(digest: Digest): BlobRecord | undefined {
    return readRow(this.store, BLOB, blobKey(digest));
  }

  link(repository: RepositoryName, digest: Digest): LinkRow | undefined {
    return readRow(this.store, LINK, linkKey(repository, digest));
  }

  manifest(repository: RepositoryName, digest: Digest): ManifestRow | undefined {
    return readRow(this.store, MANIFEST, manifestKey(repository, digest));
  }
}

/** An envelope as no proposer of this version writes it: fields that are wrong, missing, or of a later version. */
export function rawEnvelope(fields: Readonly<Record<string, unknown>>): Uint8Array {
  const { v, session, sequence, lowest, principal = null, command, ...later } = fields;
  return encode([0, v, session, sequence, lowest, principal, command, ...Object.values(later)]);
}
