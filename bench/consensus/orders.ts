import type { PeerId, RaftId } from "../../src/core/peer.ts";
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
  | { readonly do: "load"; readonly name: string; readonly callers: number; readonly warmUpMs: number; readonly measuredMs: number }
  | { readonly do: "stream"; readonly name: string; readonly callers: number }
  | { readonly do: "hush" }
  | { readonly do: "missing"; readonly ids: readonly string[] }
  | { readonly do: "stop" };

export type Request = Order & { readonly id: number };

export interface MemberStatus {
  readonly leads: boolean;
  readonly leader: RaftId | undefined;
  readonly voters: readonly RaftId[];
  readonly learners: readonly RaftId[];
  readonly appliedIndex: number;
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

/** So that the envelope of a `token.create` has 128 bytes. */
const HASH_BYTES = 16;

/** A real command of the catalog that is accepted and writes one row: `token.create`, in an envelope of 128 bytes. */
export function smallCommand(name: string, caller: number, at: number): Extract<Command, { type: "token.create" }> {
  const id = `${name}-${String(caller).padStart(3, "0")}-${String(at).padStart(6, "0")}`;
  return { type: "token.create", id, hash: new Uint8Array(HASH_BYTES), uses: 1, ttlMs: 60_000 };
}
