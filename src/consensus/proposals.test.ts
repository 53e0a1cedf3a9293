import { expect, test } from "vitest";
import { seededRandom } from "../core/random.ts";
import type { Outcome } from "../metadata/commands.ts";
import { decodeEntry, type Envelope, stampEntry } from "../metadata/entry.ts";
import { envelopeHash } from "./forwarded-proposal.ts";
import { tokenCommand } from "./level/memory-cluster.ts";
import { ManualClock } from "./manual-clock.ts";
import { Proposals } from "./proposals.ts";
import { DEFAULT_TIMING, type Timing } from "./timing.ts";

function fixture(timing: Partial<Timing> = {}) {
  const clock = new ManualClock();
  const sent: Envelope[] = [];
  const raw: Uint8Array[] = [];
  const state = { leader: true, cutOff: false, index: 10, outdated: 0, version: 1 };
  const proposals = new Proposals({
    self: 1,
    boot: { incarnation: 4, nonce: "0123456789abcdef", earlier: [] },
    outdated: () => {
      state.outdated += 1;
    },
    clock,
    random: seededRandom(1),
    timing: { ...DEFAULT_TIMING, ...timing },
    cutOff: () => state.cutOff,
    version: () => state.version,
    submit: (envelopes) => {
      raw.push(...envelopes);
      if (state.leader) for (const bytes of envelopes) sent.push(decodeEntry(stampEntry(0, bytes)).envelopes[0]!);
      return state.leader;
    },
  });
  const apply = (envelope: Envelope, outcome: Partial<Outcome> = {}): void => {
    state.index += 1;
    const value = envelope.command.type === "session.open" ? { value: state.index } : {};
    const { session, sequence, command } = envelope;
    const { index } = state;
    proposals.applied([{ index, command, session, sequence, outcome: { index, ...value, ...outcome }, lowest: 0, duplicate: false }]);
  };
  const opened = async (): Promise<void> => {
    await Promise.resolve();
    apply(sent.shift()!);
    await new Promise<void>((resolve) => setImmediate(resolve));
  };
  const tick = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 100) {
      clock.advance(100);
      proposals.tick();
    }
  };
  return { clock, sent, raw, state, proposals, apply, opened, tick };
}

test("G8: a proposal without an answer is sent again under its session and sequence, ever more slowly", async () => {
  const { sent, proposals, opened, tick, apply } = fixture();
  const answer = proposals.propose(tokenCommand("a"));
  await opened();
  expect(sent).toHaveLength(1);
  tick(900);
  expect(sent).toHaveLength(1);
  tick(100);
  expect(sent).toHaveLength(2);
  tick(1900);
  expect(sent).toHaveLength(2);
  tick(200);
  expect(sent).toHaveLength(3);
  expect(new Set(sent.map(({ session, sequence, lowest }) => `${session}:${sequence}:${lowest}`)).size).toBe(1);
  apply(sent[2]!);
  expect((await answer).refused).toBeUndefined();
  tick(5000);
  expect(sent).toHaveLength(3);
});

test("what is unanswered is sent again at once where another leads, and waits where nobody does", async () => {
  const { sent, proposals, opened, state, tick } = fixture();
  const answers = [proposals.propose(tokenCommand("a")), proposals.propose(tokenCommand("b"))];
  await opened();
  expect(sent).toHaveLength(2);
  state.leader = false;
  proposals.leaderChanged();
  tick(3000);
  expect(sent).toHaveLength(2);
  state.leader = true;
  proposals.leaderChanged();
  expect(sent).toHaveLength(4);
  proposals.stop();
  await expect(Promise.all(answers)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("each proposal names the lowest sequence that is unanswered, and none is above the window", async () => {
  const { sent, proposals, opened, apply } = fixture({ proposalsMax: 5_000 });
  const answers = Array.from({ length: 1_500 }, (_, at) => proposals.propose(tokenCommand(`t${at}`)));
  await opened();
  expect(sent).toHaveLength(1_000);
  for (const envelope of sent.slice(1, 400)) apply(envelope);
  expect(sent).toHaveLength(1_000);
  apply(sent[0]!);
  expect(sent).toHaveLength(1_400);
  expect(sent.every(({ sequence, lowest }) => sequence - lowest < 1_000)).toBe(true);
  expect(sent.at(-1)?.lowest).toBe(400);
  for (let at = 400; at < sent.length; at += 1) apply(sent[at]!);
  await Promise.all(answers);
});

test("only so many proposals are on their way at once", async () => {
  const { sent, proposals, opened, apply } = fixture({ proposalsMax: 3 });
  const answers = Array.from({ length: 7 }, (_, at) => proposals.propose(tokenCommand(`t${at}`)));
  await opened();
  for (let done = 0; done < 7; done += 1) {
    expect(sent.length - done).toBeLessThanOrEqual(3);
    apply(sent[done]!);
  }
  await Promise.all(answers);
  expect(proposals.waiting).toBe(0);
});

test("a proposal ends at its deadline, by its signal, or when the node is cut off", async () => {
  const { proposals, opened, tick } = fixture();
  const late = proposals.propose(tokenCommand("late"), { deadlineMs: 500 });
  const controller = new AbortController();
  const aborted = proposals.propose(tokenCommand("aborted"), { signal: controller.signal });
  const cut = proposals.propose(tokenCommand("cut"));
  await opened();
  controller.abort(new Error("the client went away"));
  await expect(aborted).rejects.toThrow("the client went away");
  const ended = expect(late).rejects.toMatchObject({ code: "UNAVAILABLE" });
  tick(600);
  await ended;
  const lost = expect(cut).rejects.toMatchObject({ code: "UNAVAILABLE" });
  proposals.cutOff();
  await lost;
  expect(proposals.waiting).toBe(0);
});

test("a command whose session has ended is not proposed blindly again, and the next one opens another", async () => {
  const { sent, proposals, opened, apply, clock } = fixture();
  const first = proposals.propose(tokenCommand("a"));
  await opened();
  const session = sent[0]!.session;
  const refused = expect(first).rejects.toMatchObject({ code: "UNAVAILABLE" });
  apply(sent.shift()!, { refused: "session" });
  await refused;
  clock.advance(1_000);
  const second = proposals.propose(tokenCommand("b"));
  await opened();
  expect(sent[0]!.session).toBeGreaterThan(session);
  expect(sent[0]!.sequence).toBe(0);
  apply(sent[0]!);
  await second;
});

test("a command goes out in the schema of the cluster as it is then, and again in the same bytes after that was raised", async () => {
  const { sent, state, proposals, tick } = fixture();
  const opening = proposals.propose({ type: "session.open", raftId: 1 });
  state.version = 0;
  tick(1_100);
  expect(sent.map(({ v }) => v)).toEqual([1, 1]);
  proposals.stop();
  await expect(opening).rejects.toThrow();
});

test("a proposal that the leader does not take is answered with its reason, and not sent again; the others wait on", async () => {
  const { raw, sent, proposals, opened, tick, apply } = fixture();
  const taken = proposals.propose(tokenCommand("a"));
  await opened();
  const refused = proposals.propose(tokenCommand("b"));
  proposals.refusedOne(envelopeHash(raw.at(-1)!), "it is none");
  await expect(refused).rejects.toMatchObject({
    code: "INTERNAL",
    message: expect.stringContaining("token.create, and nothing was done: it is none"),
  });
  tick(5_000);
  expect(new Set(sent.map(({ command }) => "id" in command && command.id))).toEqual(new Set(["a", "b"]));
  expect(sent.filter(({ command }) => "id" in command && command.id === "b")).toHaveLength(1);
  apply(sent[0]!);
  expect((await taken).refused).toBeUndefined();
});
