import { createHash } from "node:crypto";
import type { Digest } from "../../src/core/digest.ts";
import type { PeerId, RaftId } from "../../src/core/peer.ts";
import type { PieceHash } from "../../src/core/pieces.ts";
import type { RepositoryName } from "../../src/core/reference.ts";
import type { Command } from "../../src/metadata/commands.ts";
import type { Summary } from "./latencies.ts";

export interface Peer {
  readonly raftId: RaftId;
  readonly peerId: PeerId;
  readonly addresses: readonly string[];
}

export type Order =
  | { readonly do: "peers"; readonly peers: readonly Peer[] }
  | { readonly do: "open"; readonly raftId: RaftId; readonly founding: boolean }
  | { readonly do: "propose"; readonly command: Command }
  | { readonly do: "seat"; readonly raftId: RaftId; readonly as: "addLearner" | "addNode" }
  | { readonly do: "status" }
  | { readonly do: "load"; readonly callers: number; readonly warmUpMs: number; readonly measuredMs: number }
  | { readonly do: "stream"; readonly name: string; readonly callers: number }
  | { readonly do: "hush" }
  | { readonly do: "missing"; readonly names: readonly string[] }
  | { readonly do: "stop" };

export type Request = Order & { readonly id: number };

export interface MemberStatus {
  readonly leads: boolean;
  readonly leader: RaftId | undefined;
  readonly voters: readonly RaftId[];
  readonly learners: readonly RaftId[];
  readonly appliedIndex: number;
  /** Of the newest snapshot that it has installed since it was opened; 0 without one. */
  readonly installedIndex: number;
}

export interface Answer extends Partial<Summary> {
  readonly value?: number | undefined;
  readonly status?: MemberStatus;
  /** Of the member's process, warm-up included. */
  readonly cpuSeconds?: number;
  readonly unanswered?: number;
  readonly missing?: readonly string[];
}

/** What a member says without having been asked, or as an answer. */
export type Told =
  | { readonly peer: Omit<Peer, "raftId"> }
  | { readonly acknowledged: string }
  | { readonly id: number; readonly answer: Answer }
  | { readonly id: number; readonly error: string };

/** So that the envelope of a `token.revoke` has 128 bytes. */
const ID_LENGTH = 54;

export function tokenId(caller: number): string {
  return `t${caller}`.padEnd(ID_LENGTH, "-");
}

/** What `smallCommand` needs: a token a caller. */
export function tokenCommand(caller: number): Command {
  return { type: "token.create", id: tokenId(caller), hash: new Uint8Array(HASH_BYTES), uses: 1, ttlMs: DAY_MS };
}

/** A real command of the catalog, always accepted, in an envelope of 128 bytes: reads one row and writes it. */
export function smallCommand(caller: number): Command {
  return { type: "token.revoke", id: tokenId(caller) };
}

/** A command whose effect can be looked for: one more blob, with copies on all members. */
export function blobCommand(name: string, members: readonly RaftId[]): Extract<Command, { type: "blob.commit" }> {
  const hex = createHash("sha256").update(name).digest("hex");
  return {
    type: "blob.commit",
    repository: "bench/kills" as RepositoryName,
    digest: `sha256:${hex}` as Digest,
    sizeBytes: 1,
    root: hex as PieceHash,
    copies: members,
    deadline: Number.MAX_SAFE_INTEGER,
    commitId: name,
  };
}

const HASH_BYTES = 32;
const DAY_MS = 86_400_000;
