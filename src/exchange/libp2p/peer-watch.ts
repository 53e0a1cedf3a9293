import type { Connection, Libp2pEvents } from "@libp2p/interface";
import type { Clock } from "../../core/clock.ts";
import type { PeerId } from "../../core/peer.ts";
import type { PeerTable } from "../peer-table.ts";
import type { Host } from "./host.ts";

const PERIOD_MS = 5_000;
const ANSWER_MS = 10_000;
/** Unanswered pings after which the connection is taken for dead, where nothing else has come over it either. */
const MISSES_MAX = 2;

/**
 * Pings the members that this node is connected to, at once and then every few seconds: for the round-trip time, so that a hung one is asked last by the
 * pulls, and to end connections that died without a word.
 */
export function watchPeers(host: Host, clock: Clock, table: PeerTable): () => void {
  const missed = new WeakMap<Connection, number>();
  const busy = new WeakSet<Connection>();

  const probe = async (connection: Connection): Promise<void> => {
    const controller = new AbortController();
    const cancel = clock.after(ANSWER_MS, () => controller.abort(new DOMException("no answer to a ping", "TimeoutError")));
    busy.add(connection);
    try {
      table.sawRtt(
        connection.remotePeer.toString() as PeerId,
        await host.node.services.ping.ping(connection.remotePeer, { signal: controller.signal }),
      );
      missed.delete(connection);
    } catch (error) {
      const misses = (missed.get(connection) ?? 0) + 1;
      missed.set(connection, misses);
      if (misses >= MISSES_MAX) connection.abort(error instanceof Error ? error : new Error(String(error)));
    } finally {
      cancel();
      busy.delete(connection);
    }
  };

  const memberConnection = (peer: PeerId): Connection | undefined => (host.isMember(peer) ? host.connection(peer) : undefined);
  const opened = ({ detail: peer }: Libp2pEvents["peer:connect"]): void => {
    const connection = memberConnection(peer.toString() as PeerId);
    if (connection !== undefined && !busy.has(connection)) void probe(connection);
  };
  host.node.addEventListener("peer:connect", opened);
  const endRounds = clock.every(PERIOD_MS, () => {
    for (const peer of host.node.getPeers().map((each) => each.toString() as PeerId)) {
      const connection = memberConnection(peer);
      if (connection === undefined) continue;
      if (busy.has(connection)) table.suspect(peer);
      else void probe(connection);
    }
  });
  return () => {
    host.node.removeEventListener("peer:connect", opened);
    endRounds();
  };
}
