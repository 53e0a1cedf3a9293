import { setTimeout as pause } from "node:timers/promises";
import { digestOf } from "../../src/core/digest.ts";
import type { Host } from "./host.ts";
import type { RunRecord } from "./record.ts";
import { ask, write } from "./requests.ts";

const POLL_MS = 100;
const BETWEEN_MS = 500;

/**
 * G3 at a host that has no contact with a majority: from when it knows, it pulls by tag and by digest with `Warning: 110`, and refuses what is written.
 * How long that took is judged at the end, with the writes of the clients.
 * @param ended aborts before the partition is mended
 */
export async function probeCutOff(record: RunRecord, host: Host, ended: AbortSignal): Promise<void> {
  while (!(await knowsItIsCutOff(host))) {
    if (ended.aborted) {
      record.count("partitions that ended before a host knew");
      return;
    }
    await pause(POLL_MS);
  }
  const time = { host: host.name, from: performance.now(), to: performance.now() };
  record.cutOff.push(time);
  while (!ended.aborted) {
    await probeOnce(record, host, ended);
    time.to = performance.now();
    await pause(BETWEEN_MS, undefined, { signal: ended }).catch(() => undefined);
  }
}

async function knowsItIsCutOff(host: Host): Promise<boolean> {
  return (await host.status().catch(() => undefined))?.cutOff === true;
}

async function probeOnce(record: RunRecord, host: Host, ended: AbortSignal): Promise<void> {
  const known = record.images.find(({ state }) => state === "kept");
  if (known === undefined) return;
  const { repository } = known;
  const listed = await ask(host, "GET", `/v2/${repository}/tags/list`);
  if (ended.aborted) return;
  if (listed?.status === 404 && listed.stale) return; // it was behind when it was cut off
  const tags =
    listed?.status === 200 ? ((JSON.parse(new TextDecoder().decode(listed.bytes)) as { tags: string[] | null }).tags ?? []) : undefined;
  if (tags === undefined || listed?.stale !== true) {
    record.violation(
      `G3: ${host.name}, cut off, answered ${listed?.status ?? "nothing"} for the tags of ${repository}, stale: ${listed?.stale}`,
    );
    return;
  }
  const tag = tags.at(-1);
  if (tag === undefined) return;
  const byTag = await ask(host, "GET", `/v2/${repository}/manifests/${tag}`);
  if (ended.aborted) return;
  if (byTag?.status !== 200 || !byTag.stale) {
    record.violation(`G3: ${host.name}, cut off, answered ${byTag?.status ?? "nothing"} for the tag ${tag}, stale: ${byTag?.stale}`);
    return;
  }
  const byDigest = await ask(host, "GET", `/v2/${repository}/manifests/${digestOf(byTag.bytes)}`);
  if (ended.aborted) return;
  if (byDigest?.status !== 200 || !byDigest.stale || digestOf(byDigest.bytes) !== digestOf(byTag.bytes))
    record.violation(
      `G3: ${host.name}, cut off, answered ${byDigest?.status ?? "nothing"} for a manifest by digest, stale: ${byDigest?.stale}`,
    );
  else record.count("pulls of a cut-off host, with Warning: 110");
  const headers = { "content-type": byTag.headers.get("content-type") ?? "" };
  const path = `/v2/${repository}/manifests/probe-${host.name}`;
  const put = await write(record, "manifest", host, "PUT", path, { headers, body: byTag.bytes });
  if (ended.aborted) return;
  if (put?.status === 503 && put.headers.get("retry-after") !== null) record.count("writes refused by a cut-off host");
  else
    record.violation(
      `G3: ${host.name}, cut off, answered ${put?.status ?? "nothing"} to a write, Retry-After: ${put?.headers.get("retry-after")}`,
    );
}
