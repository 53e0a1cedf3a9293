import { expect, test } from "vitest";
import { orderedIndex } from "../../src/consensus/database.ts";
import { encodeEntries, encodeMeta, type LogMeta } from "../../src/consensus/log-record.ts";
import { encode } from "../../src/core/codec.ts";
import type { AppliedCommand } from "../../src/metadata/apply-entry.ts";
import type { ConfState, Entry, EntryType } from "../../src/raft/types.ts";
import type { Batch } from "./disk/volume.ts";
import { Invariants } from "./invariants.ts";
import { World } from "./world.ts";

const CONF: ConfState = { voters: [1, 2, 3], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const META = { base: { index: 1, term: 1 }, sizeBytes: 0, sequence: 1, checkpoint: 1, bootConfState: undefined, incarnation: 1 };

function entry(index: number, term: number, text = "x", type: EntryType = "normal"): Entry {
  return { index, term, type, data: Buffer.from(text) };
}

function meta(term: number, vote: number, lastIndex: number, commit = 1, base = META.base): Batch[number] {
  const head = { ...META, base, hardState: { term, vote, commit }, lastIndex } as unknown as LogMeta;
  return { type: "put", key: "m", value: encodeMeta(head) };
}

function write(entries: readonly Entry[], head: Batch[number]): Batch {
  return [...entries.map((each) => ({ type: "put" as const, key: `e${orderedIndex(each.index)}`, value: encodeEntries([each]) })), head];
}

/** The entry 2 goes. */
const GONE: Batch[number] = { type: "del", key: `e${orderedIndex(2)}` };

function applied(index: number, seal: string, confState = CONF, installed = 0): Batch {
  return [
    { type: "put", key: "m", value: encode({ index, term: 1, confState, checkpoint: index, installed }) },
    { type: "put", key: `s${orderedIndex(index)}`, value: encode([0, Buffer.from(seal)]) },
  ];
}

/** What the invariants say once `happen` has happened to three voters that have nothing but a configuration. */
function judge(happen: (invariants: Invariants) => unknown): string | undefined {
  const world = new World(1);
  const invariants = new Invariants(world);
  for (const id of [1, 2, 3]) invariants.catalogWritten(id, applied(1, "s"));
  happen(invariants);
  return world.violation?.invariant;
}

/** All three have the entry 2 of term 2, and 1 was elected by itself and 2. */
function replicated(invariants: Invariants): void {
  for (const id of [1, 2, 3]) invariants.logWritten(id, write([entry(2, 2)], meta(2, 1, 2)), true);
  invariants.sent(2, { type: "voteReply", from: 2, to: 1, term: 2, rejected: false });
  invariants.leads(1, 2);
}

const append = (from: number, term: number, commit: number) =>
  ({ type: "append", from, to: 2, term, prevIndex: 1, prevTerm: 1, entries: [], commit }) as const;
const acknowledge = (from: number, term: number, index: number) =>
  ({ type: "appendReply", from, to: 1, term, index, rejected: false, hintIndex: 0, hintTerm: 0 }) as const;

const asks = (name: string) => ({ type: "readIndex", from: 2, to: 1, term: 0, context: Buffer.from(name) }) as const;

/** Node 1 has its vote for itself on its disk. */
function stands(invariants: Invariants, term: number): void {
  invariants.logWritten(1, write([], meta(term, 1, 1)), true);
}

function started(invariants: Invariants, incarnation: number): void {
  const head = { ...META, incarnation, hardState: { term: 1, vote: 0, commit: 1 }, lastIndex: 1 } as unknown as LogMeta;
  invariants.logWritten(2, write([], { type: "put", key: "m", value: encodeMeta(head) }), true);
}

test("what a cluster does in order breaks nothing", () => {
  const verdict = judge((invariants) => {
    replicated(invariants);
    invariants.sent(2, acknowledge(2, 2, 2));
    invariants.sent(1, append(1, 2, 2));
    for (const id of [1, 2, 3]) invariants.catalogWritten(id, applied(2, "t"));
    invariants.acknowledged(2);
  });
  expect(verdict).toBeUndefined();
});

test.each<[invariant: string, happen: (invariants: Invariants) => unknown]>([
  ["one leader a term", (all) => [replicated(all), all.leads(2, 2)]],
  ["one vote a term", (all) => [all.logWritten(3, write([], meta(3, 1, 1)), true), all.sent(3, vote(3, 1, 3)), all.sent(3, vote(3, 2, 3))]],
  ["a promise is durable", (all) => all.sent(2, vote(2, 1, 2))],
  ["a promise is durable", (all) => all.sent(1, ask(1, 2, 5))],
  ["a promise is durable", (all) => [all.logWritten(2, write([entry(2, 2)], meta(2, 0, 2)), false), all.sent(2, acknowledge(2, 2, 2))]],
  ["a leader has the votes of a quorum", (all) => [all.logWritten(1, write([], meta(2, 1, 1)), true), all.leads(1, 2)]],
  ["log matching", (all) => [replicated(all), all.logWritten(3, write([entry(2, 2, "another")], meta(2, 1, 2)), true)]],
  [
    "commit needs a quorum",
    (all) => [all.logWritten(1, write([entry(2, 2)], meta(2, 1, 2)), true), elect(all), all.sent(1, append(1, 2, 2))],
  ],
  ["the hard state never regresses", (all) => [replicated(all), all.logWritten(3, write([], meta(2, 2, 2)), true)]],
  ["the hard state never regresses", (all) => [replicated(all), all.logWritten(3, write([], meta(1, 0, 2)), true)]],
  ["state machine safety", (all) => [all.catalogWritten(1, applied(2, "a")), all.catalogWritten(2, applied(2, "b"))]],
  [
    "state machine safety",
    (all) => [all.catalogWritten(1, applied(2, "a")), all.catalogWritten(2, applied(2, "a", { ...CONF, voters: [1, 2] }))],
  ],
  ["no acknowledged write is lost", (all) => [replicated(all), all.acknowledged(2)]],
  [
    "an acknowledged entry stays",
    (all) => [replicated(all), all.sent(2, acknowledge(2, 2, 2)), all.logWritten(2, [GONE, meta(2, 1, 1)], true)],
  ],
  [
    "a vote goes to a log that is up to date",
    (all) => [
      stands(all, 5),
      all.sent(1, ask(1, 2, 5)),
      all.logWritten(2, write([entry(2, 4)], meta(5, 1, 2)), true),
      all.sent(2, vote(2, 1, 5)),
    ],
  ],
  ["one configuration change at a time", (all) => all.logWritten(1, write([change(2), change(3)], meta(2, 1, 3)), true)],
  [
    "one configuration change at a time",
    (all) => [changed(all), all.sent(1, { ...append(1, 2, 2), prevIndex: 2, prevTerm: 2, entries: [change(3)] })],
  ],
  [
    "no campaign before what is committed of the configuration has applied",
    (all) => {
      changed(all);
      all.witness(3).campaigning = () => 2;
      all.sent(3, { ...ask(3, 2, 3), type: "preVote" });
    },
  ],
  ["a leader counts what is on the disks of others", (all) => [replicated(all), counting(all, 3), all.sent(1, append(1, 2, 1))]],
  [
    "a leader counts what is on the disks of others",
    (all) => [replicated(all), elected(all, 3), counting(all, 2, 3), all.sent(1, append(1, 3, 1))],
  ],
  ["a leader sends what it has", (all) => [replicated(all), all.sent(1, { ...append(1, 2, 1), entries: [entry(2, 1)] })]],
  ["a leader sends what it has", (all) => [replicated(all), all.sent(1, { ...append(1, 2, 1), prevIndex: 2, prevTerm: 1 })]],
  [
    "a read round has a name of its own",
    (all) => [started(all, 1), all.sent(2, asks("a")), all.sent(2, asks("b")), started(all, 2), all.sent(2, asks("a"))],
  ],
  ["what has applied stays", (all) => [all.catalogWritten(1, applied(2, "a")), all.catalogReplaced(1, rowsOf(applied(1, "s")))]],
  ["corruption is detected", (all) => [replicated(all), all.logOpened(3, new Map([["m", recordOf(meta(2, 1, 1))]]))()]],
])("a breach of %j is seen", (invariant, happen) => {
  expect(judge(happen)).toBe(invariant);
});

test("a leader commits by the configuration that it has, and by an earlier one only what it had committed with it", () => {
  const joint: ConfState = { ...CONF, voters: [1, 2, 3], votersOutgoing: [1, 4, 5] };
  /** Two of the old three have the entry, and of the others nobody but the leader. */
  const changed = (all: Invariants, floor: number) => {
    for (const id of [1, 2]) all.logWritten(id, write([entry(2, 2)], meta(2, 1, 2)), true);
    all.sent(2, { type: "voteReply", from: 2, to: 1, term: 2, rejected: false });
    all.leads(1, 2);
    Object.assign(all.witness(1), { running: () => joint, committed: () => floor });
  };
  expect(judge((all) => [changed(all, 2), all.sent(1, append(1, 2, 2))])).toBeUndefined();
  expect(judge((all) => [changed(all, 1), all.sent(1, append(1, 2, 1)), all.sent(1, append(1, 2, 2))])).toBe("commit needs a quorum");
});

test("what a leader counts is judged by nothing that was lost or replaced after the answer", () => {
  const later = (all: Invariants) => [replicated(all), all.logWritten(2, [GONE, meta(3, 0, 1)], true), counting(all, 2)];
  expect(judge((all) => [later(all), all.sent(1, append(1, 2, 1))])).toBeUndefined();
  const lost = (all: Invariants) => [replicated(all), counting(all, 3), Object.assign(all.witness(2), { tampered: true })];
  expect(judge((all) => [lost(all), all.sent(1, append(1, 2, 1))])).toBeUndefined();
});

test("entries on their way to the disk may be overtaken by a snapshot, and are judged again once the log knows of it", () => {
  const installed = (all: Invariants) => [
    replicated(all),
    all.catalogWritten(2, applied(2, "a")),
    all.catalogReplaced(3, rowsOf(applied(2, "a", CONF, 2))),
  ];
  const late = write([entry(2, 1, "late")], meta(2, 1, 2));
  expect(judge((all) => [installed(all), all.logWritten(3, late, true)])).toBeUndefined();
  expect(judge((all) => [installed(all), all.logWritten(2, late, true)])).toBe("state machine safety");
});

test("G8: what was done for one entry is not done for another", () => {
  const twice = (invariants: Invariants) => [
    invariants.did(1, did(5, "t1")),
    invariants.did(2, did(5, "t1")),
    invariants.did(1, did(6, "t2")),
  ];
  expect(judge(twice)).toBeUndefined();
  expect(judge((invariants) => [...twice(invariants), invariants.did(2, did(6, "t1"))])).toBe("exactly once");
});

test("what a disk holds is what the log of its head record reaches to, or lies in one value with that", () => {
  const two: Batch = [{ type: "put", key: `e${orderedIndex(2)}`, value: encodeEntries([entry(2, 2), entry(3, 2)]) }, meta(2, 1, 3)];
  const base = (index: number) => ({ index, term: 2 });
  expect(judge((all) => [all.logWritten(1, two, true), all.logWritten(1, [meta(2, 1, 3, 1, base(2))], true)])).toBeUndefined();
  const replaced: Batch = [{ type: "put", key: `e${orderedIndex(3)}`, value: encodeEntries([entry(3, 3)]) }, meta(3, 0, 3, 1, base(2))];
  expect(judge((all) => [all.logWritten(1, two, true), all.logWritten(1, replaced, true)])).toBeUndefined();
  const kept = "the disk holds what the log names";
  expect(judge((all) => [all.logWritten(1, two, true), all.logWritten(1, [meta(2, 1, 3, 1, base(3))], true)])).toBe(kept);
  expect(judge((all) => [all.logWritten(1, two, true), all.logWritten(1, [meta(2, 1, 2)], true)])).toBe(kept);
  expect(judge((all) => [all.logWritten(1, two, true), all.logWritten(1, [meta(2, 1, 9, 1, base(9))], true)])).toBe(kept);
});

test("the configuration that is in force in a node is that of what has applied there last", () => {
  const other = { ...CONF, learners: [4] };
  const runs = (all: Invariants, conf: ConfState) => Object.assign(all.witness(2), { running: () => conf });
  const seal = Buffer.from("a");
  const after = (all: Invariants, conf: ConfState, last: boolean) => [runs(all, conf), all.entryApplied(2, 2, seal, last)];
  expect(judge((all) => [all.catalogWritten(1, applied(2, "a")), after(all, CONF, true)])).toBeUndefined();
  expect(judge((all) => [all.catalogWritten(1, applied(2, "a")), after(all, other, false)])).toBeUndefined();
  expect(judge((all) => [all.catalogWritten(1, applied(2, "a")), after(all, other, true)])).toBe("state machine safety");
});

test("a vote that has waited for the disk, while the log was cut within its term, is not judged", () => {
  const cutAt3 = meta(5, 1, 3, 3, { index: 3, term: 5 });
  const verdict = judge((all) => [
    stands(all, 5),
    all.sent(1, ask(1, 2, 5)),
    all.logWritten(2, write([], cutAt3), true),
    all.sent(2, vote(2, 1, 5)),
  ]);
  expect(verdict).toBeUndefined();
});

/** A command that has applied, as a new one. */
function did(index: number, id: string): AppliedCommand {
  const command = { type: "token.create", id, hash: new Uint8Array(32), uses: 1, ttlMs: 1 } as const;
  return { index, command, session: 0, sequence: 0, lowest: 0, outcome: { index }, duplicate: false };
}

/** A request for a vote by a node that has but the first entry. */
function ask(from: number, to: number, term: number) {
  return { type: "vote", from, to, term, lastIndex: 1, lastTerm: 1, transfer: false } as const;
}

function vote(from: number, to: number, term: number) {
  return { type: "voteReply", from, to, term, rejected: false } as const;
}

function elect(invariants: Invariants): void {
  invariants.logWritten(2, write([], meta(2, 1, 1)), true);
  invariants.sent(2, { type: "voteReply", from: 2, to: 1, term: 2, rejected: false });
}

function change(index: number): Entry {
  return entry(index, 2, "c", "confChangeV2");
}

/** All three have a change of the configuration at 2, and nobody has applied it. */
function changed(invariants: Invariants): void {
  for (const id of [1, 2, 3]) invariants.logWritten(id, write([change(2)], meta(2, 1, 2, 2)), true);
  invariants.sent(2, vote(2, 1, 2));
  invariants.leads(1, 2);
}

/** The node 1 leads, and takes it for known that the others have the entry. */
function counting(invariants: Invariants, match: number, term = 2): void {
  invariants.witness(1).leading = () => ({ term, match });
}

/** By 1 and 3, while the disk of 2 knows nothing of the term. */
function elected(invariants: Invariants, term: number): void {
  for (const id of [1, 3]) invariants.logWritten(id, write([], meta(term, 1, 2)), true);
  invariants.sent(3, vote(3, 1, term));
  invariants.leads(1, term);
}

function rowsOf(batch: Batch): Map<string, Uint8Array> {
  return new Map(batch.map((operation) => [operation.key, recordOf(operation)]));
}

function recordOf(operation: Batch[number]): Uint8Array {
  return operation.type === "put" ? operation.value : new Uint8Array(0);
}
