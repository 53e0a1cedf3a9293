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
 * A node that was removed hears nothing any more, of its removal neither (G7): it would serve what it last knew for ever. So at its start, and while it is cut
 * off, it asks the others where it stands, and so it learns too that the cluster was recovered and goes on as another.
 * @returns ends it
 */
export function watchRemoval(options: RemovalWatchOptions): { stop(): void; idle(): Promise<void> } {
  const { consensus, clock } = options;
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  let calmPeriods = 0;
  const wake = (): void => {
    running ??= look(options, stopping.signal).finally(() => {
      running = undefined;
    });
  };
  const stopTimer = clock.every(options.periodMs ?? PERIOD_MS, () => {
    calmPeriods = consensus.status().cutOff ? CALM_PERIODS : calmPeriods + 1;
    if (calmPeriods < CALM_PERIODS) return;
    calmPeriods = 0;
    wake();
  });
  wake();
  return {
    stop() {
      stopTimer();
      stopping.abort(new DOMException("the node stops", "AbortError"));
    },
    idle: async () => running,
  };
}

async function look(options: RemovalWatchOptions, stopping: AbortSignal): Promise<void> {
  const { consensus, log } = options;
  const others = consensus.catalog.members().filter(({ raftId }) => raftId !== consensus.self);
  const answers = await Promise.all(others.map((member) => standingAt(options, member, stopping)));
  // one that is out of both has nothing to follow
  for (const kind of ["superseded", "removed"]) {
    for (const [at, { name }] of others.entries()) {
      const answer = answers[at];
      if (answer?.kind !== kind || stopping.aborted) continue;
      try {
        await settle(options, name, answer);
        return;
      } catch (error) {
        log.warn({ member: name, error: String(error) }, "the recovered cluster could not be followed yet: it is tried again");
      }
    }
  }
}

/** @returns undefined where it does not answer */
async function standingAt({ ask, clock, log }: RemovalWatchOptions, member: Member, stopping: AbortSignal): Promise<Standing | undefined> {
  const patience = new AbortController();
  const cancel = clock.after(PATIENCE_MS, () => patience.abort(new DOMException("no answer", "TimeoutError")));
  try {
    const addresses = member.addresses.map((address) => `${address}/p2p/${member.peerId}`);
    return await ask(addresses, AbortSignal.any([stopping, patience.signal]));
  } catch (error) {
    log.debug({ member: member.name, error }, "a member could not be asked where this node stands");
    return undefined;
  } finally {
    cancel();
  }
}

async function settle({ fail, failForGood, follow }: RemovalWatchOptions, name: string, standing: Standing): Promise<void> {
  if (standing.kind === "superseded") {
    if (standing.member) return follow(standing.peer, standing.by.successor);
    return failForGood(supersededError(standing.by.successor, name));
  }
  fail(
    new NodeError(
      `this node was removed from the cluster, as ${name} says with the cluster's signature: it ends. Its data is of no more use; to come back, join with an empty data folder and a new token`,
    ),
  );
}

function supersededError(successor: string, name: string): NodeError {
  return new NodeError(
    `this node's cluster lost its quorum and was recovered without it, as the cluster ${successor}; ${name} says so with the old cluster's signature: this node ends. To come back, empty its data folder and join with a token of that cluster`,
  );
}
