import type { Bug } from "../bug.ts";

/** Bugs of reads, of proposals, and of the order in which the driver does its work. */
export const DRIVER: readonly Bug[] = [
  {
    number: 161,
    name: "a read round answers those who came after it began",
    edits: [
      {
        file: "src/consensus/reads.ts",
        find: "this.#confirm(index, round.waiters);",
        replace: "this.#confirm(index, [...round.waiters, ...this.#next.splice(0)]);",
      },
    ],
  },
  {
    number: 162,
    name: "an answer to a read round of an earlier start is accepted",
    edits: [{ file: "src/consensus/reads.ts", find: "Buffer.alloc(24, this.#boot)", replace: "Buffer.alloc(24)" }],
  },
  {
    number: 163,
    name: "a read that was cut off while it waited counts as fresh",
    edits: [{ file: "src/consensus/reads.ts", find: 'waiter.resolve("cutOff")', replace: 'waiter.resolve("fresh")' }],
  },
  {
    number: 164,
    name: "a sole voter reads after a restart by a commit index that may have regressed",
    edits: [
      {
        file: "src/consensus/sole-voter.ts",
        find: "return store.appliedTerm === term ? commit : lastIndex;",
        replace: "return commit;",
      },
    ],
  },
  {
    number: 165,
    name: "a read waits for all but the last entry",
    edits: [
      {
        file: "src/consensus/reads.ts",
        find: "if (this.#options.appliedIndex() >= index) {",
        replace: "if (this.#options.appliedIndex() >= index - 1) {",
      },
    ],
  },
  {
    number: 166,
    name: "a proposal is sent again under a new sequence",
    edits: [
      {
        file: "src/consensus/proposals.ts",
        find: "    this.#send(this.#pending.values().filter(({ resendAt }) => now >= resendAt));",
        replace: `    for (const due of this.#pending.values().filter(({ resendAt }) => now >= resendAt)) {
      this.#pending.delete(due);
      this.#admit(due);
    }
    this.#send(this.#pending.values().filter(({ resendAt }) => now >= resendAt));`,
      },
    ],
  },
  {
    number: 167,
    name: "a command of another session with the same sequence is taken for the answer",
    edits: [
      {
        file: "src/consensus/proposals.ts",
        find: "for (const { session, sequence, outcome } of commands) {",
        replace: "for (const { sequence, outcome } of commands) {\n      const session = this.#session;",
      },
    ],
  },
  {
    number: 168,
    name: "promises leave before the write that makes them true",
    edits: [
      {
        file: "src/consensus/ready-loop.ts",
        find: "    const { log } = this.#options;\n",
        replace: `    const { log } = this.#options;
    this.#send(work.responses.filter((response): response is Message => response.to !== this.#options.self));
`,
      },
    ],
  },
  {
    number: 169,
    name: "a read is answered when its index is known, before it has applied",
    edits: [
      {
        file: "src/consensus/reads.ts",
        find: "this.#confirmed.push({ index, waiters });",
        replace: "this.#confirmed.push({ index: 0, waiters });",
      },
    ],
  },
];
