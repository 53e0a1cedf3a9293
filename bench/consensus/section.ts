import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median, type Row } from "../report.ts";
import { MeasuredCluster, type Member } from "./cluster.ts";
import { syncRate } from "./disk.ts";
import { EtcdCluster } from "./etcd.ts";
import { killLeaders } from "./kills.ts";
import type { Summary } from "./latencies.ts";
import { roundTrips } from "./round.ts";
import { endOnSignal } from "./started.ts";

export interface ConsensusOptions {
  readonly measuredMs: number;
  readonly sections?: readonly string[];
  readonly kills?: number;
  readonly callers?: readonly number[];
  /** Where processor profiles of the members go. */
  readonly profile?: string;
}

export const CONSENSUS_COLUMNS = ["1/s", "p50 ms", "p99 ms"];
const SECTIONS = ["disk", "commits", "etcd", "kills"];
const CALLERS = [1, 64, 256];
const KILLS = 20;
const WARM_UP_MS = 1_500;
/** A process that has just begun runs code that V8 has not compiled yet: a registry that has served for a minute does not. */
const FIRST_WARM_UP = { callers: 64, warmUpMs: 0, measuredMs: 8_000 };
const COMMAND_BYTES = 128;

/** Commits a second of three members, of etcd's three, and of the disk alone, one after the other on the same machine and folder. */
export async function consensusRows(options: ConsensusOptions): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), "roadstead-consensus-"));
  const rows: Row[] = [];
  const done = endOnSignal(folder);
  const wanted = (section: string): boolean => (options.sections ?? SECTIONS).includes(section);
  try {
    if (wanted("disk")) rows.push(...(await floors(folder, options.measuredMs)));
    if (wanted("commits")) rows.push(...(await commits(join(folder, "commits"), options)));
    if (wanted("etcd")) rows.push(...(await etcd(join(folder, "etcd"), options)));
    if (wanted("kills")) rows.push(...(await kills(join(folder, "kills"), options)));
    return rows;
  } finally {
    done();
    await rm(folder, { recursive: true, force: true });
  }
}

async function floors(folder: string, measuredMs: number): Promise<Row[]> {
  return [
    row("write + fdatasync of 128 bytes, one after the other", await syncRate(folder, measuredMs)),
    row("200 bytes to another process and back, bare TCP", await roundTrips(measuredMs)),
    row("the same, written and fdatasynced there before the answer", await roundTrips(measuredMs, join(folder, "round"))),
  ];
}

async function commits(folder: string, { callers = CALLERS, measuredMs, profile }: ConsensusOptions): Promise<Row[]> {
  const rows: Row[] = [];
  const cluster = await MeasuredCluster.start(folder, profile === undefined ? {} : { profile });
  try {
    const leader = await cluster.leader();
    const follower = cluster.members.find((member) => member !== leader);
    for (const [where, member] of [["leader", leader] as const, ["follower", follower] as const]) {
      if (member === undefined) continue;
      await member.ask({ do: "load", ...FIRST_WARM_UP });
      for (const count of callers) rows.push(row(`commits at the ${where}, callers: ${count}`, await load(member, count, measuredMs)));
    }
  } finally {
    await cluster.stop();
  }
  return rows;
}

async function load(member: Member, callers: number, measuredMs: number): Promise<Summary> {
  const { perSecond = 0, p50Ms = 0, p99Ms = 0 } = await member.ask({ do: "load", callers, warmUpMs: WARM_UP_MS, measuredMs });
  return { perSecond, p50Ms, p99Ms };
}

async function etcd(folder: string, { callers = CALLERS, measuredMs }: ConsensusOptions): Promise<Row[]> {
  await mkdir(folder, { recursive: true });
  const rows: Row[] = [];
  const cluster = await EtcdCluster.start(folder);
  try {
    for (const count of callers) {
      rows.push(row(`etcd: puts at the leader, callers: ${count}`, await cluster.put(count, WARM_UP_MS, measuredMs, COMMAND_BYTES)));
    }
  } finally {
    await cluster.stop();
  }
  return rows;
}

async function kills(folder: string, options: ConsensusOptions): Promise<Row[]> {
  const { outagesMs, acknowledged, lost } = await killLeaders(folder, options.kills ?? KILLS);
  const outage = `leader killed to the first commit by another, ${outagesMs.length} times (median; longest as p99)`;
  return [
    { what: outage, unit: "ms", values: { "p50 ms": median(outagesMs), "p99 ms": Math.max(...outagesMs) }, bar: "median <= 1500" },
    { what: `acknowledged commands lost in those, of ${acknowledged}`, unit: "", values: { "1/s": `${lost}` }, bar: "0" },
  ];
}

function row(what: string, { perSecond, p50Ms, p99Ms }: Summary): Row {
  return { what, unit: "", values: { "1/s": perSecond, "p50 ms": p50Ms, "p99 ms": p99Ms }, bar: "" };
}
