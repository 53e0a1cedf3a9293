import { handOver } from "../consensus/hand-over.ts";
import type { Membership } from "../consensus/membership.ts";
import { type Clock, pause } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { HttpListener } from "../http/http.ts";

/** How far a node is on its way out; its doors look at it. */
export interface Departure {
  /** It was asked to stop: it serves everything still, and says that it is not ready. */
  stopping: boolean;
  /** It takes no new connection. */
  closing: boolean;
}

export interface Leaving {
  readonly departure: Departure;
  readonly listener: Pick<HttpListener, "endConnections" | "close">;
  readonly exchange: { finish(signal: AbortSignal): Promise<void> };
  /** What sends to peers, or gets from them, by itself: nothing more of it begins. */
  readonly movers: readonly { stop(): void }[];
  readonly membership: Membership;
  readonly clock: Clock;
  readonly log: Log;
  readonly delayMs: number;
  readonly timeoutMs: number;
  /** An election's time: a successor that has not taken over by then will not. */
  readonly handOverMs: number;
}

/**
 * Takes a node out of service without a failed request: clients and leadership go elsewhere first, then what runs may end, with clients before with
 * peers, for a client's request may need a peer. Resolves when nothing runs, at the latest after `timeoutMs`; connections of clients are cut by then.
 */
export async function leave(leaving: Leaving): Promise<void> {
  const { departure, listener, exchange, movers, membership, clock, log, timeoutMs } = leaving;
  const deadline = new AbortController();
  const beganMs = clock.monotonicMs();
  const cancel = clock.after(timeoutMs, () => deadline.abort(new DOMException("shutdown.timeout is over", "AbortError")));
  departure.stopping = true;
  listener.endConnections();
  for (const mover of movers) mover.stop();
  await Promise.all([
    pause(clock, leaving.delayMs, deadline.signal).catch(() => undefined), // a delay beyond the timeout ends with it
    handOver(membership, clock, Math.min(leaving.handOverMs, timeoutMs)),
  ]);
  departure.closing = true;
  await listener.close(Math.max(0, timeoutMs - (clock.monotonicMs() - beganMs)));
  await exchange.finish(deadline.signal);
  cancel();
  if (deadline.signal.aborted) log.warn({ timeoutMs }, "what still ran after shutdown.timeout was cut: its clients have to ask again");
}
