import type { Uploads } from "../blobs/uploads.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";

export interface ExpireOptions {
  readonly uploads: Pick<Uploads, "expire">;
  readonly clock: Clock;
  readonly log: Log;
  readonly periodMs?: number;
}

const PERIOD_MS = 5 * 60_000;

/** Drops upload sessions that were idle for longer than `uploads.expireAfter`. Leases need no loop: they are compared with catalog time where they count. */
export function startExpiring({ uploads, clock, log, periodMs = PERIOD_MS }: ExpireOptions): { stop(): void; idle(): Promise<void> } {
  let running: Promise<void> | undefined;
  const run = async (): Promise<void> => {
    try {
      const sessions = await uploads.expire();
      if (sessions > 0) log.info({ sessions }, "idle upload sessions were dropped");
    } catch (error) {
      log.error({ error }, "idle upload sessions could not be dropped: it is tried again");
    }
  };
  const stop = clock.every(periodMs, () => {
    running ??= run().finally(() => {
      running = undefined;
    });
  });
  return { stop, idle: async () => running };
}
