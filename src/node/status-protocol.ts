import type { DiskState } from "../blobs/disk/disk-reserve.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { type PeerId, parsePeerId } from "../core/peer.ts";
import { Channel } from "../exchange/libp2p/channel.ts";
import type { Host } from "../exchange/libp2p/host.ts";
import { asFields } from "../exchange/libp2p/wire.ts";
import { packUpkeep, parseUpkeep, type UpkeepVitals } from "./upkeep-vitals.ts";

export const STATUS_PROTOCOL = "/roadstead/status/1.0.0";

/** What a member says of itself when it is asked. */
export interface Vitals {
  readonly appliedIndex: number;
  readonly blobs: number;
  readonly bytes: number;
  readonly cutOff: boolean;
  /** Its wall clock, as it answers. */
  readonly wallMs: number;
  /** Undefined where its file system, or a node of an older version, does not tell. */
  readonly disk: DiskState | undefined;
  /** Undefined where a node of another version does not tell. */
  readonly upkeep: UpkeepVitals | undefined;
}

const ANSWER_SIZE_MAX = 4 * 1024;
/** A node that says nothing for so long is shown as not alive. */
const PATIENCE_MS = 1_500;
/** It tries for as long itself. */
const WITNESS_PATIENCE_MS = 3 * PATIENCE_MS;

/** Answers members: with this node's vitals, or whether it reaches another member, tried at once. */
export async function serveVitals(host: Host, clock: Clock, log: Log, vitals: () => Promise<Vitals>): Promise<void> {
  await host.handle(STATUS_PROTOCOL, async (stream) => {
    const channel = new Channel(stream);
    const { reach } = asFields((await channel.readFrame(ANSWER_SIZE_MAX)) ?? {});
    const peer = typeof reach === "string" ? parsePeerId(reach) : undefined;
    if (peer === undefined) await channel.writeFrame(toFields(await vitals()));
    else await channel.writeFrame({ reached: (await askVitals(host, peer, clock, log)) !== undefined });
    await channel.end(clock);
  });
}

/** @returns undefined where the member does not answer in time: it is down, or cannot be reached from here */
export async function askVitals(host: Host, peer: PeerId, clock: Clock, log: Log): Promise<Vitals | undefined> {
  const fields = await ask(host, peer, {}, PATIENCE_MS, clock, log);
  const { appliedIndex, blobs, bytes, cutOff, wallMs } = fields ?? {};
  if (typeof appliedIndex !== "number" || typeof blobs !== "number" || typeof bytes !== "number") return undefined;
  if (typeof wallMs !== "number") return undefined;
  return { appliedIndex, blobs, bytes, cutOff: cutOff === true, wallMs, disk: diskOf(fields ?? {}), upkeep: parseUpkeep(fields ?? {}) };
}

function toFields({ disk, upkeep, ...vitals }: Vitals): Readonly<Record<string, string | number | boolean>> {
  return { ...vitals, ...disk, ...(upkeep === undefined ? {} : packUpkeep(upkeep)) };
}

function diskOf({ freeBytes, reserveBytes, low }: Readonly<Record<string, unknown>>): DiskState | undefined {
  if (typeof freeBytes !== "number" || typeof reserveBytes !== "number") return undefined;
  return low === "no" || low === "blobs" || low === "writes" ? { freeBytes, reserveBytes, low } : undefined;
}

/** Whether `witness` reaches `peer`. @returns undefined where the witness does not answer */
export async function askReach(host: Host, witness: PeerId, peer: PeerId, clock: Clock, log: Log): Promise<boolean | undefined> {
  const fields = await ask(host, witness, { reach: peer }, WITNESS_PATIENCE_MS, clock, log);
  return typeof fields?.reached === "boolean" ? fields.reached : undefined;
}

async function ask(
  host: Host,
  peer: PeerId,
  request: Readonly<Record<string, string>>,
  patienceMs: number,
  clock: Clock,
  log: Log,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const controller = new AbortController();
  const cancel = clock.after(patienceMs, () => controller.abort(new DOMException("no answer in time", "TimeoutError")));
  let channel: Channel | undefined;
  try {
    channel = new Channel(await host.dial(peer, STATUS_PROTOCOL, controller.signal));
    channel.abortOn(controller.signal);
    await channel.writeFrame(request); // who answers before it was asked speaks to a stream that nobody listens to yet
    const fields = asFields(await channel.readFrame(ANSWER_SIZE_MAX));
    await channel.end(clock);
    return fields;
  } catch (error) {
    log.debug({ peer, error }, "a member did not answer for its status");
    channel?.abort(error instanceof Error ? error : new Error(String(error)));
    return undefined;
  } finally {
    cancel();
  }
}
