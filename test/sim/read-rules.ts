import type { HeartbeatMessage, HeartbeatReply, Message, ReadIndexMessage, ReadIndexReply } from "../../src/raft/types.ts";
import { configurationsOf, isQuorum, type Witness } from "./witness.ts";

/** Who asks a leader whether it leads may take only the answer to that (dissertation, 6.4): what was asked before may be answered late. */
export class ReadRules {
  readonly #fail: (invariant: string, message: string) => void;
  readonly #steps: () => number;
  /** The start that has asked by each name. */
  readonly #starts = new Map<string, number>();
  /** When each read came to a leader, by `leader:name`. */
  readonly #came = new Map<string, number>();
  /** When a leader first asked by a position, by `leader:term:position`. */
  readonly #asked = new Map<string, number>();
  /** When what a peer has answered was asked, by `leader:term:peer`. */
  readonly #confirmed = new Map<string, number>();

  /** @param steps what has happened so far */
  constructor(fail: (invariant: string, message: string) => void, steps: () => number) {
    this.#fail = fail;
    this.#steps = steps;
  }

  /** What a node says, when it leaves. */
  sent(witness: Witness, message: Message): void {
    if (message.type === "readIndex") this.#asks(witness, message);
    else if (message.type === "readIndexReply") this.#answers(witness, message);
    else if (message.type === "heartbeat") this.#beats(witness, message);
  }

  /** What a node hears, before it looks at it. */
  heard(id: number, message: Message): void {
    if (message.type === "readIndex") this.#comes(id, message);
    else if (message.type === "heartbeatReply") this.#confirms(id, message);
  }

  #asks({ id, log }: Witness, { context }: ReadIndexMessage): void {
    const name = `${id}:${nameOf(context)}`;
    const start = this.#starts.get(name) ?? log.incarnation;
    this.#starts.set(name, start);
    if (start === log.incarnation) return;
    this.#fail(
      "a read round has a name of its own",
      `node ${id} asks in its start ${log.incarnation} by the name of a round of start ${start}`,
    );
  }

  #comes(leader: number, { context }: ReadIndexMessage): void {
    const name = `${leader}:${nameOf(context)}`;
    if (!this.#came.has(name)) this.#came.set(name, this.#steps());
  }

  /** The leader asks its peers whether it leads. */
  #beats({ id }: Witness, { term, read }: HeartbeatMessage): void {
    const name = `${id}:${term}:${read}`;
    if (read !== 0 && !this.#asked.has(name)) this.#asked.set(name, this.#steps());
  }

  #confirms(leader: number, { from, term, read }: HeartbeatReply): void {
    const askedAt = this.#asked.get(`${leader}:${term}:${read}`);
    const name = `${leader}:${term}:${from}`;
    if (askedAt !== undefined) this.#confirmed.set(name, Math.max(askedAt, this.#confirmed.get(name) ?? 0));
  }

  /** The answer leaves: a majority of each half has said by now that it was asked after the read had come, and something of the leader's own term is committed. */
  #answers(leader: Witness, { term, context }: ReadIndexReply): void {
    const { id, log } = leader;
    const committed = log.hardState.term === term ? log.termAt(leader.committed?.() ?? 0) : undefined;
    if (committed !== undefined && committed < term)
      this.#fail(
        "a read waits for the first commit of the term",
        `node ${id}, leader of term ${term}, answers a read, and has committed up to term ${committed}`,
      );
    const cameAt = this.#came.get(`${id}:${nameOf(context)}`) ?? 0;
    const confirms = (voter: number): boolean => voter === id || (this.#confirmed.get(`${id}:${term}:${voter}`) ?? -1) >= cameAt;
    if (configurationsOf(leader).some((conf) => isQuorum(conf, (half) => half.filter(confirms).length))) return;
    this.#fail(
      "a read is answered once a quorum was asked after it",
      `node ${id}, leader of term ${term}, answers a read that no quorum has confirmed`,
    );
  }
}

function nameOf(context: Uint8Array): string {
  return Buffer.from(context).toString("latin1");
}
