/**
 * `node bench/consensus/snapshot.ts [--megabytes M]`: whether proposals stand still while a snapshot of the catalog goes from the leader to a follower that was away. Three processes on
 * loopback; proposals one after the other at the leader, and questions to the follower, whose answers show how long its event loop stands. Beside them the delays of this process, which idles.
 */
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import type { Digest } from "../../src/core/digest.ts";
import type { RepositoryName } from "../../src/core/reference.ts";
import type { Command } from "../../src/metadata/commands.ts";
import { type Row, table } from "../report.ts";
import { MeasuredCluster, type Member } from "./cluster.ts";
import { smallCommand, tokenCommand } from "./orders.ts";

const VALUE_BYTES = 32 * 1024;
const FILLERS = 16;
const BEFORE_MS = 5_000;
const PAUSE_MS = 5;

function fillCommand(at: number): Command {
  const bytes = Buffer.alloc(VALUE_BYTES);
  // Not to be compressed.
  for (let from = 0; from < VALUE_BYTES; from += 32) createHash("sha256").update(`${at} ${from}`).digest().copy(bytes, from);
  return {
    type: "manifest.put",
    repository: "bench/snapshot" as RepositoryName,
    digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    bytes,
    tags: [],
    references: [],
  };
}

async function fill(member: Member, from: number, to: number): Promise<void> {
  let next = from;
  const work = async (): Promise<void> => {
    while (next < to) {
      next += 1;
      await member.ask({ do: "propose", command: fillCommand(next) });
    }
  };
  await Promise.all(Array.from({ length: FILLERS }, () => work()));
}

/** How long each question took until `ended`, one after the other. */
async function timesOf(ask: () => Promise<unknown>, ended: () => boolean, pauseMs: number): Promise<number[]> {
  const times: number[] = [];
  while (!ended()) {
    const begun = performance.now();
    await ask();
    times.push(performance.now() - begun);
    if (pauseMs > 0) await new Promise<void>((resolve) => setTimeout(resolve, pauseMs));
  }
  return times;
}

function row(what: string, times: readonly number[], bar = ""): Row {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (part: number): number => sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN;
  return { what: `${what}, ${times.length} of them`, unit: "ms", values: { p50: at(0.5), p99: at(0.99), longest: at(1) }, bar };
}

async function measure(folder: string, megabytes: number): Promise<Row[]> {
  const rows: Row[] = [];
  const cluster = await MeasuredCluster.start(folder);
  const delays = monitorEventLoopDelay({ resolution: 1 });
  const own = (what: string): void => {
    rows.push({
      what,
      unit: "ms",
      values: { p50: delays.percentile(50) / 1e6, p99: delays.percentile(99) / 1e6, longest: delays.max / 1e6 },
      bar: "",
    });
    delays.reset();
  };
  try {
    const leader = await cluster.leader();
    const follower = cluster.members.find((member) => member !== leader)!;
    const count = Math.ceil((megabytes * 1e6) / VALUE_BYTES);
    await follower.stop();
    await fill(leader, 0, count);
    await leader.ask({ do: "propose", command: tokenCommand(0) });
    const propose = () => leader.ask({ do: "propose", command: smallCommand(0) });
    delays.enable();
    const until = performance.now() + BEFORE_MS;
    rows.push(row("a proposal at the leader before", await timesOf(propose, () => performance.now() > until, 0)));
    own("event loop of an idle process before");
    await follower.start();
    await cluster.tellPeers();
    await follower.ask({ do: "open", raftId: follower.raftId, founding: false });
    delays.reset();
    const begun = performance.now();
    let done = false;
    let installedIndex = 0;
    const look = async (): Promise<void> => {
      const [there, here] = [await follower.status(), await leader.status()];
      installedIndex = there.installedIndex;
      done = there.appliedIndex + 10 > here.appliedIndex;
    };
    const ended = (): boolean => done;
    const [proposals, answers] = await Promise.all([timesOf(propose, ended, 0), timesOf(look, ended, PAUSE_MS)]);
    if (installedIndex === 0)
      throw new Error(
        `the follower took ${megabytes} MB from the log, and no snapshot was sent: give more --megabytes than the log keeps (64)`,
      );
    rows.push(
      row(
        `a proposal at the leader while it sends a snapshot, ${Math.round(performance.now() - begun)} ms in all`,
        proposals,
        "longest <= 50",
      ),
    );
    rows.push(row("an answer of the follower while it installs it", answers, "longest <= 50"));
    own("event loop of an idle process meanwhile");
    return rows;
  } finally {
    await cluster.stop();
  }
}

const { values } = parseArgs({ options: { megabytes: { type: "string", default: "200" } } });
const folder = await mkdtemp(join(tmpdir(), "roadstead-snapshot-"));
try {
  process.stdout.write(`${table(await measure(folder, Number(values.megabytes)), ["p50", "p99", "longest"])}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
