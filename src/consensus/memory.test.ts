import { expect, test } from "vitest";
import { factsOf } from "../metadata/scenario.ts";
import type { Applied } from "./consensus.ts";
import { MemoryConsensus } from "./memory.ts";

const init = { type: "cluster.init", clusterId: "c", publicKey: new Uint8Array(1), member: factsOf(1) } as const;

test("a proposal is answered after it has applied, and its listeners have heard of it", async () => {
  const consensus = new MemoryConsensus();
  const heard: Applied[] = [];
  consensus.onApplied((applied) => heard.push(applied));
  expect((await consensus.propose(init)).refused).toBeUndefined();
  const outcome = await consensus.propose({ type: "token.create", id: "t", hash: new Uint8Array(32), uses: 1, ttlMs: 1000 });
  expect(outcome.refused).toBeUndefined();
  expect(heard.map(({ command }) => command.type)).toEqual(["cluster.init", "session.open", "token.create"]);
  expect(consensus.catalog.members().map(({ raftId }) => raftId)).toEqual([1]);
});

test("G3: a node that is cut off says so to readers and refuses writers", async () => {
  const consensus = new MemoryConsensus();
  expect(await consensus.barrier()).toBe("fresh");
  consensus.cutOff = true;
  expect(await consensus.barrier()).toBe("cutOff");
  await expect(consensus.propose(init)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("a malformed command is refused before it is proposed", async () => {
  const consensus = new MemoryConsensus();
  await expect(consensus.propose({ ...init, publicKey: "text" } as unknown as typeof init)).rejects.toThrow("cluster.init");
});
