import { raftLogConformance } from "../../../src/consensus/raft-log.conformance.ts";
import { World } from "../world.ts";
import { type DiskObserver, NodeDisk } from "./node-disk.ts";

const OWNER = { id: 1, alive: true, pausedUntil: 0, backlogMs: 0 };
const BEHAVIOUR = { latencyMs: (sync: boolean) => (sync ? 2 : 0), failure: () => undefined, writeBufferBytes: 4_096, keepsWitness: true };
const BLIND: DiskObserver = {
  logOpened: () => undefined,
  logWritten: () => undefined,
  logWriting: () => undefined,
  catalogOpened: () => undefined,
  catalogReplaced: () => undefined,
  catalogRead: () => undefined,
  installBegun: () => undefined,
  catalogWritten: () => undefined,
};

raftLogConformance("on the simulated disk", async () => {
  const world = new World(1);
  // Time goes on by itself, until the test has ended.
  world.every(
    () => 1,
    undefined,
    () => undefined,
  );
  let ended = false;
  const running = world.run(() => ended);
  return {
    storage: new NodeDisk(world, "simulated", BEHAVIOUR, BLIND, undefined).storage(OWNER),
    discard: () => {
      ended = true;
      return running;
    },
  };
});
