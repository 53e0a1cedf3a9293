import { expect, test } from "vitest";
import { encode } from "../core/codec.ts";
import { digestOf } from "../core/digest.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";
import { applyEntry, type LoneEntry } from "./apply-entry.ts";
import type { Command } from "./commands.ts";
import { encodeEnvelope, isAlone, STAMP_MS_MAX, stampEntry } from "./entry.ts";
import { HaltError } from "./halt-error.ts";
import { MemoryStore } from "./memory-store.ts";
import { SESSION_WINDOW } from "./outcome-rows.ts";
import { DEFAULT_POLICY } from "./policy.ts";
import { digestNamed, factsOf, peerOf, rawEnvelope, rootNamed, SECRET_HASH } from "./scenario.ts";
import { createCatalog } from "./store-catalog.ts";

const REPOSITORY = "team/app" as RepositoryName;
const INIT: Command = { type: "cluster.init", clusterId: "c", publicKey: new Uint8Array([1]), member: factsOf(0) };

/** A node's applied state, and the leader's half of an entry. */
class Log {
  readonly store = new MemoryStore();
  readonly catalog = createCatalog(this.store);
  index = 0;
  #sequence = 0;

  raw(data: Uint8Array): LoneEntry {
    this.index += 1;
    const applied = applyEntry(this.store, this.index, data);
    this.store.write(applied.changes);
    this.catalog.changed(applied.changes.map(({ key }) => key));
    return applied;
  }

  send(command: Command, session = 0, sequence = 0, lowest = 0, stampMs = 0): LoneEntry {
    return this.raw(stampEntry(stampMs, encodeEnvelope({ v: 1, session, sequence, lowest, command })));
  }

  next(command: Command, session: number): LoneEntry {
    this.#sequence += 1;
    return this.send(command, session, this.#sequence, this.#sequence);
  }

  open(): number {
    return this.send({ type: "session.open", raftId: 1 }).outcome.value ?? 0;
  }
}

function begun(): { readonly log: Log; readonly session: number } {
  const log = new Log();
  log.send(INIT);
  return { log, session: log.open() };
}

const token = (id: string): Command => ({ type: "token.create", id, hash: SECRET_HASH, uses: 1, ttlMs: 1_000 });

test("a push through entries is seen by the catalog: record, link, manifest, tag, referrers and repository", async () => {
  const { log, session } = begun();
  const [blob, subject] = [digestNamed("blob"), digestNamed("subject")];
  const bytes = Buffer.from('{"schemaVersion":2}');
  const digest = digestOf(bytes);
  const root = rootNamed("blob");
  expect(
    log.next(
      { type: "blob.commit", repository: REPOSITORY, digest: blob, sizeBytes: 3, root, copies: [1], deadline: 0, commitId: "x" },
      session,
    ).outcome,
  ).toEqual({ index: 3 });
  const put = log.next(
    {
      type: "manifest.put",
      repository: REPOSITORY,
      digest,
      mediaType: "application/json",
      bytes,
      tags: ["v2" as Tag, "v1" as Tag],
      references: [{ digest: blob, kind: "blob" }],
      subject,
      artifactType: "a/b",
      annotations: { k: "v" },
    },
    session,
  );
  expect(put.outcome).toEqual({ index: 4, value: 1 });
  const { catalog } = log;
  expect(catalog.tag(REPOSITORY, "v1" as Tag)).toEqual({ digest, mediaType: "application/json", sizeBytes: bytes.byteLength });
  expect(Buffer.from(catalog.manifest(REPOSITORY, digest)?.bytes ?? [])).toEqual(bytes);
  expect(catalog.link(REPOSITORY, blob)).toMatchObject({ references: 1, trashed: 0 });
  expect(catalog.blob(blob)).toMatchObject({ state: "live", copies: [1], links: 1 });
  expect(await catalog.tags(REPOSITORY, "", 10)).toEqual(["v1", "v2"]);
  expect(await catalog.tags(REPOSITORY, "v1", 10)).toEqual(["v2"]);
  expect(await catalog.repositories("", 10)).toEqual([REPOSITORY]);
  expect(await catalog.referrers(REPOSITORY, subject, "", 10)).toEqual([
    { digest, mediaType: "application/json", sizeBytes: bytes.byteLength, artifactType: "a/b", annotations: { k: "v" } },
  ]);
  log.next({ type: "manifest.delete", repository: REPOSITORY, digest }, session);
  expect(catalog.manifest(REPOSITORY, digest)).toBeUndefined();
  expect(catalog.tag(REPOSITORY, "v1" as Tag)).toBeUndefined();
  expect(await catalog.tags(REPOSITORY, "", 10)).toEqual([]);
  expect(await catalog.repositories("", 10)).toEqual([]);
  expect(await catalog.referrers(REPOSITORY, subject, "", 10)).toEqual([]);
});

test("G8: a command that comes again under its session and sequence is answered as before and applies once", () => {
  const { log, session } = begun();
  log.send(token("join"), session, 1, 1);
  const add: Command = { type: "token.create", id: "x", hash: SECRET_HASH, uses: 1, ttlMs: 1_000 };
  const first = log.send(add, session, 2, 1);
  const again = log.send(add, session, 2, 1);
  expect(first).toMatchObject({ duplicate: false, outcome: { index: 4 } });
  expect(again).toMatchObject({ duplicate: true, outcome: first.outcome });
  const third = log.send(add, session, 3, 1);
  expect(third).toMatchObject({ duplicate: false, outcome: { refused: "state" } });
  expect(log.send(add, session, 3, 1)).toMatchObject({ duplicate: true, outcome: third.outcome });
});

const outcomesKept = (log: Log): number => log.store.entries().filter(([key]) => key.startsWith("outcome/")).length;

test("G8: an outcome is found under its own sequence, not under the one that had its slot a window before, and no more rows than that are kept", () => {
  const { log, session } = begun();
  const tick: Command = { type: "clock.tick" };
  for (let sequence = 1; sequence <= SESSION_WINDOW + 5; sequence += 1) log.send(tick, session, sequence, sequence);
  expect(outcomesKept(log)).toBeLessThanOrEqual(SESSION_WINDOW);
  const next = SESSION_WINDOW + 9;
  // Admitted before those below it have come: its slot still holds the one of a window ago.
  const first = log.send(tick, session, next, SESSION_WINDOW + 6);
  const skipped = log.send(tick, session, next - 2, SESSION_WINDOW + 6);
  expect([first.duplicate, skipped.duplicate]).toEqual([false, false]);
  expect(log.send(tick, session, next, SESSION_WINDOW + 6)).toMatchObject({ duplicate: true, outcome: first.outcome });
  for (let boot = 0; boot < 8; boot += 1) log.open();
  expect(outcomesKept(log)).toBe(0);
});

test("G8: a command below the lowest unanswered sequence is refused, never applied", () => {
  const { log, session } = begun();
  for (let sequence = 1; sequence <= 5; sequence += 1) log.send(token(`t${sequence}`), session, sequence, 1);
  log.send(token("t6"), session, 6, 5);
  log.send({ type: "token.revoke", id: "t1" }, session, 7, 5);
  const revoked = log.store.get("token/t1");
  expect(log.send(token("t1"), session, 1, 1)).toMatchObject({ duplicate: true, outcome: { refused: "session" } });
  expect(log.store.get("token/t1")).toEqual(revoked);
});

test("G8: a sequence beyond the window of outcomes is refused", () => {
  const { log, session } = begun();
  expect(log.send(token("far"), session, 1 + SESSION_WINDOW, 1).outcome.refused).toBe("session");
  expect(log.send(token("near"), session, SESSION_WINDOW, 1).outcome.refused).toBeUndefined();
});

test("G8: a command of an unknown session, or of none, is refused; only init, open and tick need none", () => {
  const { log } = begun();
  expect(log.send(token("x"), 99, 1, 1).outcome.refused).toBe("session");
  expect(log.send(token("x")).outcome.refused).toBe("session");
  expect(log.send({ type: "clock.tick" }).outcome.refused).toBeUndefined();
  expect(log.send({ type: "session.open", raftId: 7 }).outcome.refused).toBe("unknown");
});

test("a session ends after its idle time of catalog time, each command renews it, and the next open clears it away", () => {
  const { log, session } = begun();
  const steps = DEFAULT_POLICY.sessionIdleMs / STAMP_MS_MAX;
  log.send(token("a"), session, 1, 1);
  const wait = (): void => {
    for (let step = 0; step < steps; step += 1) log.send({ type: "clock.tick" }, 0, 0, 0, STAMP_MS_MAX);
  };
  wait();
  expect(log.send(token("b"), session, 2, 2).outcome.refused).toBeUndefined();
  wait();
  expect(log.send({ type: "clock.tick" }, 0, 0, 0, 1).outcome.refused).toBeUndefined();
  expect(log.send(token("c"), session, 3, 3).outcome.refused).toBe("session");
  const next = log.open();
  expect(log.store.entries().filter(([key]) => /^(session|outcome)\//.test(key)).length).toBe(1);
  expect(log.next(token("c"), next).outcome.refused).toBeUndefined();
});

test("a member that opens sessions again and again keeps eight of them", () => {
  const { log, session } = begun();
  const later = Array.from({ length: 8 }, () => log.open());
  expect(log.next(token("x"), session).outcome.refused).toBe("session");
  expect(log.next(token("x"), later[0] ?? 0).outcome.refused).toBeUndefined();
});

test("G8: an open that comes again and again from one start leaves the session that it will use, and another start gets its own", () => {
  const log = new Log();
  log.send(INIT);
  const open = (incarnation: number, digit: string) =>
    log.send({ type: "session.open", raftId: 1, boot: { incarnation, nonce: digit.repeat(16) } }).outcome.value ?? 0;
  const session = open(1, "a");
  for (let again = 0; again < 20; again += 1) expect(open(1, "a")).toBe(session);
  expect(log.send(token("x"), session, 0, 0).outcome.refused).toBeUndefined();
  // Whoever opens one now has lost the first: two who count from 0 in one session would be taken for one.
  const second = open(1, "a");
  expect(second).not.toBe(session);
  for (let again = 0; again < 20; again += 1) expect(open(1, "a")).toBe(second);
  expect(log.send(token("y"), session, 1, 1).outcome.refused).toBeUndefined();
  expect(open(2, "b")).not.toBe(second);
});

test("catalog time moves by the stamps alone, and no stamp by more than ten seconds", () => {
  const log = new Log();
  log.send(INIT, 0, 0, 0, 250);
  expect(log.catalog.time()).toBe(250);
  log.send({ type: "clock.tick" }, 0, 0, 0, 3_600_000);
  expect(log.catalog.time()).toBe(10_250);
  log.send({ type: "clock.tick" }, 0, 0, 0, -5);
  expect(log.catalog.time()).toBe(10_250);
  const raw = encodeEnvelope({ v: 1, session: 0, sequence: 0, lowest: 0, command: { type: "clock.tick" } });
  const data = Buffer.from(stampEntry(0, raw));
  data.fill(0xff, 1, 5);
  log.raw(data);
  expect(log.catalog.time()).toBe(20_250);
});

test("G9: every entry moves the hash chain, a refused, repeated or unreadable one too, and the outcome is in it", () => {
  const { log, session } = begun();
  const heads = new Set<string>();
  const head = (): string => Buffer.from(log.catalog.head()?.hash ?? []).toString("hex");
  const sends: (() => LoneEntry)[] = [
    () => log.send(token("a"), session, 1, 1),
    () => log.send(token("a"), session, 1, 1),
    () => log.send(token("a"), 99, 1, 1),
    () => log.raw(stampEntry(0, Buffer.from("no envelope"))),
  ];
  for (const send of sends) {
    send();
    heads.add(head());
  }
  expect(heads.size).toBe(sends.length);
  const other = new Log();
  const entry = stampEntry(0, encodeEnvelope({ v: 1, session: 0, sequence: 0, lowest: 0, command: { type: "session.open", raftId: 1 } }));
  other.raw(entry); // refused: no member yet
  const same = new Log();
  same.raw(entry);
  expect(other.catalog.head()).toEqual(same.catalog.head());
});

test("G8: the commands of one entry apply in their order; one that is refused, unreadable or repeated does no harm to the others", () => {
  const { log, session } = begun();
  const envelope = (sequence: number, command: Command): Uint8Array => encodeEnvelope({ v: 1, session, sequence, lowest: 1, command });
  const first = envelope(1, token("a"));
  const together = [first, envelope(2, token("a")), Buffer.from("c1", "hex"), envelope(3, { type: "token.revoke", id: "a" }), first];
  const { commands, changes } = log.raw(stampEntry(7, ...together, envelope(4, token("b"))));
  const { index } = log;
  expect(commands.map(({ outcome }) => outcome)).toEqual([
    { index },
    { index, refused: "state" },
    { index, refused: "mismatch" },
    { index },
    { index },
    { index },
  ]);
  expect(commands.map(({ duplicate }) => duplicate)).toEqual([false, false, false, false, true, false]);
  expect(log.catalog.joinToken("a")?.revoked).toBe(true);
  expect(log.catalog.joinToken("b")).toBeDefined();
  expect(log.catalog.time()).toBe(7);
  expect(new Set(changes.map(({ key }) => key)).size).toBe(changes.length);
  const again = log.raw(stampEntry(0, ...together));
  expect(again.commands.map(({ outcome, duplicate }) => [outcome, duplicate])).toEqual([
    [{ index }, true],
    [{ index, refused: "state" }, true],
    [{ index: log.index, refused: "mismatch" }, false],
    [{ index }, true],
    [{ index }, true],
  ]);
});

test("what takes the index of its entry for a name has none beside it: two members or sessions would get one number", () => {
  const { log, session } = begun();
  log.next(token("t"), session);
  const add = (seat: number, sequence: number): Uint8Array => {
    const command: Command = { type: "member.add", member: factsOf(seat), token: { id: "t", hash: SECRET_HASH } };
    return encodeEnvelope({ v: 1, session, sequence, lowest: 1, command });
  };
  const open = encodeEnvelope({ v: 1, session: 0, sequence: 5, lowest: 0, command: { type: "session.open", raftId: 1 } });
  const tick = encodeEnvelope({ v: 1, session, sequence: 4, lowest: 1, command: { type: "clock.tick" } });
  expect([add(1, 2), open, tick].map(isAlone)).toEqual([true, true, false]);
  const { commands } = log.raw(stampEntry(0, add(1, 2), open, tick, add(2, 3)));
  expect(commands.map(({ outcome }) => outcome.refused)).toEqual(["mismatch", "mismatch", undefined, "mismatch"]);
  expect(log.catalog.members()).toHaveLength(1);
});

test("the hash chain of a known log is the same in every version of this program", () => {
  const { log, session } = begun();
  log.send(token("a"), session, 1, 1, 5);
  expect(Buffer.from(log.catalog.head()?.hash ?? []).toString("hex")).toMatchInlineSnapshot(
    `"f2a42c2a2230a6f290c21ebfd8ce1aa6571b531e177e74564ff1bda7be05b787"`,
  );
});

test("an unknown command, or a newer schema, halts the node with one line that says what to do", () => {
  const { log, session } = begun();
  const envelope = { v: 1, session, sequence: 1, lowest: 1 };
  const unknown = stampEntry(0, rawEnvelope({ ...envelope, command: { type: "blob.teleport" } }));
  const newer = stampEntry(0, rawEnvelope({ ...envelope, v: 2, command: { type: "clock.tick" } }));
  const tick = { ...envelope, command: { type: "clock.tick" } };
  const among = stampEntry(0, rawEnvelope(tick), rawEnvelope({ ...tick, v: 2 }), rawEnvelope(tick));
  const layout = Uint8Array.from(stampEntry(0, rawEnvelope(tick))).fill(2, 0, 1);
  for (const data of [unknown, newer, among, layout]) {
    const attempt = (): unknown => applyEntry(log.store, log.index + 1, data);
    expect(attempt).toThrow(HaltError);
    expect(attempt).toThrow(/^[^\n]*install a newer version[^\n]*$/);
  }
  // As an earlier program, which was never released, began it: with the stamp.
  expect(() => applyEntry(log.store, log.index + 1, Buffer.from("00000000c1", "hex"))).toThrow(/^[^\n]*join anew$/);
  expect(() => applyEntry(log.store, log.index, stampEntry(0, new Uint8Array()))).toThrow(HaltError);
});

test("bad data is refused and changes nothing but the head", () => {
  const { log, session } = begun();
  const bad: Uint8Array[] = [
    new Uint8Array(),
    Buffer.from([0, 0, 0]),
    Buffer.from("0100000000", "hex"),
    stampEntry(0, Buffer.from("c1", "hex")),
    stampEntry(0, encode(7)),
    stampEntry(0, encode({ v: 1, session, sequence: 1, lowest: 1, command: { type: "clock.tick" } })),
    stampEntry(0, rawEnvelope({ v: 1 })),
    stampEntry(0, rawEnvelope({ v: 1, session, sequence: 1, lowest: 2, command: { type: "clock.tick" } })),
    stampEntry(
      0,
      rawEnvelope({
        v: 1,
        session,
        sequence: 1,
        lowest: 1,
        command: { type: "token.create", id: "a b", hash: SECRET_HASH, uses: 1, ttlMs: 1 },
      }),
    ),
    stampEntry(0, rawEnvelope({ v: 1, session, sequence: 1, lowest: 1, command: { type: "gc.condemn", digest: "sha256:zz" } })),
    stampEntry(0, rawEnvelope({ v: 1, session, sequence: 1, lowest: 1, command: { type: "member.state", raftId: "1" } })),
    stampEntry(0, rawEnvelope({ v: 1, session, sequence: 1, lowest: 1, command: { type: "__proto__" } })).subarray(0, 25),
  ];
  for (const data of bad) {
    const applied = log.raw(data);
    expect(applied.outcome).toEqual({ refused: "mismatch", index: log.index });
    expect(applied.changes.map(({ key }) => key)).toEqual(["chain/head"]);
  }
});

test("a newcomer that retries after a crash is answered with its id again, and the token is used once", () => {
  const { log, session } = begun();
  log.next(token("t"), session);
  const add: Command = { type: "member.add", member: factsOf(1), token: { id: "t", hash: SECRET_HASH } };
  const first = log.next(add, session).outcome.value;
  expect(first).toBe(log.index);
  expect(log.next(add, session).outcome.value).toBe(first);
  expect(log.next({ ...add, member: factsOf(2) }, session).outcome.refused).toBe("tokenUsedUp");
  expect(log.catalog.members().map(({ peerId }) => peerId)).toEqual([peerOf(0), peerOf(1)]);
});

test("a session is refused to a start of a member that a later one has followed, or of which a copied disk made two", () => {
  const log = new Log();
  log.send(INIT);
  const open = (incarnation: number, digit: string, raftId = 1) =>
    log.send({ type: "session.open", raftId, boot: { incarnation, nonce: digit.repeat(16) } }).outcome;
  expect(open(3, "a").refused).toBeUndefined();
  expect(open(2, "b").refused).toBe("incarnation");
  expect(open(3, "b").refused).toBe("incarnation");
  expect(open(3, "a").refused).toBeUndefined();
  expect(open(5, "c").refused).toBeUndefined();
  expect(open(4, "d").refused).toBe("incarnation");
  // One of an older program says nothing of its start, and changes nothing of what is known.
  expect(log.send({ type: "session.open", raftId: 1 }).outcome.refused).toBeUndefined();
  expect(open(3, "a").refused).toBe("incarnation");
});

test("G1: a session is refused to a start whose disk does not remember the newest one that is known, and to one that says nothing of it the number decides", () => {
  const log = new Log();
  log.send(INIT);
  const open = (incarnation: number, digits: string) => {
    const [nonce = "", ...earlier] = [...digits].map((digit) => digit.repeat(16));
    return log.send({ type: "session.open", raftId: 1, boot: { incarnation, nonce, earlier } }).outcome.refused;
  };
  expect(open(3, "cba")).toBeUndefined();
  expect(open(4, "dfba")).toBe("incarnation");
  expect(open(6, "dfeeba")).toBe("incarnation");
  expect(open(6, "fedcba")).toBeUndefined();
  // What it remembers does not reach back so far.
  expect(open(9, "ab")).toBeUndefined();
  expect(open(10, "f")).toBeUndefined();
  expect(open(11, "aa")).toBe("incarnation");
});
