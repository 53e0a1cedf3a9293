import type { HardState } from "../../src/raft/types.ts";
import type { Witness } from "./witness.ts";

/** What a node's log may hold, and a follower take for committed. */
export class FollowerRules {
  readonly #fail: (invariant: string, message: string) => void;

  constructor(fail: (invariant: string, message: string) => void) {
    this.#fail = fail;
  }

  /**
   * Raft paper, 5.3: it commits no further than it has found its log to be the leader's, and said so. Judged by the next write: what was said is said.
   * @param led whether it was itself the leader of the term before
   */
  wrote(witness: Witness, before: HardState, after: HardState, led: boolean): void {
    const { id, promised, log } = witness;
    const leftover = log.leftover();
    if (leftover !== undefined) {
      const reach = `its log reaches from ${log.base.index} to ${log.lastIndex}`;
      this.#fail("the disk holds what the log names", `node ${id} keeps the entry ${leftover}, and ${reach}`);
    }
    const verified = promised.term === before.term ? promised.index : 0;
    const known = Math.max(verified, witness.committedFloor, log.base.index);
    if (before.commit > known && !led) {
      this.#fail(
        "a follower commits what it has verified",
        `node ${id} committed ${before.commit} in term ${before.term}, verified up to ${known}`,
      );
    }
    if (after.term === before.term) return;
    // What it committed in one write with the step to a new term may have been verified in the old one.
    witness.committedFloor = Math.max(witness.committedFloor, after.commit);
  }
}
