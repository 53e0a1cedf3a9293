import type { Consensus, Freshness } from "../consensus/consensus.ts";
import { OciError } from "../core/errors.ts";

// What a node that is cut off says (G3; design.md, "Clients' reads" and "Leases"):
// - what it has, GET and HEAD alike, marked `cutOff`: pulls go on, and a HEAD is how docker begins one;
// - nothing about what it has not: "unknown" may be wrong, so it is 503;
// - to a HEAD that would have to renew a lease, 503: "exists" would be a promise to a pusher that nobody keeps;
// - 503 to every write.

/** An absence may only be told from a state with a barrier. */
export function absence(freshness: Freshness, error: () => OciError): OciError {
  if (freshness === "fresh") return error();
  return cutOffError("this node is cut off from the cluster and cannot say whether the content exists");
}

export function cutOffError(message: string): OciError {
  return new OciError("UNAVAILABLE", `${message}; ask another node, or this one again later`, { freshness: "cutOff" });
}

/** @throws OciError UNAVAILABLE at once where no write can be committed from here, rather than after its deadline */
export function assertWritable(consensus: Consensus): void {
  if (consensus.status().cutOff) throw cutOffError("this node is cut off from the cluster and takes no writes");
}
