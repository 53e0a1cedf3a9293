import type { Outcome } from "./commands.ts";
import { readRow } from "./draft.ts";
import { HEAD_KEY, outcomeKey, sessionKey } from "./keys.ts";
import { OutcomeRun, outcomeSlot } from "./outcome-rows.ts";
import { HEAD, type Head, SESSION, type Session } from "./rows.ts";
import type { Change, View } from "./view.ts";

const GENESIS: Head = { index: 0, time: 0, hash: new Uint8Array(32) };

interface Kept {
  session: Session | undefined;
  changed: boolean;
  /** By slot. */
  readonly runs: Map<number, OutcomeRun>;
}

/**
 * The rows that nearly every entry reads and writes: the head, sessions, and the outcomes kept for retries (G8). They stay decoded while a batch applies, so that a
 * row which a hundred of its entries change is encoded once. What `take` gives is what one entry after the other would have left.
 */
export class Ledger {
  readonly #view: View;
  readonly #sessions = new Map<number, Kept>();
  #head: Head | undefined;
  #moved = false;

  constructor(view: View) {
    this.#view = view;
  }

  /** The last entry that was applied. */
  get head(): Head {
    this.#head ??= readRow(this.#view, HEAD, HEAD_KEY) ?? GENESIS;
    return this.#head;
  }

  moveHead(head: Head): void {
    this.#head = head;
    this.#moved = true;
  }

  session(id: number): Session | undefined {
    return this.#kept(id).session;
  }

  keepSession(id: number, session: Session): void {
    const kept = this.#kept(id);
    kept.session = session;
    kept.changed = true;
  }

  outcome(id: number, sequence: number): Outcome | undefined {
    return this.#run(id, outcomeSlot(sequence)).find(sequence);
  }

  /** In the place of those a window before it, which the proposer has had answered: nothing has to be deleted for each command. */
  keepOutcome(id: number, sequence: number, encoded: Uint8Array): void {
    this.#run(id, outcomeSlot(sequence)).add(sequence, encoded);
  }

  /** What has changed. All else that was read is forgotten with it. */
  take(): Change[] {
    const changes: Change[] = [];
    for (const [id, { session, changed, runs }] of this.#sessions) {
      if (changed && session !== undefined) changes.push({ key: sessionKey(id), value: SESSION.encode(session) });
      for (const [slot, run] of runs) if (run.changed) changes.push({ key: outcomeKey(id, slot), value: run.encode() });
    }
    if (this.#moved && this.#head !== undefined) changes.push({ key: HEAD_KEY, value: HEAD.encode(this.#head) });
    this.#sessions.clear();
    this.#head = undefined;
    this.#moved = false;
    return changes;
  }

  #kept(id: number): Kept {
    let kept = this.#sessions.get(id);
    if (kept === undefined) {
      kept = { session: readRow(this.#view, SESSION, sessionKey(id)), changed: false, runs: new Map() };
      this.#sessions.set(id, kept);
    }
    return kept;
  }

  #run(id: number, slot: number): OutcomeRun {
    const { runs } = this.#kept(id);
    let run = runs.get(slot);
    if (run === undefined) {
      run = new OutcomeRun(this.#view.get(outcomeKey(id, slot)));
      runs.set(slot, run);
    }
    return run;
  }
}
