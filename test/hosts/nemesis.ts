import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../../src/core/random.ts";
import { FAULT_KINDS, type Fault, type FaultKind, shuffled } from "./faults.ts";
import type { Host } from "./host.ts";
import type { HostCluster } from "./host-cluster.ts";
import { probeCutOff } from "./probe.ts";
import type { RunRecord } from "./record.ts";

export interface NemesisOptions {
  readonly cluster: HostCluster;
  readonly record: RunRecord;
  readonly random: Random;
  readonly untilMs: number;
}

const HOLD_MS = { least: 4_000, most: 10_000 };
const REST_MS = { least: 1_000, most: 4_000 };
/** Copies take so long to move: what moves them is not begun at the end. */
const MEMBERSHIP_MS = 75_000;
/** So many rounds have a second fault at once. */
const TWO_SHARE = 0.35;

/** Does harm in rounds until the time is over; each kind once before any comes twice. All is mended when it ends. */
export async function runNemesis(options: NemesisOptions): Promise<void> {
  const { record, random, untilMs } = options;
  let deck: FaultKind[] = [];
  while (performance.now() < untilMs) {
    if (deck.length === 0) deck = shuffled(FAULT_KINDS, random);
    const kinds = draw(deck, random, untilMs - performance.now());
    if (kinds.length === 0) return;
    deck = deck.filter((kind) => !kinds.includes(kind));
    try {
      await runRound(options, kinds);
    } catch (error) {
      record.violation(`a fault could not be begun or mended: ${error instanceof Error ? error.message : String(error)}`);
      await options.cluster.mendAll();
    }
    for (const host of options.cluster.members) {
      if (host.crash === undefined) continue;
      record.violation(`${host.name} ended although nobody asked it to; it said:\n${host.crash}`);
      await host.start();
    }
    await pause(between(REST_MS, random));
  }
}

/** The next of the deck, and at times another that goes with it; none where the time that is left is too short for what is left. */
function draw(deck: readonly FaultKind[], random: Random, leftMs: number): readonly FaultKind[] {
  const fits = deck.filter(({ realm }) => realm !== "membership" || leftMs >= MEMBERSHIP_MS);
  const [first, ...others] = fits;
  if (first === undefined) return [];
  const second = random.float() < TWO_SHARE ? others.find((other) => mayGoWith(first, other)) : undefined;
  return second === undefined
    ? [first]
    : [first, second].sort((a, b) => Number(a.realm === "membership") - Number(b.realm === "membership"));
}

/** What changes the membership goes with a bad link alone: no data moves while the hosts that have it are away. */
function mayGoWith(first: FaultKind, second: FaultKind): boolean {
  if (first.realm === second.realm || first.isAlone === true || second.isAlone === true) return false;
  if (first.realm !== "membership" && second.realm !== "membership") return true;
  return first.realm === "link" || second.realm === "link";
}

function between({ least, most }: { least: number; most: number }, random: Random): number {
  return least + random.float() * (most - least);
}

async function runRound({ cluster, record, random }: NemesisOptions, kinds: readonly FaultKind[]): Promise<void> {
  const faults: Fault[] = [];
  const met = new Set<Host>();
  for (const kind of kinds) {
    const free = cluster.members.filter((host) => !met.has(host));
    const begunMs = performance.now();
    const fault = await kind.begin({ cluster, record, random, free });
    for (const host of fault.met) met.add(host);
    record.fault(kind.kind);
    record.note(`${kind.kind}: ${fault.what} (${seconds(begunMs)})`);
    faults.push(fault);
  }
  const holding = pause(between(HOLD_MS, random));
  const probing = faults.flatMap(({ isolated = [] }) => isolated).filter((host) => host.running && !met.has(host));
  const ended = new AbortController();
  const probes = Promise.all(probing.map((host) => probeCutOff(record, host, ended.signal)));
  await holding;
  ended.abort();
  await probes;
  const endingMs = performance.now();
  // the last first: a node starts in the partition in which it was killed, and a member joins over the bad link
  for (const fault of faults.reverse()) await fault.end();
  record.note(`mended (${seconds(endingMs)})`);
}

function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1_000).toFixed(1)} s`;
}
