import { expect, test } from "vitest";
import { LogMirror } from "./log-mirror.ts";
import { ReadRules } from "./read-rules.ts";
import type { Witness } from "./witness.ts";

const CONF = { voters: [1, 2, 3], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const CONTEXT = { from: 2, to: 1, term: 0, context: Buffer.from("a") };

/** What the rules say of what node 1 does as the leader of term 2. */
class Judged {
  readonly #leader = { id: 1, log: new LogMirror(), configurations: [CONF], committed: () => 5 } as unknown as Witness;
  broken: string | undefined;
  #steps = 0;
  readonly #rules = new ReadRules(
    (invariant) => {
      this.broken ??= invariant;
    },
    () => this.#steps,
  );

  asks(position: number): this {
    this.#steps += 1;
    this.#rules.sent(this.#leader, { type: "heartbeat", from: 1, to: 3, term: 2, commit: 0, read: position });
    return this;
  }

  hears(position: number, from = 3): this {
    this.#rules.heard(1, { type: "heartbeatReply", from, to: 1, term: 2, read: position });
    return this;
  }

  isAsked(): this {
    this.#steps += 1;
    this.#rules.heard(1, { ...CONTEXT, type: "readIndex" });
    return this;
  }

  /** @param committedTerm of the last entry that is committed */
  answers(committedTerm = 2): string | undefined {
    const { log } = this.#leader;
    log.hardState = { term: 2, vote: 1, commit: 5 };
    log.base = { index: 5, term: committedTerm };
    this.#rules.sent(this.#leader, { ...CONTEXT, type: "readIndexReply", from: 1, to: 2, term: 2, index: 5 });
    return this.broken;
  }
}

test("a read is answered where a quorum has answered what was asked after it came", () => {
  expect(new Judged().isAsked().asks(1).hears(1).answers()).toBeUndefined();
});

test.each([
  ["nobody has answered", new Judged().isAsked().asks(1)],
  ["what was answered was asked before", new Judged().asks(1).isAsked().asks(2).hears(1)],
  ["who has answered has no vote", new Judged().isAsked().asks(1).hears(1, 4)],
])("an answer to a read is seen where %s", (_, judged) => {
  expect(judged.answers()).toBe("a read is answered once a quorum was asked after it");
});

test("an answer to a read is seen where nothing of the leader's term is committed", () => {
  expect(new Judged().isAsked().asks(1).hears(1).answers(1)).toBe("a read waits for the first commit of the term");
});
