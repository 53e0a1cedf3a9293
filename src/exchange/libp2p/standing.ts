import type { PeerId } from "../../core/peer.ts";
import type { Random } from "../../core/random.ts";
import { type Supersession, standingStatement, verifySupersession, verifyWith } from "../membership-certificate.ts";
import { Channel } from "./channel.ts";
import type { Host } from "./host.ts";
import { JOIN_PROTOCOL, NONCE_SIZE_BYTES } from "./join.ts";
import { asFields, bytesOf, count, REQUEST_SIZE_MAX, text } from "./wire.ts";

/** What another one says, with a signature of this node's cluster, of where this node stands. */
export type Standing =
  /** Nothing that would speak against it. */
  | { readonly kind: "good" }
  | { readonly kind: "removed" }
  /** The cluster was recovered, and goes on as another; `member`: this node is one of that too. `peer` has said so. */
  | { readonly kind: "superseded"; readonly by: Supersession; readonly member: boolean; readonly peer: PeerId };

/** Of this node's cluster. */
export interface OwnCluster {
  readonly clusterId: string;
  /** SPKI DER: only who holds its private half, or has its signature, is believed. */
  readonly publicKey: Uint8Array;
}

/**
 * Asks a member where this node stands in the cluster. It goes by the join protocol, which is the one that a member speaks with those who are none (G7).
 * @returns good too where the member does not know
 * @throws where it is not reached, or is another cluster's
 */
export async function askStanding(
  host: Host,
  addresses: readonly string[],
  { clusterId, publicKey }: OwnCluster,
  random: Random,
  signal: AbortSignal,
): Promise<Standing> {
  const { stream, peer } = await host.dialStranger(addresses, JOIN_PROTOCOL, signal);
  const channel = new Channel(stream);
  const unbind = channel.abortOn(signal);
  try {
    const nonce = Buffer.from(random.bytes(NONCE_SIZE_BYTES));
    await channel.writeFrame({ nonce, standing: true, cluster: clusterId });
    const answer = asFields((await channel.readFrame(REQUEST_SIZE_MAX)) ?? {});
    if (answer.superseded !== undefined) {
      const by = supersessionIn(asFields(answer.superseded), clusterId, publicKey);
      return { kind: "superseded", by, member: answer.member === true, peer };
    }
    const removed = answer.removed === true;
    if (!verifyWith(publicKey, standingStatement(nonce, host.self, peer, removed), bytesOf(answer, "signature"))) throw noMember();
    return { kind: removed ? "removed" : "good" };
  } finally {
    unbind();
    channel.abort(new DOMException("the question is answered", "AbortError"));
  }
}

function supersessionIn(fields: Readonly<Record<string, unknown>>, clusterId: string, publicKey: Uint8Array): Supersession {
  const successor = text(fields, "successor");
  const by: Supersession = { clusterId, successor, lastTerm: count(fields, "lastTerm"), lastIndex: count(fields, "lastIndex") };
  if (!verifySupersession(publicKey, by, bytesOf(fields, "signature"))) throw noMember();
  return by;
}

function noMember(): Error {
  return new Error("the node that answered does not hold the key of this cluster");
}
