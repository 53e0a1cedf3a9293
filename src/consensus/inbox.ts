import type { RaftId } from "../core/peer.ts";
import { ENTRY_BYTES_MAX } from "../metadata/entry.ts";
import type { ReadyLoop } from "./ready-loop.ts";
import type { PeerMessage, Transport } from "./transport.ts";

export interface InboxOptions {
  readonly self: RaftId;
  readonly loop: ReadyLoop;
  readonly transport: Transport;
  readonly leads: boolean;
  readonly leader: RaftId;
  /** A proposal of ours went to one that does not lead. */
  readonly refused: () => void;
}

const STAMP_ROOM_BYTES = 16;

/** What peers say, to whom it concerns. */
export function deliver(
  { self, loop, transport, leads, leader, refused }: InboxOptions,
  from: RaftId,
  messages: readonly PeerMessage[],
): void {
  for (const message of messages) {
    switch (message.kind) {
      case "raft": {
        const { type, to } = message.message;
        // Proposals come as envelopes, which the leader stamps; snapshots on streams of their own.
        if (message.message.from === from && to === self && type !== "propose" && type !== "snapshot") loop.step(message.message);
        break;
      }
      case "proposal":
        if (message.envelope.byteLength > ENTRY_BYTES_MAX - STAMP_ROOM_BYTES) break;
        if (leads) loop.take([message.envelope]);
        else transport.send(from, [{ kind: "notLeader", leader }]);
        break;
      case "notLeader":
        refused();
        break;
      case "ping":
        transport.send(from, [{ kind: "pong" }]);
        break;
      case "pong":
        break;
    }
  }
}
