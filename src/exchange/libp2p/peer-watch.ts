import type { Connection } from "@libp2p/interface";
import type { Clock } from "../../core/clock.ts";
import type { PeerId } from "../../core/peer.ts";
import type { PeerTable } from "../peer-table.ts";
import type { Host } from "./host.ts";

const PERIOD_MS = 5_000;
const ANSWER_MS = 10_000;
/** Unanswered pings after which the connection is taken for dead, where nothing else has come over it either. */
const MISSES_MAX = 2;

/** Pings the members that this node is connected to, for the round-trip time and to end connections that died without a word. */
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

  return clock.every(PERIOD_MS, () => {
    for (const peer of host.node.getPeers()) {
      const connection = host.isMember(peer.toString() as PeerId) ? host.connection(peer.toString() as PeerId) : undefined;
      if (connection !== undefined && !busy.has(connection)) void probe(connection);
    }
  });
}
