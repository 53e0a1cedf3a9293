import { expect, test } from "vitest";
import { ManualClock } from "../consensus/manual-clock.ts";
import type { Membership, PeerProgress } from "../consensus/membership.ts";
import { silentLog } from "../core/log.ts";
import { type Departure, type Leaving, leave } from "./leave.ts";

const HEIR: PeerProgress = { raftId: 2, match: 5, state: "replicate", active: true, fresh: true };

class Leader implements Membership {
  readonly self = 1;
  #leads = true;
  #listener: (() => void) | undefined;
  leads = () => this.#leads;
  configuration = () => ({ voters: [1, 2], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false });
  progress = () => [HEIR];
  lastIndex = () => 5;
  proposeConfChange = () => undefined;
  transferLeader = () => undefined;
  onConfiguration(listener: () => void) {
    this.#listener = listener;
    return () => undefined;
  }
  follow(): void {
    this.#leads = false;
    this.#listener?.();
  }
}

interface Stage {
  readonly clock: ManualClock;
  readonly leader: Leader;
  readonly departure: Departure;
  readonly did: string[];
  readonly left: Promise<void>;
  /** Lets what runs on the listener, or with peers, end. */
  readonly end: { clients(): void; peers(): void };
}

function begin(times: Pick<Leaving, "delayMs" | "timeoutMs" | "handOverMs">): Stage {
  const clock = new ManualClock();
  const leader = new Leader();
  const departure: Departure = { stopping: false, closing: false };
  const did: string[] = [];
  const clients = Promise.withResolvers<void>();
  const peers = Promise.withResolvers<void>();
  const left = leave({
    ...times,
    departure,
    listener: {
      endConnections: () => void did.push("end connections"),
      close: (drainMs) => {
        did.push(`close within ${drainMs}`);
        clock.after(drainMs ?? 0, clients.resolve); // as a listener cuts them
        return clients.promise;
      },
    },
    exchange: {
      finish: (signal) => {
        did.push("finish");
        if (signal.aborted) peers.resolve();
        signal.addEventListener("abort", () => peers.resolve(), { once: true });
        return peers.promise;
      },
    },
    movers: [{ stop: () => void did.push("stop a mover") }],
    membership: leader,
    clock,
    log: silentLog,
  }).then(() => void did.push("left"));
  return { clock, leader, departure, did, left, end: { clients: clients.resolve, peers: peers.resolve } };
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

const BEGUN = ["end connections", "stop a mover"];

test("a node is not ready from the first moment, closes once the delay is over and another leads, and waits for clients and then for peers", async () => {
  const { clock, leader, departure, did, left, end } = begin({ delayMs: 1_000, timeoutMs: 30_000, handOverMs: 5_000 });
  expect([departure, did]).toEqual([{ stopping: true, closing: false }, BEGUN]);
  clock.advance(1_500);
  await turns();
  expect(departure.closing, "nobody has taken over").toBe(false);
  leader.follow();
  await turns();
  expect([departure.closing, did]).toEqual([true, [...BEGUN, "close within 28500"]]);
  end.clients();
  await turns();
  expect(did.at(-1)).toBe("finish");
  end.peers();
  await left;
});

test("nobody who takes over, clients who do not end and peers who do not end: all of it is over after shutdown.timeout", async () => {
  const { clock, did, left } = begin({ delayMs: 60_000, timeoutMs: 30_000, handOverMs: 60_000 });
  clock.advance(30_000);
  await turns();
  clock.advance(0);
  await left;
  expect(did).toEqual([...BEGUN, "close within 0", "finish", "left"]);
});
