import { expect, test } from "vitest";
import { ManualClock } from "../consensus/manual-clock.ts";
import { OciError } from "../core/errors.ts";
import { silentLog } from "../core/log.ts";
import type { Command, Outcome } from "../metadata/commands.ts";
import { AuditTrail } from "./audit.ts";

function setUp() {
  const clock = new ManualClock();
  const proposed: Command[] = [];
  let hasQuorum = true;
  const propose = async (command: Command): Promise<Outcome> => {
    if (!hasQuorum) throw new OciError("UNAVAILABLE", "no quorum");
    proposed.push(command);
    return { index: proposed.length };
  };
  const trail = new AuditTrail({ consensus: { self: 7, propose }, clock, log: silentLog });
  const second = async (): Promise<void> => {
    clock.advance(1_000);
    await trail.idle();
  };
  const notes = () => proposed.flatMap((command) => (command.type === "audit.note" ? command.notes : []));
  return {
    trail,
    proposed,
    notes,
    second,
    loseQuorum: () => {
      hasQuorum = false;
    },
    findQuorum: () => {
      hasQuorum = true;
    },
  };
}

test("notes of one second are one entry, at most 64 of them, and nothing is proposed where there are none", async () => {
  const { trail, proposed, notes, second } = setUp();
  await second();
  expect(proposed).toEqual([]);
  for (let at = 0; at < 70; at += 1) trail.note({ action: "join.refused", target: `peer ${at}`, detail: "wrong" });
  await second();
  expect([proposed.length, notes().length]).toEqual([1, 64]);
  await second();
  expect(notes().map(({ target }) => target)).toEqual(Array.from({ length: 70 }, (_, at) => `peer ${at}`));
  expect(proposed[0]).toMatchObject({ type: "audit.note", raftId: 7 });
});

test("without a quorum notes wait; those that do not fit any more are counted in the trail", async () => {
  const { trail, notes, second, loseQuorum, findQuorum } = setUp();
  loseQuorum();
  for (let at = 0; at < 1_030; at += 1) trail.note({ action: "join.refused", target: `peer ${at}`, detail: "x".repeat(1_000) });
  await second();
  expect(notes()).toEqual([]);
  findQuorum();
  for (let at = 0; at < 18; at += 1) await second();
  expect(notes()).toHaveLength(1_025);
  expect(notes()[0]).toMatchObject({ target: "peer 0", detail: "x".repeat(512) });
  expect(notes().find(({ action }) => action === "audit.dropped")?.detail).toMatch(/^6 records/);
});

test("what was noted right before a stop is committed", async () => {
  const { trail, notes } = setUp();
  trail.note({ action: "copy.quarantined", target: "sha256:0", detail: "bad" });
  await trail.stop();
  expect(notes()).toHaveLength(1);
});
