import { strike } from "./apply-member.ts";
import { revokeAllTokens } from "./apply-token.ts";
import type { ClusterCommand } from "./commands.ts";
import { ACCEPTED, type Decision, refuse } from "./decision.ts";
import type { Draft } from "./draft.ts";
import { CLUSTER_KEY } from "./keys.ts";
import { isMember, readRoster } from "./membership.ts";
import type { ApplyContext } from "./policy.ts";
import { CLUSTER } from "./rows.ts";

/**
 * The catalog, its chain and its sessions go on under the new id (G8, G9). Records of which no copy is left stay as they are: they are counted, and whoever
 * pushes those bytes again heals them.
 */
export function recoverCluster(
  draft: Draft,
  context: ApplyContext,
  command: Extract<ClusterCommand, { type: "cluster.recover" }>,
): Decision {
  const { from, clusterId, publicKey, lastTerm, lastIndex, lost, signature } = command;
  const old = draft.read(CLUSTER, CLUSTER_KEY);
  if (old?.clusterId !== from || from === clusterId) return refuse("state");
  // Right after the entry that it names, or it was not written offline.
  if (context.index !== lastIndex + 1) return refuse("mismatch");
  const roster = readRoster(draft);
  // The end of the log may have taken out one that was a member when this was ordered.
  const struck = new Set(lost.filter((id) => isMember(roster, id)));
  if (struck.size >= roster.seats.length) return refuse("count");
  for (const id of struck) strike(draft, id);
  revokeAllTokens(draft);
  const former = [...(old.former ?? []), { clusterId: from, successor: clusterId, lastTerm, lastIndex, signature }];
  draft.write(CLUSTER, CLUSTER_KEY, { ...old, clusterId, publicKey, former });
  return ACCEPTED;
}
