import type { AppendMessage } from "../../src/raft/types.ts";
import { isConfChangeRecord, termOf } from "./log-mirror.ts";
import type { Witness } from "./witness.ts";

/** What a leader may count and propose, held to the disks of those whom it counts: seen before anything is committed by it. */
export class LeaderRules {
  readonly #fail: (invariant: string, message: string) => void;
  /** What each leader has been seen to count, by `leader:term:peer`. */
  readonly #counted = new Map<string, number>();
  readonly #begun = new Set<number>();
  /** The terms in which there is a configuration change at an index, where the leader has been judged for it. */
  readonly #changes = new Map<number, Set<number>>();

  constructor(fail: (invariant: string, message: string) => void) {
    this.#fail = fail;
  }

  /**
   * Leader completeness (Raft paper, 5.4.3), looked at where the first entry of a new term is written: all before it is the leader's log.
   * @param last the last entry that is known to be committed, where its record is
   */
  begins(witness: Witness, index: number, term: number, last: { readonly index: number; readonly record: Uint8Array | undefined }): void {
    if (this.#begun.has(term)) return;
    this.#begun.add(term);
    if (last.record === undefined || termOf(last.record) >= term) return;
    const own = last.index >= index ? undefined : witness.log.termAt(last.index);
    if (last.index < index && (witness.log.base.index >= last.index || own === termOf(last.record))) return;
    this.#fail("leader completeness", `the leader of term ${term} begins at ${index} without the committed entry ${last.index}`);
  }

  /** Raft paper, figure 2, matchIndex: known to be replicated there, by what the peer has said in this very term. */
  counted(leader: Witness, peer: Witness, term: number): void {
    const known = leader.leading?.(peer.id);
    if (known === undefined || known.term !== term || known.match === 0 || peer.tampered) return;
    const key = `${leader.id}:${term}:${peer.id}`;
    const { match } = known;
    if (match <= (this.#counted.get(key) ?? 0)) return;
    this.#counted.set(key, match);
    const { durable, base } = peer.log;
    // It has moved on since it answered: what it held by then cannot be seen any more.
    if (durable.term > term) return;
    const own = leader.log.termAt(match);
    const theirs = peer.log.termAt(match);
    const there = durable.term === term && match <= Math.max(durable.lastIndex, base.index);
    if (there && (own === undefined || theirs === undefined || own === theirs)) return;
    this.#fail(
      "a leader counts what is on the disks of others",
      `node ${leader.id}, leader of term ${term}, counts entry ${match} of term ${own} at node ${peer.id}: synced there are ${durable.lastIndex} in term ${durable.term}, of term ${theirs} at that place`,
    );
  }

  /** What it sends is what its disk has, as soon as that has taken an entry of its own term: nothing before it is replaced any more. */
  sends({ id, log }: Witness, { term, prevIndex, prevTerm, entries }: AppendMessage): void {
    if (log.termAt(log.lastIndex) !== term) return;
    const differs = [{ index: prevIndex, term: prevTerm }, ...entries].find(
      ({ index, term: said }) => (log.termAt(index) ?? said) !== said,
    );
    if (differs === undefined) return;
    const has = `has the entry ${differs.index} of term ${log.termAt(differs.index)}`;
    this.#fail("a leader sends what it has", `node ${id}, leader of term ${term}, ${has}, and sends one of term ${differs.term}`);
  }

  /** Dissertation, 4.1, where a change takes effect when it applies: none is proposed before those in front of it have applied at the leader. */
  proposed(leader: Witness, { term, entries }: AppendMessage): void {
    for (const { index, type, term: own } of entries) {
      if (type === "normal" || own !== term || !this.#isNew(index, term)) continue;
      for (let at = leader.applied + 1; at < index; at += 1) {
        const sent = entries.find((entry) => entry.index === at);
        const record = leader.log.records.get(at);
        const isChange = sent === undefined ? record !== undefined && isConfChangeRecord(record) : sent.type !== "normal";
        if (!isChange) continue;
        this.#fail(
          "one configuration change at a time",
          `node ${leader.id}, leader of term ${term}, proposes a change at ${index}, and has not applied the one at ${at}`,
        );
        return;
      }
    }
  }

  #isNew(index: number, term: number): boolean {
    const terms = this.#changes.get(index) ?? new Set<number>();
    this.#changes.set(index, terms);
    if (terms.has(term)) return false;
    terms.add(term);
    return true;
  }
}
