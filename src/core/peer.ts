/** A libp2p peer id in its base58 text form. Ed25519 throughout. */
export type PeerId = string & { readonly __brand: "PeerId" };
/** A member's number in Raft: the log index of its `member.add`, 1 for the node that made the cluster. Never used again. */
export type RaftId = number;

const PEER_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/;

export function parsePeerId(text: string): PeerId | undefined {
  return PEER_ID.test(text) ? (text as PeerId) : undefined;
}
