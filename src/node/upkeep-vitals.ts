import type { DiskBlobStore } from "../blobs/disk/blob-store.ts";
import type { SnapshotProgress } from "../consensus/consensus.ts";
import type { Amount } from "../upkeep/standing.ts";
import type { Upkeep } from "./upkeep.ts";

/** What a node says of its background work. */
export interface UpkeepVitals {
  /** Records that are short of copies anywhere, as this node's catalog says. */
  readonly short: Amount;
  /** Records that this node is to move; and the bytes of copies that it has to send for them. */
  readonly moving: Amount;
  /** Bad copies in its quarantine. */
  readonly quarantined: number;
  /** Bytes a second that it sends of late to make copies again, to move them, and that its scrub reads. */
  readonly repairRate: number;
  readonly moveRate: number;
  readonly scrub: ScrubVitals;
  /** Of the catalog, to a member that is behind: the first of those that it sends. */
  readonly snapshot: SnapshotProgress | undefined;
}

export interface ScrubVitals {
  readonly running: boolean;
  /** From 0 to 1. */
  readonly done: number;
  /** Wall time at which the last full one ended. */
  readonly endedAtMs: number | undefined;
  /** `durability.scrubRate` is too slow for `durability.scrubEvery`. */
  readonly isLate: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

export async function upkeepVitals(
  { repair, rebalance, scrub }: Upkeep,
  blobs: Pick<DiskBlobStore, "quarantined">,
  snapshot: SnapshotProgress | undefined,
): Promise<UpkeepVitals> {
  const { running, done, endedAtMs, isLate } = scrub.status();
  return {
    short: repair.shortage.amount,
    moving: rebalance.amount,
    quarantined: await blobs.quarantined().catch(() => 0), // a disk that fails: the rest is worth telling
    repairRate: repair.meter.bytesPerSecond(),
    moveRate: rebalance.meter.bytesPerSecond(),
    scrub: { running, done, endedAtMs, isLate },
    snapshot,
  };
}

/** For the wire, where all is flat. */
export function packUpkeep(vitals: UpkeepVitals): Record<string, number | boolean> {
  const { short, moving, quarantined, repairRate, moveRate, scrub, snapshot } = vitals;
  return {
    ...{ shortBlobs: short.blobs, shortBytes: short.bytes, movingBlobs: moving.blobs, movingBytes: moving.bytes },
    ...{ quarantined, repairRate, moveRate, scrubRunning: scrub.running, scrubDone: scrub.done, scrubIsLate: scrub.isLate },
    ...(scrub.endedAtMs === undefined ? {} : { scrubEndedAtMs: scrub.endedAtMs }),
    ...(snapshot === undefined ? {} : { snapshotTo: snapshot.to, snapshotBytes: snapshot.sentBytes, snapshotMs: snapshot.tookMs }),
  };
}

/** Undefined where the node does not tell, or not in these words. */
export function parseUpkeep(fields: Fields): UpkeepVitals | undefined {
  const number = (name: string): number => {
    const value = fields[name];
    return typeof value === "number" ? value : Number.NaN;
  };
  const ended = fields.scrubEndedAtMs;
  const vitals = {
    short: { blobs: number("shortBlobs"), bytes: number("shortBytes") },
    moving: { blobs: number("movingBlobs"), bytes: number("movingBytes") },
    quarantined: number("quarantined"),
    repairRate: number("repairRate"),
    moveRate: number("moveRate"),
    scrub: {
      running: fields.scrubRunning === true,
      done: number("scrubDone"),
      endedAtMs: typeof ended === "number" ? ended : undefined,
      isLate: fields.scrubIsLate === true,
    },
    snapshot: typeof fields.snapshotTo === "number" ? snapshotOf(number) : undefined,
  };
  const { short, moving, quarantined, repairRate, moveRate, scrub } = vitals;
  const numbers = [short.blobs, short.bytes, moving.blobs, moving.bytes, quarantined, repairRate, moveRate, scrub.done];
  return numbers.some(Number.isNaN) ? undefined : vitals;
}

function snapshotOf(number: (name: string) => number): SnapshotProgress {
  return { to: number("snapshotTo"), sentBytes: number("snapshotBytes"), tookMs: number("snapshotMs") };
}
