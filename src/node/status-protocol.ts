import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { PeerId } from "../core/peer.ts";
import { Channel } from "../exchange/libp2p/channel.ts";
import type { Host } from "../exchange/libp2p/host.ts";
import { asFields, count } from "../exchange/libp2p/wire.ts";

export const STATUS_PROTOCOL = "/roadstead/status/1.0.0";

/** What a member says of itself when it is asked. */
export interface Vitals {
  readonly appliedIndex: number;
  readonly blobs: number;
  readonly bytes: number;
  readonly cutOff: boolean;
}

const ANSWER_SIZE_MAX = 4 * 1024;
/** A node that says nothing for so long is shown as not alive. */
const PATIENCE_MS = 500;

export async function serveVitals(host: Host, clock: Clock, vitals: () => Vitals): Promise<void> {
  await host.handle(STATUS_PROTOCOL, async (stream) => {
    const channel = new Channel(stream);
    await channel.readFrame(ANSWER_SIZE_MAX);
    await channel.writeFrame(vitals());
    await channel.end(clock);
  });
}

/** @returns undefined where the member does not answer in time: it is down, or cannot be reached from here */
export async function askVitals(host: Host, peer: PeerId, clock: Clock, log: Log): Promise<Vitals | undefined> {
  const controller = new AbortController();
  const cancel = clock.after(PATIENCE_MS, () => controller.abort(new DOMException("no answer in time", "TimeoutError")));
  let channel: Channel | undefined;
  try {
    channel = new Channel(await host.dial(peer, STATUS_PROTOCOL, controller.signal));
    channel.abortOn(controller.signal);
    await channel.writeFrame({}); // who answers before it was asked speaks to a stream that nobody listens to yet
    const fields = asFields(await channel.readFrame(ANSWER_SIZE_MAX));
    await channel.end(clock);
    return {
      appliedIndex: count(fields, "appliedIndex"),
      blobs: count(fields, "blobs"),
      bytes: count(fields, "bytes"),
      cutOff: fields.cutOff === true,
    };
  } catch (error) {
    log.debug({ peer, error }, "a member did not answer with its vitals");
    channel?.abort(error instanceof Error ? error : new Error(String(error)));
    return undefined;
  } finally {
    cancel();
  }
}
