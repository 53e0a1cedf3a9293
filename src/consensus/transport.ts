import type { RaftId } from "../core/peer.ts";
import type { BootFault, BootId, Start } from "../metadata/records.ts";
import type { Message } from "../raft/types.ts";

/** What drivers say to each other over the stream between two peers. */
export type PeerMessage =
  | { readonly kind: "raft"; readonly message: Message }
  /** An encoded envelope, without the leader's stamp, on its way to the leader. */
  | { readonly kind: "proposal"; readonly envelope: Uint8Array }
  /** The one who got the proposal does not lead: the proposer looks again at once instead of waiting. */
  | { readonly kind: "notLeader"; readonly leader: RaftId }
  /** The leader does not take a proposal, and would not take it again. `envelope` is the SHA-256 of what it got. */
  | { readonly kind: "proposalRefused"; readonly envelope: Uint8Array; readonly reason: string }
  /** Contact between followers, who say nothing to each other otherwise. */
  | { readonly kind: "ping" }
  | { readonly kind: "pong" }
  /** The sender's seal when it had applied `index`. */
  | { readonly kind: "seal"; readonly index: number; readonly seal: Uint8Array };

/** A start of a node, with what was on its disk then. */
export interface Boot extends Start {
  readonly term: number;
  readonly lastIndex: number;
}

/** Why nothing is taken of a start that a peer has spoken for. It concerns that start alone: a late word of an earlier one harms nobody. */
export interface BootRefusal extends BootId {
  readonly reason: BootFault | "behind";
}

export interface TransportHandler {
  /**
   * Messages of one peer, in the order of arrival; none at the beginning of a stream. Never throws.
   * @param boot the same object for all of one stream
   * @returns why they were not taken: the stream ends, and the peer's `refused` is told
   */
  receive(from: RaftId, boot: Boot, messages: readonly PeerMessage[]): BootRefusal | undefined;
  /** A peer took nothing of a start of this node, perhaps of an earlier one. */
  refused(by: RaftId, refusal: BootRefusal): void;
  /** A stream of `sendSnapshot`. Resolves with the answer to its sender, at most 64 KiB. Rejects where `boot` is not taken. */
  receiveSnapshot(from: RaftId, boot: Boot, header: Uint8Array, chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array>;
  /** What was sent to `to` may be lost: its connection broke or its queue is full. */
  unreachable(to: RaftId): void;
}

/** Between the drivers of a group. Adapters: `memory-transport.ts`, `libp2p/transport.ts`. */
export interface Transport {
  /** How often it turned something away since its start, by the reason; where it counts. */
  readonly counters?: Readonly<Record<string, number>>;
  /** Takes what arrives from now on, and says of this node that it is `boot`. */
  start(handler: TransportHandler, boot: Boot): Promise<void>;
  /** Best effort and never waits: what finds a full queue or no connection is dropped. */
  send(to: RaftId, messages: readonly PeerMessage[]): void;
  /**
   * Header and content on a stream of their own; resolves with the receiver's answer, once it has taken all.
   * @throws where it did not arrive whole or was refused; ConsensusError outdated where nothing is taken of this start
   */
  sendSnapshot(to: RaftId, header: Uint8Array, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Uint8Array>;
  close(): Promise<void>;
}
