import type { Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { NodeError } from "./node-error.ts";

export interface RemovalWatchOptions {
  readonly consensus: Pick<Consensus, "catalog" | "self" | "status">;
  /** Asks the member at these addresses. @throws where nobody answers there */
  readonly ask: (addresses: readonly string[], signal: AbortSignal) => Promise<boolean>;
  /** Ends a node that runs. */
  readonly fail: (error: Error) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly periodMs?: number;
}

const PERIOD_MS = 5_000;
const PATIENCE_MS = 3_000;

/**
 * A node that was removed hears nothing any more, of its removal neither (G7): it would serve what it last knew for ever. So while it is cut off it asks the
 * others, one after the other, whether it is out.
 * @returns ends it
 */
export function watchRemoval(options: RemovalWatchOptions): { stop(): void; idle(): Promise<void> } {
  const { consensus, clock, fail, log } = options;
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  const stopTimer = clock.every(options.periodMs ?? PERIOD_MS, () => {
    if (!consensus.status().cutOff) return;
    running ??= look().finally(() => {
      running = undefined;
    });
  });
  const look = async (): Promise<void> => {
    for (const member of consensus.catalog.members()) {
      if (member.raftId === consensus.self || stopping.signal.aborted) continue;
      const patience = new AbortController();
      const cancel = clock.after(PATIENCE_MS, () => patience.abort(new DOMException("no answer", "TimeoutError")));
      try {
        const addresses = member.addresses.map((address) => `${address}/p2p/${member.peerId}`);
        if (!(await options.ask(addresses, AbortSignal.any([stopping.signal, patience.signal])))) continue;
        fail(
          new NodeError(
            `this node was removed from the cluster, as ${member.name} says with the cluster's signature: it ends. Its data is of no more use; to come back, join with an empty data folder and a new token`,
          ),
        );
        return;
      } catch (error) {
        log.debug({ member: member.name, error }, "a member could not be asked whether this node was removed");
      } finally {
        cancel();
      }
    }
  };
  return {
    stop() {
      stopTimer();
      stopping.abort(new DOMException("the node stops", "AbortError"));
    },
    idle: async () => running,
  };
}
