import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { hexOf } from "../../src/core/digest.ts";
import { checkLinearizable } from "../sim/linearizability/check.ts";
import { explainViolation } from "../sim/linearizability/explain.ts";
import { pullImage, readOf } from "./clients.ts";
import type { Host } from "./host.ts";
import { type RunRecord, tagsModel } from "./record.ts";
import { type Answer, ask } from "./requests.ts";

const AT_ONCE = 4;
/** G3: a host that is cut off refuses a write within 2 s; the rest is for a machine that has other things to do. */
const REFUSAL_MS = 2_000;
const SLACK_MS = 1_500;

const SETTLED_MS = 30_000;
const AGAIN_MS = 500;
const AUDIT_PATH = "/_roadstead/v1/audit";

/** After the cluster has converged: reads everything through every host. */
export async function checkEnd(record: RunRecord, hosts: readonly Host[], tags: readonly string[], copies: number): Promise<void> {
  await Promise.all(hosts.map((host) => readTags(record, host, tags)));
  await Promise.all(hosts.map((host) => readImages(record, host)));
  await compareListings(record, hosts, [...new Set(record.images.map(({ repository }) => repository))]);
  await compareAudits(record, hosts);
  await readCounts(record, hosts);
  await countCopies(record, hosts, copies);
}

/** The last reads of the history, one a tag and host. */
async function readTags(record: RunRecord, host: Host, tags: readonly string[]): Promise<void> {
  for (const tag of tags) {
    const [repository = "", name = ""] = tag.split(":");
    const calledAt = performance.now();
    const read = readOf(record, host, await settled(host, `/v2/${repository}/manifests/${name}`));
    if (read.kind === "value") {
      const returned = { at: performance.now(), output: read.value };
      record.history.push({ client: `end ${host.name}`, input: { type: "read", tag }, calledAt, returned });
    } else record.violation(`after all was mended, ${host.name} gave no good answer for the tag ${tag}: ${read.kind}`);
  }
}

/** G1: what was acknowledged is there, every byte of it, through every host; G2: what was deleted is gone. */
async function readImages(record: RunRecord, host: Host): Promise<void> {
  const work = record.images.values();
  const reader = async (): Promise<void> => {
    for (const image of work) {
      if (
        image.state === "kept" &&
        !(await patiently(
          () => pullImage(record, host, image),
          (came) => came,
        ))
      ) {
        record.violation(`G1: after all was mended, image ${image.number} of ${image.repository} cannot be pulled through ${host.name}`);
      } else if (image.state === "deleted") {
        const answer = await settled(host, `/v2/${image.repository}/manifests/${image.digest}`);
        if (answer?.status !== 404) record.violation(`G2: ${host.name} answers ${answer?.status} for the deleted manifest ${image.digest}`);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, reader));
}

/** A host may lose its majority for a moment on a machine that has other things to do: then it is asked again. */
function settled(host: Host, path: string): Promise<Answer | undefined> {
  return patiently(
    () => ask(host, "GET", path),
    (answer) => answer !== undefined && !answer.stale && answer.status < 500,
  );
}

/** @returns the last answer, good or not */
async function patiently<T>(attempt: () => Promise<T>, isGood: (answer: T) => boolean): Promise<T> {
  for (const end = performance.now() + SETTLED_MS; ; await pause(AGAIN_MS)) {
    const answer = await attempt();
    if (isGood(answer) || performance.now() > end) return answer;
  }
}

async function compareListings(record: RunRecord, hosts: readonly Host[], repositories: readonly string[]): Promise<void> {
  for (const repository of repositories) {
    const lists = await Promise.all(hosts.map((host) => settled(host, `/v2/${repository}/tags/list`)));
    const texts = lists.map((list) => `${list?.status} ${new TextDecoder().decode(list?.bytes)}`);
    for (const [at, text] of texts.entries()) {
      if (text !== texts[0]) record.violation(`G8: ${hosts[at]!.name} lists other tags of ${repository} than ${hosts[0]!.name}`);
    }
  }
}

/** G8, G9: what the entries of the log left is the same on every node. */
async function compareAudits(record: RunRecord, hosts: readonly Host[]): Promise<void> {
  const trails = await Promise.all(hosts.map((host) => host.admin("GET", AUDIT_PATH)));
  const [first = "", ...others] = trails.map((trail) => JSON.stringify(trail));
  for (const [at, text] of others.entries()) {
    if (text !== first) record.violation(`G9: ${hosts[at + 1]!.name} has another audit trail than ${hosts[0]!.name}`);
  }
}

/** What the nodes themselves count as lost or bad: nothing here damages a disk without taking all of it. */
async function readCounts(record: RunRecord, hosts: readonly Host[]): Promise<void> {
  for (const host of hosts) {
    const { lostBlobs, quarantined } = await host.status();
    if (lostBlobs > 0) record.violation(`G1: ${host.name} counts ${lostBlobs} blobs of which no member holds a copy`);
    if (quarantined > 0) record.violation(`G6: ${host.name} counts ${quarantined} bad copies, and no disk was damaged`);
  }
}

/** The files of each acknowledged blob, on the disks themselves. */
export async function countCopies(record: RunRecord, hosts: readonly Pick<Host, "name" | "data">[], copies: number): Promise<void> {
  const held = await Promise.all(hosts.map(filesOf));
  const kept = new Set(record.images.flatMap((image) => (image.state === "kept" ? image.blobs : [])));
  for (const digest of kept) {
    const holders = hosts.filter((_, at) => held[at]!.has(hexOf(digest))).map(({ name }) => name);
    if (holders.length < copies) record.violation(`G1: ${digest} lies on ${holders.length} disks (${holders.join(" ")}), not on ${copies}`);
  }
}

async function filesOf(host: Pick<Host, "data">): Promise<ReadonlySet<string>> {
  const paths = await readdir(join(host.data, "blobs"), { recursive: true });
  return new Set(paths.map((path) => path.slice(path.lastIndexOf("/") + 1)));
}

/** G2: whether the answers about tags fit one order of time. */
export function checkTags(record: RunRecord): void {
  const verdict = checkLinearizable(tagsModel, record.history);
  if (!verdict.ok) record.violation(`G2: ${explainViolation(tagsModel, verdict.violation).join("\n")}`);
}

export interface Refusals {
  readonly count: number;
  readonly worstMs: number;
}

/** G3: no write that began at a host while it knew that it was cut off was done, and none waited for longer than 2 s. */
export function checkRefusals(record: RunRecord): Refusals {
  let count = 0;
  let worstMs = 0;
  for (const { host, calledAt, endedAt, status, what } of record.writes) {
    const time = record.cutOff.find((each) => each.host === host && calledAt >= each.from && calledAt <= each.to);
    if (time === undefined) continue;
    const waitedMs = Math.min(endedAt, time.to) - calledAt;
    if (endedAt <= time.to) {
      count += 1;
      worstMs = Math.max(worstMs, waitedMs);
      if (status === 201 && what === "manifest") record.violation(`G3: ${host}, cut off, acknowledged a manifest`);
    }
    if (waitedMs > REFUSAL_MS + SLACK_MS) {
      record.violation(`G3: a write (${what}) waited for ${(waitedMs / 1_000).toFixed(1)} s at ${host}, which was cut off`);
    }
  }
  return { count, worstMs };
}
