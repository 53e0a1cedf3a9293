import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { PeerId } from "../core/peer.ts";
import { Channel } from "../exchange/libp2p/channel.ts";
import type { Host } from "../exchange/libp2p/host.ts";
import { asFields } from "../exchange/libp2p/wire.ts";
import type { DiskFindings } from "../upkeep/verify-disk.ts";

export const VERIFY_PROTOCOL = "/roadstead/verify/1.0.0";

const FRAME_SIZE_MAX = 16 * 1024;
/** While it looks it says so, so that one that died is told from one that has much to look at. */
const ALIVE_MS = 1_000;
const SILENCE_MS = 10_000;

/** Compares this node's disk with its catalog for a member that asks. */
export async function serveVerify(host: Host, clock: Clock, verify: (signal: AbortSignal) => Promise<DiskFindings>): Promise<void> {
  await host.handle(
    VERIFY_PROTOCOL,
    async (stream) => {
      const channel = new Channel(stream);
      const gone = new AbortController();
      channel.onClosed(() => gone.abort(new DOMException("who asked went away", "AbortError")));
      await channel.readFrame(FRAME_SIZE_MAX);
      const stop = clock.every(ALIVE_MS, () => void channel.writeFrame({ alive: true }).catch(() => undefined));
      try {
        const findings = await verify(gone.signal);
        stop();
        await channel.writeFrame({ ...findings });
        await channel.end(clock);
      } finally {
        stop();
      }
    },
    { streamsMax: 2 },
  );
}

/** @returns undefined where the member does not answer, or falls silent */
export async function askVerify(host: Host, peer: PeerId, clock: Clock, log: Log): Promise<DiskFindings | undefined> {
  const controller = new AbortController();
  const silent = (): void => controller.abort(new DOMException("no answer in time", "TimeoutError"));
  let cancel = clock.after(SILENCE_MS, silent);
  let channel: Channel | undefined;
  try {
    channel = new Channel(await host.dial(peer, VERIFY_PROTOCOL, controller.signal));
    channel.abortOn(controller.signal);
    await channel.writeFrame({});
    for (;;) {
      const fields = asFields((await channel.readFrame(FRAME_SIZE_MAX)) ?? {});
      cancel();
      cancel = clock.after(SILENCE_MS, silent);
      if (fields.alive === true) continue;
      await channel.end(clock);
      return findingsOf(fields);
    }
  } catch (error) {
    log.debug({ peer, error }, "a member did not compare its disk with its catalog");
    channel?.abort(error instanceof Error ? error : new Error(String(error)));
    return undefined;
  } finally {
    cancel();
  }
}

function findingsOf(fields: Readonly<Record<string, unknown>>): DiskFindings | undefined {
  const { files, copies, missingCount, strayCount, missing, strays } = fields;
  const isGood =
    [files, copies, missingCount, strayCount].every((count) => typeof count === "number") &&
    Array.isArray(missing) &&
    Array.isArray(strays);
  return isGood ? (fields as unknown as DiskFindings) : undefined;
}
