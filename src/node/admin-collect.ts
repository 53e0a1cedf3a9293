import type { Digest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { Admin, Collected, CollectorStatus } from "../http/admin.ts";
import type { CollectProgress } from "../upkeep/collect.ts";
import { awaited } from "../upkeep/reclaim.ts";
import type { AdminOptions } from "./admin.ts";

/** Condemned records that are counted: more of them say nothing more. */
const CONDEMNED_MAX = 1_000;

/** What an administrator does with the garbage collector. */
export function createCollectAdmin(
  options: AdminOptions,
): Pick<Admin, "collector" | "collect" | "verification" | "verify" | "foreseeCollection" | "holdCollector" | "releaseCollector"> {
  return {
    collector: () => statusOf(options),
    collect: async () => {
      const held = options.consensus.catalog.collector().held;
      if (held !== undefined) {
        throw new OciError(
          "CONFLICT",
          `the garbage collector is held (${held.reason || "no reason given"}): \`roadstead gc release\` first`,
        );
      }
      options.collector.start();
      return statusOf(options);
    },
    foreseeCollection: async () => collectedOf(options, await options.collector.foresee()),
    verification: async () => options.verification.state(),
    verify: async () => {
      options.verification.start();
      return options.verification.state();
    },
    holdCollector: (reason) => hold(options, true, reason),
    releaseCollector: () => hold(options, false, ""),
  };
}

async function hold(options: AdminOptions, held: boolean, reason: string): Promise<CollectorStatus> {
  const { refused } = await options.consensus.propose({ type: "gc.hold", held, reason });
  if (refused !== undefined)
    throw new OciError("UNAVAILABLE", `the collector was not ${held ? "held" : "released"} (${refused}): try again`);
  return statusOf(options);
}

function collectedOf({ consensus }: AdminOptions, { manifests, links, blobs, freed }: CollectProgress): Collected {
  const nameOf = (raftId: number): string => consensus.catalog.member(raftId)?.name ?? String(raftId);
  return { manifests, links, blobs, freed: freed.map(({ raftId, sizeBytes }) => ({ node: nameOf(raftId), bytes: sizeBytes })) };
}

async function statusOf(options: AdminOptions): Promise<CollectorStatus> {
  const { catalog } = options.consensus;
  const { held, runs } = catalog.collector();
  const { running, here, failure } = options.collector.state();
  const { found } = await catalog.garbage().condemned("", CONDEMNED_MAX);
  const names = new Set(found.flatMap((digest) => namesAwaited(options, digest)));
  return {
    held: held === undefined ? undefined : held.reason || "no reason given",
    running,
    here: here === undefined ? undefined : collectedOf(options, here),
    failure,
    condemned: found.length,
    awaited: [...names].sort(),
    runs: runs.map((run) => ({
      startedAt: new Date(run.startedMs).toISOString(),
      endedAt: new Date(run.endedMs).toISOString(),
      ...collectedOf(options, run),
    })),
  };
}

function namesAwaited({ consensus }: AdminOptions, digest: Digest): readonly string[] {
  const record = consensus.catalog.blob(digest);
  return record?.state === "condemned" ? awaited(consensus.catalog, record) : [];
}
