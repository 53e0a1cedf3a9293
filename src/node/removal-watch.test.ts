import { expect, test } from "vitest";
import { ManualClock } from "../consensus/manual-clock.ts";
import { silentLog } from "../core/log.ts";
import type { Standing } from "../exchange/libp2p/standing.ts";
import { factsOf, Scenario } from "../metadata/scenario.ts";
import { createCatalog } from "../metadata/store-catalog.ts";
import { watchRemoval } from "./removal-watch.ts";

const BY = { clusterId: "old", successor: "new", lastTerm: 3, lastIndex: 70 };

/** Node 1 of three; the others answer what `answers` holds by their address, and say nothing else. */
function watching(answers: Record<string, Standing>) {
  const scenario = new Scenario();
  const ids = scenario.found(3);
  const clock = new ManualClock();
  const state = { cutOff: false, asked: 0, said: [] as unknown[] };
  const catalog = createCatalog(scenario.store);
  const address = (node: number) => catalog.member(ids[node - 1]!)!.addresses[0]!;
  const watch = watchRemoval({
    consensus: { self: ids[0]!, catalog, status: () => ({ cutOff: state.cutOff }) as never },
    ask: async ([at = ""]) => {
      state.asked += 1;
      const found = Object.entries(answers).find(([node]) => at.startsWith(`${address(Number(node))}/p2p/`));
      if (found === undefined) throw new Error("nobody answers");
      return found[1];
    },
    fail: (error) => state.said.push(["fail", error.message]),
    failForGood: async (error) => void state.said.push(["for good", error.message]),
    follow: async (peer, clusterId) => void state.said.push(["follow", peer, clusterId]),
    clock,
    log: silentLog,
  });
  const after = async (ms: number) => {
    clock.advance(ms);
    await watch.idle();
    return state;
  };
  return { state, after };
}

test("a node asks where it stands at its start, each 5 s while it is cut off, and each minute else", async () => {
  const { state, after } = watching({ 2: { kind: "good" }, 3: { kind: "good" } });
  expect((await after(0)).asked).toBe(2);
  expect((await after(55_000)).asked).toBe(2);
  expect((await after(5_000)).asked).toBe(4);
  state.cutOff = true;
  expect((await after(5_000)).asked).toBe(6);
  expect((await after(5_000)).asked).toBe(8);
  expect(state.said).toEqual([]);
});

test("one that is out ends, with a line that says what to do", async () => {
  const { after } = watching({ 3: { kind: "removed" } });
  expect((await after(0)).said).toEqual([["fail", expect.stringContaining("join with an empty data folder and a new token")]]);
});

test("one whose cluster was recovered follows where it is in the new one too, and else ends for good, whatever others say", async () => {
  const peer = factsOf(2).peerId;
  const inIt = watching({ 2: { kind: "removed" }, 3: { kind: "superseded", by: BY, member: true, peer } });
  expect((await inIt.after(0)).said).toEqual([["follow", peer, "new"]]);
  const out = watching({ 2: { kind: "good" }, 3: { kind: "superseded", by: BY, member: false, peer } });
  expect((await out.after(0)).said).toEqual([
    ["for good", expect.stringMatching(/recovered without it, as the cluster new.* empty its data folder/)],
  ]);
});
