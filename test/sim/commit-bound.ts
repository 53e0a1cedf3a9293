import type { PeerMessage } from "../../src/consensus/transport.ts";

/** How far what a node hears from others lets it commit, where it leads no term itself (Raft paper, 5.3): what the message shows to be in its log, and no more. */
export function commitBound(messages: readonly PeerMessage[]): number {
  let bound = 0;
  for (const each of messages) if (each.kind === "raft") bound = Math.max(bound, boundOf(each.message));
  return bound;
}

function boundOf(message: Extract<PeerMessage, { kind: "raft" }>["message"]): number {
  switch (message.type) {
    case "append":
      return Math.min(message.commit, message.prevIndex + message.entries.length);
    case "heartbeat":
      return message.commit;
    case "voteReply":
    case "preVoteReply":
      return message.committed?.index ?? 0;
    default:
      return 0;
  }
}
