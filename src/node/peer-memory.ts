import type { Driver } from "../consensus/driver.ts";
import type { Log } from "../core/log.ts";
import { type ClusterState, type Peer, writeClusterState } from "./cluster-state.ts";

/**
 * Keeps the members in `node.json` as the catalog has them: a node whose catalog is damaged finds the others by them.
 * @returns stops it; resolves when what is under way is written
 */
export function rememberPeers(consensus: Driver, data: string, state: ClusterState, log: Log): () => Promise<void> {
  let written = state.peers;
  let writing: Promise<void> | undefined;
  const write = async (): Promise<void> => {
    for (let peers = peersOf(consensus); !areEqual(peers, written); peers = peersOf(consensus)) {
      await writeClusterState(data, { ...state, peers });
      written = peers;
    }
  };
  const look = (): void => {
    writing ??= write()
      // The list is for a bad day: that it is older than it could be is no reason to end.
      .catch((error: unknown) => log.warn({ error: String(error) }, "node.json could not be brought up to date with the members"))
      .finally(() => {
        writing = undefined;
      });
  };
  const stops = [
    consensus.onApplied(({ command, outcome }) => {
      if (outcome.refused === undefined && command.type.startsWith("member.")) look();
    }),
    consensus.onInstalled(look),
  ];
  look();
  return async () => {
    for (const stop of stops) stop();
    await writing;
  };
}

function peersOf({ catalog }: Driver): Peer[] {
  return catalog.members().map(({ raftId, peerId, addresses }) => ({ raftId, peerId, addresses }));
}

function areEqual(some: readonly Peer[], others: readonly Peer[]): boolean {
  return JSON.stringify(some) === JSON.stringify(others.map(({ raftId, peerId, addresses }) => ({ raftId, peerId, addresses })));
}
