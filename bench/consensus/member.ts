/** One member of the measured cluster, a process of its own: libp2p host, LevelDB log and catalog, the driver. It is told what to do over IPC. */

import type { Driver } from "../../src/consensus/driver.ts";
import { levelStorage } from "../../src/consensus/level/level-storage.ts";
import { Libp2pTransport } from "../../src/consensus/libp2p/transport.ts";
import { openConsensus } from "../../src/consensus/open-consensus.ts";
import { systemClock } from "../../src/core/clock.ts";
import { OciError } from "../../src/core/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import { systemRandom } from "../../src/core/random.ts";
import { startHost } from "../../src/exchange/libp2p/host.ts";
import { loadIdentity } from "../../src/exchange/libp2p/identity.ts";
import type { Command, Outcome } from "../../src/metadata/commands.ts";
import { holdYoungGeneration } from "../../src/node/young-generation.ts";
import { Latencies } from "./latencies.ts";
import { type Answer, blobCommand, type Peer, type Request, smallCommand, type Told, tokenCommand } from "./orders.ts";

const RETRY_MS = 20;
const [folder = "", listen = "127.0.0.1:0"] = process.argv.slice(2);
const tell = (told: Told): void => {
  process.send?.(told);
};

holdYoungGeneration(systemClock); // as a node does
let peers: readonly Peer[] = [];
let driver: Driver | undefined;
let streaming = false;
let installedIndex = 0;
const identity = await loadIdentity(folder);
const host = await startHost({
  privateKey: identity.privateKey,
  listen: [listen],
  isMember: (peer) => peers.some(({ peerId }) => peerId === peer),
  addressesOf: (peer) => peers.find(({ peerId }) => peerId === peer)?.addresses ?? [],
  clock: systemClock,
  log: silentLog,
});

function opened(): Driver {
  if (driver === undefined) throw new Error("this member is not open");
  return driver;
}

async function open(raftId: number, founding: boolean): Promise<void> {
  driver = await openConsensus({
    storage: levelStorage(folder),
    raftId,
    bootstrap: founding ? { voters: [raftId] } : undefined,
    transport: new Libp2pTransport({
      host,
      clusterId: "bench",
      self: raftId,
      peerOf: (id) => peers.find((peer) => peer.raftId === id)?.peerId,
      raftIdOf: (peer) => peers.find(({ peerId }) => peerId === peer)?.raftId,
      clock: systemClock,
      log: silentLog,
    }),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    fatal: (error) => {
      process.stderr.write(`${error.message}\n`);
      process.exit(1);
    },
  });
  driver.onInstalled((index) => {
    installedIndex = index;
  });
}

/** False where it was not answered: it may be done or not. */
async function isDone(command: Command): Promise<boolean> {
  try {
    const { refused } = await opened().propose(command);
    if (refused !== undefined) throw new Error(`${command.type} was refused: ${refused}`);
    return true;
  } catch (error) {
    if (!(error instanceof OciError)) throw error;
    await new Promise<void>((resolve) => setTimeout(resolve, RETRY_MS));
    return false;
  }
}

/** `callers` at once, each with its next command as soon as the one before it is answered. */
async function load(callers: number, warmUpMs: number, measuredMs: number): Promise<Answer> {
  for (let caller = 0; caller < callers; caller += 1) await opened().propose(tokenCommand(caller)); // refused where it is there already
  const latencies = new Latencies();
  const begin = performance.now() + warmUpMs;
  const end = begin + measuredMs;
  const before = process.cpuUsage();
  let unanswered = 0;
  const call = async (caller: number): Promise<void> => {
    for (;;) {
      const started = performance.now();
      if (started >= end) return;
      if (!(await isDone(smallCommand(caller)))) unanswered += 1;
      else if (started >= begin && performance.now() < end) latencies.add(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
  const { user, system } = process.cpuUsage(before);
  return { ...latencies.summary(measuredMs), unanswered, cpuSeconds: (user + system) / 1e6 };
}

/** Tells each command that was acknowledged, until the process is killed. */
async function stream(name: string, callers: number): Promise<void> {
  streaming = true;
  const call = async (caller: number): Promise<void> => {
    for (let at = 0; streaming; at += 1) {
      const blob = `${name}-${caller}-${at}`;
      if (await isDone(blobCommand(blob, opened().configuration().voters))) tell({ acknowledged: blob });
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
}

/** As a client does that is told to come again. */
async function insist(command: Command): Promise<Outcome> {
  for (;;) {
    try {
      return await opened().propose(command);
    } catch (error) {
      if (!(error instanceof OciError)) throw error;
      await new Promise<void>((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

async function missing(names: readonly string[]): Promise<Answer> {
  if ((await opened().barrier()) !== "fresh") throw new Error("this member is cut off");
  return { missing: names.filter((name) => opened().catalog.blob(blobCommand(name, []).digest) === undefined) };
}

async function obey(request: Request): Promise<Answer> {
  switch (request.do) {
    case "peers":
      peers = request.peers;
      return {};
    case "open":
      await open(request.raftId, request.founding);
      return {};
    case "propose":
      return { value: (await insist(request.command)).value };
    case "seat": {
      const changes = [{ type: request.as, nodeId: request.raftId }];
      opened().proposeConfChange({ transition: "auto", changes, context: undefined });
      return {};
    }
    case "status": {
      const { role, voters, learners, appliedIndex, leader } = opened().status();
      return { status: { leads: role === "leader", voters, learners, appliedIndex, leader, installedIndex } };
    }
    case "load":
      return load(request.callers, request.warmUpMs, request.measuredMs);
    case "stream":
      void stream(request.name, request.callers);
      return {};
    case "hush":
      streaming = false;
      return {};
    case "missing":
      return missing(request.names);
    case "stop":
      await driver?.close();
      await host.stop();
      return {};
  }
}

process.on("message", (request: Request) => {
  obey(request).then(
    (answer) => {
      tell({ id: request.id, answer });
      if (request.do === "stop") setImmediate(() => process.exit(0));
    },
    (error: unknown) => tell({ id: request.id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.on("disconnect", () => process.exit(0)); // whoever measures has ended
tell({ peer: { peerId: identity.peerId, addresses: host.addresses() } });
