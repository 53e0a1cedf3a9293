import { COMMAND_VERSION } from "../metadata/commands.ts";
import type { ClusterRecord } from "../metadata/records.ts";

/** The schema to propose in: what all members of the cluster know, and this program as well. While a cluster is half upgraded, a newer one would be refused. */
export function commandVersion(cluster: Pick<ClusterRecord, "version"> | undefined, own: number = COMMAND_VERSION): number {
  return Math.min(cluster?.version ?? own, own);
}
