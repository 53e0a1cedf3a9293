import {
  type JointVoters,
  jointCommitted,
  jointVote,
  majorityCommitted,
  majorityVote,
  UNBOUNDED,
  type VoteResult,
} from "../../src/raft/quorum.ts";
import { describeId } from "../../src/raft/text.ts";
import { type Directive, optionList } from "./parser.ts";

const VOTE_NAMES = { won: "VoteWon", lost: "VoteLost", pending: "VotePending" } satisfies Record<VoteResult, string>;
const VOTE_VALUES: Readonly<Record<string, number>> = { _: 0, n: 1, y: 2 };

/** `committed` and `vote`: a configuration, what each voter said, and what follows from it. */
export function runQuorum(directive: Directive): string {
  if (!isCommand(directive.command)) return "unknown command";
  const isVote = directive.command === "vote";
  const unknown = directive.args.find(({ key }) => !["cfg", "cfgj", isVote ? "votes" : "idx"].includes(key));
  if (unknown !== undefined) return `unknown argument ${unknown.key}`;
  const first = numbers(optionList(directive, "cfg"));
  const joint = optionList(directive, "cfgj");
  const second = joint?.[0] === "zero" ? [] : numbers(joint);
  // Values stand in the order in which the ids are first named, whatever that is.
  const ids = [...new Set([...first, ...second])];
  const words = optionList(directive, isVote ? "votes" : "idx") ?? [];
  const wrong = words.find((word) => !(isVote ? Object.hasOwn(VOTE_VALUES, word) : /^(?:_|[1-9]\d*)$/.test(word)));
  if (wrong !== undefined) return isVote ? `unknown vote: ${wrong}` : `unknown index: ${wrong}`;
  if (words.length !== ids.length) return mismatch(ids, words, isVote);
  const values = new Map(ids.map((id, at) => [id, words[at] ?? "_"]));
  const voters = { incoming: ascending(first), outgoing: ascending(second) };
  return isVote ? vote(voters, values) : committed(voters, values);
}

function vote(voters: JointVoters, values: ReadonlyMap<number, string>): string {
  const of = (id: number): boolean | undefined => (values.get(id) === "_" ? undefined : values.get(id) === "y");
  const { incoming, outgoing } = voters;
  const result = jointVote(voters, of);
  expectSame("swapped", result, jointVote({ incoming: outgoing, outgoing: incoming }, of));
  if (outgoing.length === 0) {
    expectSame("majority", result, majorityVote(incoming, of));
    expectSame("joint with itself", result, jointVote({ incoming, outgoing: incoming }, of));
  }
  return `${VOTE_NAMES[result]}\n`;
}

function committed(voters: JointVoters, values: ReadonlyMap<number, string>): string {
  const acked = new Map([...values].filter(([, word]) => word !== "_").map(([id, word]) => [id, Number(word)]));
  const of = (id: number): number => acked.get(id) ?? 0;
  const { incoming, outgoing } = voters;
  const index = jointCommitted(voters, of);
  expectSame("swapped", index, jointCommitted({ incoming: outgoing, outgoing: incoming }, of));
  if (outgoing.length === 0) {
    expectSame("majority", index, majorityCommitted(incoming, of));
    expectSame("joint with itself", index, jointCommitted({ incoming, outgoing: incoming }, of));
  }
  for (const [lowered, own] of acked) {
    // What is not above the committed index has no say in it: lower still, it changes nothing.
    if (own >= index) continue;
    for (const lower of [own - 1, 0]) {
      const overlaid = jointCommitted(voters, (id) => (id === lowered ? lower : of(id)));
      expectSame("overlaid", index, overlaid);
    }
  }
  return `${chart(values, acked)}${index === UNBOUNDED ? "∞" : index}\n`;
}

function chart(values: ReadonlyMap<number, string>, acked: ReadonlyMap<number, number>): string {
  const count = values.size;
  if (count === 0) return "<empty majority quorum>";
  const byIndex = [...values.keys()].sort((a, b) => (acked.get(a) ?? 0) - (acked.get(b) ?? 0) || a - b);
  const bars = new Map<number, number>();
  byIndex.forEach((id, rank) => {
    const previous = byIndex[rank - 1];
    const isHigher = previous === undefined || (acked.get(id) ?? 0) > (acked.get(previous) ?? 0);
    bars.set(id, isHigher ? rank : (bars.get(previous ?? 0) ?? 0));
  });
  let text = `${" ".repeat(count)}    idx\n`;
  for (const id of [...values.keys()].sort((a, b) => a - b)) {
    const bar = bars.get(id) ?? 0;
    const index = acked.get(id);
    text += index === undefined ? `?${" ".repeat(count)}` : `${"x".repeat(bar)}>${" ".repeat(count - bar)}`;
    text += ` ${String(index ?? 0).padStart(5)}    (id=${describeId(id)})\n`;
  }
  return text;
}

function mismatch(ids: readonly number[], words: readonly string[], isVote: boolean): string {
  const voters = [...ids].sort((a, b) => a - b).map((id) => `${id}:{}`);
  const values = words.map((word) => (isVote ? VOTE_VALUES[word] : word === "_" ? 0 : word));
  return `error: mismatched input (explicit or _) for voters map[${voters.join(" ")}]: [${values.join(" ")}]`;
}

function numbers(words: readonly string[] | undefined): number[] {
  return (words ?? []).map(Number);
}

function ascending(ids: readonly number[]): number[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}

function isCommand(command: string): boolean {
  return command === "committed" || command === "vote";
}

function expectSame<T>(what: string, one: T, other: T): void {
  if (one !== other) throw new Error(`${what}: ${one} and ${other} should be the same`);
}
