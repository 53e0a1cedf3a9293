import type { HardState, VoteMessage } from "../../src/raft/types.ts";
import { isConfChangeRecord } from "./log-mirror.ts";
import { configurationsOf, isQuorum, type Witness } from "./witness.ts";

type Vote = Pick<HardState, "term" | "vote">;

/** What Raft says of elections (paper, 5.2 and 5.4.1), held to what nodes send and have on their disks. */
export class ElectionRules {
  readonly #fail: (invariant: string, message: string) => void;
  readonly #leaders = new Map<number, number>();
  /** Whom each voted for, by term and then voter. */
  readonly #votes = new Map<number, Map<number, number>>();
  /** The last request of each candidate, by `candidate:term`. */
  readonly #requests = new Map<string, { readonly lastIndex: number; readonly lastTerm: number }>();

  constructor(fail: (invariant: string, message: string) => void) {
    this.#fail = fail;
  }

  leaderOf(term: number): number | undefined {
    return this.#leaders.get(term);
  }

  leads(witness: Witness, term: number): void {
    const { id } = witness;
    const leader = this.#leaders.get(term);
    if (leader === id) return;
    if (leader !== undefined) {
      this.#fail("one leader a term", `term ${term} has the leaders ${leader} and ${id}`);
      return;
    }
    this.#leaders.set(term, id);
    const votes = this.#votes.get(term);
    const own = witness.log.durable;
    const granted = (voter: number): boolean => (voter === id ? own.term > term || own.vote === id : votes?.get(voter) === id);
    const elected = configurationsOf(witness).some((conf) => isQuorum(conf, (half) => half.filter(granted).length));
    if (elected) return;
    const conf = JSON.stringify(configurationsOf(witness)[0]);
    const voters = [...(votes ?? [])].map(([voter, to]) => `${voter} for ${to}`).join(", ");
    this.#fail(
      "a leader has the votes of a quorum",
      `node ${id} leads term ${term} of ${conf} by the votes ${voters}, its own ${own.vote}`,
    );
  }

  /**
   * It stands for election.
   * @param committedAt the entry that is committed at an index, as far as anyone has said: what the disk has there may be one that is being replaced (seed 5540)
   */
  asked(
    { id, applied, log, campaigning }: Witness,
    { type, term, lastIndex, lastTerm, transfer }: VoteMessage,
    committedAt: (index: number) => Uint8Array | undefined,
  ): void {
    if (type === "vote") {
      this.#requests.set(`${id}:${term}`, { lastIndex, lastTerm });
      const { durable } = log;
      if (durable.term < term || (durable.term === term && durable.vote !== id))
        this.#fail("a promise is durable", `node ${id} stands in term ${term}; synced is term ${durable.term}, vote ${durable.vote}`);
    }
    const commit = campaigning?.() ?? 0;
    for (let index = applied + 1; index <= commit && !transfer; index += 1) {
      const record = committedAt(index) ?? log.records.get(index);
      if (record === undefined || !isConfChangeRecord(record)) continue;
      this.#fail(
        "no campaign before what is committed of the configuration has applied",
        `node ${id} campaigns, and has not applied ${index}`,
      );
    }
  }

  /** A granted vote leaves. */
  voted({ id, log }: Witness, candidate: Witness, term: number): void {
    const { durable } = log;
    const to = candidate.id;
    const votes = this.#votes.get(term) ?? new Map<number, number>();
    this.#votes.set(term, votes);
    const before = votes.get(id);
    if (before !== undefined && before !== to)
      this.#fail("one vote a term", `node ${id} voted for ${before} and for ${to} in term ${term}`);
    votes.set(id, to);
    if (durable.term < term || (durable.term === term && durable.vote !== to)) {
      const stands = `term ${durable.term}, vote ${durable.vote}`;
      this.#fail("a promise is durable", `node ${id} told ${to} of its vote in term ${term}; synced is ${stands}`);
    }
    const request = this.#requests.get(`${to}:${term}`);
    if (request === undefined) return;
    // What it has of this very term came after the vote.
    let index = log.lastIndex;
    while (index > log.base.index && (log.termAt(index) ?? 0) >= term) index -= 1;
    const own = log.termAt(index);
    // Its log was cut within this term while the vote waited for the disk: what it ended with before cannot be seen any more.
    if (own === undefined || own >= term || own < request.lastTerm || (own === request.lastTerm && index <= request.lastIndex)) return;
    const theirs = `${request.lastIndex} of term ${request.lastTerm}`;
    this.#fail(
      "a vote goes to a log that is up to date",
      `node ${id}, whose log ends at ${index} of term ${own}, voted for ${to}, at ${theirs}`,
    );
  }

  /** Of what is on the disk of one node. */
  stands(id: number, before: Vote, after: Vote, when: string): void {
    const lower = after.term < before.term || (after.term === before.term && before.vote !== 0 && after.vote !== before.vote);
    if (!lower) return;
    const change = `from term ${before.term}, vote ${before.vote} to term ${after.term}, vote ${after.vote}`;
    this.#fail("the hard state never regresses", `node ${id} went ${change} ${when}`);
  }
}
