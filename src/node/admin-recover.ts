import { OciError } from "../core/errors.ts";
import type { Admin, LostBlob } from "../http/admin.ts";
import type { AdminOptions } from "./admin.ts";

/** More is not counted for a status. */
export const LOST_COUNTED = 1_000;
const LOST_LISTED = 10_000;
const REPOSITORIES_LISTED = 16;
/** Whoever reaches the admin socket is the user that runs the node. */
const ADMINISTRATOR = "the admin socket";

export function createRecoveryAdmin({ consensus, recovery }: AdminOptions): Pick<Admin, "recoveryPlan" | "recover" | "lostBlobs"> {
  return {
    recoveryPlan: () => recovery.plan(),
    async recover(clusterId, lost) {
      const own = consensus.catalog.cluster()?.clusterId;
      if (own === clusterId) return recovery.perform(lost, ADMINISTRATOR);
      throw new OciError("CONFLICT", `this node is in the cluster ${own ?? "of nobody yet"}, and the recovery is to be of ${clusterId}`);
    },
    async lostBlobs() {
      const { catalog } = consensus;
      const digests = await catalog.lostRecords("", LOST_LISTED);
      return Promise.all(
        digests.map(async (digest): Promise<LostBlob> => {
          return { digest, repositories: await catalog.repositoriesLinking(digest, "", REPOSITORIES_LISTED) };
        }),
      );
    },
  };
}

/** For `status`. */
export function lostWarning(count: number): readonly string[] {
  if (count === 0) return [];
  const many = count < LOST_COUNTED ? String(count) : `${LOST_COUNTED} or more`;
  const [are, them] = count === 1 ? ["blob is", "it"] : ["blobs are", "them"];
  return [`${many} ${are} lost: no node holds a copy. \`roadstead lost\` lists ${them}; who pushes ${them} again heals ${them}`];
}
