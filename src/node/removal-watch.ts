import type { Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { PeerId } from "../core/peer.ts";
import type { Standing } from "../exchange/libp2p/standing.ts";
import type { Member } from "../metadata/records.ts";
import { NodeError } from "./node-error.ts";

export interface RemovalWatchOptions {
  readonly consensus: Pick<Consensus, "catalog" | "self" | "status">;
  /** Asks the member at these addresses. @throws where nobody answers there */
  readonly ask: (addresses: readonly string[], signal: AbortSignal) => Promise<Standing>;
  /** The cluster was recovered without this node's doing, and this node is in the new one too. */
  readonly follow: (peer: PeerId, clusterId: string) => Promise<void>;
  /** Ends a node that runs. */
  readonly fail: (error: Error) => void;
  /** Ends it for good: it is not to start again on its folder. */
  readonly failForGood: (error: NodeError) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  readonly periodMs?: number;
}

const PERIOD_MS = 5_000;
/** One that is in contact with a majority asks too, each so many periods: that majority may be what a recovery has left behind. */
const CALM_PERIODS = 12;
const PATIENCE_MS = 3_000;

/**
 * A node that was removed hears nothing any more, of its removal neither (G7): it would serve what it last knew for ever. So while it is cut off it asks the
 * others, one after the other, where it stands, and so it learns that the cluster was recovered and goes on as another.
 * @returns ends it
 */
export function watchRemoval(options: RemovalWatchOptions): { stop(): void; idle(): Promise<void> } {
  const { consensus, clock } = options;
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  let periods = 0;
  const stopTimer = clock.every(options.periodMs ?? PERIOD_MS, () => {
    periods += 1;
    if (!consensus.status().cutOff && periods % CALM_PERIODS !== 1) return;
    running ??= look(options, stopping.signal).finally(() => {
      running = undefined;
    });
  });
  return {
    stop() {
      stopTimer();
      stopping.abort(new DOMException("the node stops", "AbortError"));
    },
    idle: async () => running,
  };
}

async function look(options: RemovalWatchOptions, stopping: AbortSignal): Promise<void> {
  const { ask, consensus, clock, log } = options;
  for (const member of consensus.catalog.members()) {
    if (member.raftId === consensus.self || stopping.aborted) continue;
    const patience = new AbortController();
    const cancel = clock.after(PATIENCE_MS, () => patience.abort(new DOMException("no answer", "TimeoutError")));
    try {
      const addresses = member.addresses.map((address) => `${address}/p2p/${member.peerId}`);
      const standing = await ask(addresses, AbortSignal.any([stopping, patience.signal]));
      if (await settle(options, member, standing)) return;
    } catch (error) {
      log.debug({ member: member.name, error }, "a member could not be asked where this node stands");
    } finally {
      cancel();
    }
  }
}

/** @returns whether nobody else is to be asked */
async function settle({ fail, failForGood, follow }: RemovalWatchOptions, { name }: Member, standing: Standing): Promise<boolean> {
  switch (standing.kind) {
    case "good":
      return false;
    case "removed":
      fail(
        new NodeError(
          `this node was removed from the cluster, as ${name} says with the cluster's signature: it ends. Its data is of no more use; to come back, join with an empty data folder and a new token`,
        ),
      );
      return true;
    case "superseded":
      if (standing.member) await follow(standing.peer, standing.by.successor);
      else await failForGood(supersededError(standing.by.successor, name));
      return true;
    default:
      return standing satisfies never;
  }
}

function supersededError(successor: string, name: string): NodeError {
  return new NodeError(
    `this node's cluster lost its quorum and was recovered without it, as the cluster ${successor}; ${name} says so with the old cluster's signature: this node ends. To come back, empty its data folder and join with a token of that cluster`,
  );
}
