import type { AppliedCommand } from "../../src/metadata/apply-entry.ts";
import type { ConfState } from "../../src/raft/types.ts";
import { sameBytes } from "./log-mirror.ts";
import { SessionRules } from "./session-rules.ts";
import { isSameConfState } from "./witness.ts";

/** The head record of a catalog. */
export interface CatalogMeta {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
  readonly installed: number;
}

/** At one index all nodes have one state (Raft paper, figure 3): told by its seal and its configuration. */
export class StateRules {
  readonly #fail: (invariant: string, message: string) => void;
  readonly #seals = new Map<number, Uint8Array>();
  readonly #configurations = new Map<number, ConfState>();
  /** By what a command calls itself, which no other does: the entry that did it. */
  readonly #done = new Map<string, number>();

  readonly #sessions: SessionRules;

  constructor(fail: (invariant: string, message: string) => void) {
    this.#fail = fail;
    this.#sessions = new SessionRules(fail);
  }

  /**
   * An entry has applied; its commands follow.
   * @param running the configuration in force in the node, where this is the last entry that has applied there
   */
  entry(id: number, index: number, running: ConfState | undefined): void {
    this.#sessions.sealed(id, index);
    if (running !== undefined) this.configured(id, index, running);
  }

  configured(id: number, index: number, confState: ConfState): void {
    const agreed = this.#configurations.get(index);
    if (agreed === undefined) this.#configurations.set(index, confState);
    else if (!isSameConfState(agreed, confState)) {
      const [own, others] = [confState, agreed].map((each) => JSON.stringify(each));
      this.#fail("state machine safety", `node ${id} has the configuration ${own} at ${index}, others ${others}`);
    }
  }

  /** A command was done, which nobody asks for twice: all replicas do it for one entry, whatever it was refused for there. */
  did(id: number, applied: AppliedCommand): void {
    this.#sessions.applied(id, applied);
    const { index, command, duplicate } = applied;
    if (duplicate || command.type !== "token.create") return;
    const name = command.id;
    const before = this.#done.get(name);
    if (before === undefined) this.#done.set(name, index);
    else if (before !== index) this.#fail("exactly once", `node ${id} does ${name} for entry ${index}, which was done for entry ${before}`);
  }

  sealed(id: number, index: number, seal: Uint8Array): void {
    const same = this.#seals.get(index);
    if (same === undefined) this.#seals.set(index, seal);
    else if (!sameBytes(same, seal)) {
      this.#fail("state machine safety", `the state of node ${id} at ${index} is not that of the others: the seals differ`);
    }
  }
}
