import type { Clock } from "../core/clock.ts";
import type { Membership } from "./membership.ts";

/**
 * The others need not wait for an election timeout where the leader goes in order. Resolves when another leads, or after `timeoutMs`;
 * at once where this node does not lead or nobody can take over.
 */
export async function handOver(membership: Membership, clock: Clock, timeoutMs: number): Promise<void> {
  if (!membership.leads()) return;
  const { voters } = membership.configuration();
  const heir = membership
    .progress()
    .filter(({ raftId, active }) => raftId !== membership.self && active && voters.includes(raftId))
    .sort((a, b) => b.match - a.match)[0];
  if (heir === undefined) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      forget();
      cancel();
      resolve();
    };
    const forget = membership.onConfiguration(() => {
      if (!membership.leads()) done();
    });
    const cancel = clock.after(timeoutMs, done);
    membership.transferLeader(heir.raftId);
  });
}
