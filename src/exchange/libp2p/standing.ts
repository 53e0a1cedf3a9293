import type { Random } from "../../core/random.ts";
import { standingStatement, verifyWith } from "../membership-certificate.ts";
import { Channel } from "./channel.ts";
import type { Host } from "./host.ts";
import { JOIN_PROTOCOL, NONCE_SIZE_BYTES } from "./join.ts";
import { asFields, bytesOf, REQUEST_SIZE_MAX } from "./wire.ts";

/**
 * Asks a member whether this node was removed from the cluster. It goes by the join protocol, which is the one that a member speaks with those who are none (G7).
 * @param publicKey the cluster's, SPKI DER: only who holds its private half is believed
 * @returns false too where the member does not know of it
 * @throws where it is not reached, or is another cluster's
 */
export async function askRemoved(
  host: Host,
  addresses: readonly string[],
  publicKey: Uint8Array,
  random: Random,
  signal: AbortSignal,
): Promise<boolean> {
  const { stream, peer } = await host.dialStranger(addresses, JOIN_PROTOCOL, signal);
  const channel = new Channel(stream);
  const unbind = channel.abortOn(signal);
  try {
    const nonce = Buffer.from(random.bytes(NONCE_SIZE_BYTES));
    await channel.writeFrame({ nonce, standing: true });
    const answer = asFields((await channel.readFrame(REQUEST_SIZE_MAX)) ?? {});
    const removed = answer.removed === true;
    if (!verifyWith(publicKey, standingStatement(nonce, host.self, peer, removed), bytesOf(answer, "signature"))) {
      throw new Error("the node that answered does not hold the key of this cluster");
    }
    return removed;
  } finally {
    unbind();
    channel.abort(new DOMException("the question is answered", "AbortError"));
  }
}
