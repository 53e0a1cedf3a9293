import type { AppliedCommand } from "../../src/metadata/apply-entry.ts";
import type { Outcome } from "../../src/metadata/commands.ts";
import { SESSION_WINDOW } from "../../src/metadata/outcome-rows.ts";

interface Session {
  /** The start that it was opened for. */
  readonly start: string;
  lowest: number;
  ended: boolean;
  readonly outcomes: Map<number, Outcome>;
}

/** What came of a command, as the log orders them. */
type Settled = Pick<AppliedCommand, "index" | "command" | "session" | "sequence" | "lowest" | "outcome" | "duplicate">;

/**
 * Sessions as they should be (G8, design.md), beside those of the catalog: each command is done once, answered alike when it comes again, and not at all once its proposer
 * has given it up. All replicas come to the same, so each entry is looked at where it applies first.
 */
export class SessionRules {
  readonly #fail: (invariant: string, message: string) => void;
  readonly #sessions = new Map<number, Session>();
  /** The newest start of each node that has opened a session. */
  readonly #newest = new Map<number, number>();
  /** Where each entry applied first. */
  readonly #first = new Map<number, number>();
  #index = 0;

  constructor(fail: (invariant: string, message: string) => void) {
    this.#fail = fail;
  }

  /** The entry has applied at a node; what came of its commands follows. */
  sealed(id: number, index: number): void {
    if (index <= this.#index) {
      // It may be the first, which has died and does it again.
      this.#first.delete(index);
      return;
    }
    // Whoever applied what lies between died before it said so.
    if (index > this.#index + 1) this.#sessions.clear();
    this.#index = index;
    this.#first.set(index, id);
  }

  applied(id: number, settled: Settled): void {
    if (this.#first.get(settled.index) !== id) return;
    if (settled.command.type === "session.open") this.#opened(settled.command, settled.outcome);
    else if (settled.session !== 0) this.#settled(settled);
  }

  #opened({ raftId, boot }: Extract<Settled["command"], { type: "session.open" }>, { refused, value }: Outcome): void {
    if (refused !== undefined || value === undefined || boot === undefined) return;
    const newest = this.#newest.get(raftId) ?? 0;
    if (boot.incarnation < newest) {
      this.#fail(
        "a start that another has followed opens no session",
        `start ${boot.incarnation} of node ${raftId} opened one after ${newest}`,
      );
    }
    this.#newest.set(raftId, Math.max(newest, boot.incarnation));
    const start = `${raftId}:${boot.incarnation}:${boot.nonce}`;
    const known = this.#sessions.get(value);
    if (known === undefined) this.#sessions.set(value, { start, lowest: 0, ended: false, outcomes: new Map() });
    else if (known.start !== start) this.#fail("a session is of one start", `the session ${value} of ${known.start} was given to ${start}`);
  }

  #settled({ index, session: id, sequence, lowest, outcome, duplicate }: Settled): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    const refused = outcome.refused === "session";
    if (refused && !duplicate && sequence < Math.max(session.lowest, lowest) + SESSION_WINDOW) session.ended = true;
    if (session.ended) {
      if (!refused)
        this.#fail("a session that has ended answers nothing", `the command ${sequence} of session ${id} applied in entry ${index}`);
      return;
    }
    session.lowest = Math.max(session.lowest, lowest);
    const before = session.outcomes.get(sequence);
    const expected = this.#expected(session, sequence, before);
    const came = refused ? "refused" : duplicate ? "answered again" : "done";
    const differs =
      came === "answered again" && before !== undefined && (before.index !== outcome.index || before.refused !== outcome.refused);
    if (came !== expected || differs) {
      const is = differs ? "is answered otherwise than at first" : `is ${came}, and was to be ${expected}`;
      this.#fail(
        "a session does each command once",
        `the command ${sequence} of session ${id}, lowest ${session.lowest}, ${is} in entry ${index}`,
      );
    }
    if (came === "done") session.outcomes.set(sequence, outcome);
  }

  #expected({ lowest }: Session, sequence: number, before: Outcome | undefined): "refused" | "answered again" | "done" {
    if (sequence < lowest || sequence >= lowest + SESSION_WINDOW) return "refused";
    return before === undefined ? "done" : "answered again";
  }
}
