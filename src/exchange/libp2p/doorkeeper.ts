import type { Connection, ConnectionGater } from "@libp2p/interface";
import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { PeerId } from "../../core/peer.ts";
import { hostOf } from "./addresses.ts";

/** What those who are no members may have: enough to join. */
export interface StrangerLimits {
  readonly connectionsMax: number;
  readonly connectionsPerHostMax: number;
  /** A connection whose peer is no member by then is closed. */
  readonly deadlineMs: number;
}

export const STRANGER_LIMITS: StrangerLimits = { connectionsMax: 32, connectionsPerHostMax: 8, deadlineMs: 30_000 };

/** Decides who may hold a connection (G7); streams are checked by the handlers as well. */
export interface Doorkeeper {
  readonly gater: ConnectionGater;
  opened(connection: Connection): void;
  closed(connection: Connection): void;
  /** Ends the connection where its peer was a member and is none now. */
  recheck(connection: Connection): void;
  /** Lets this node dial peers that are no members; the answer ends that. */
  expect(peers: readonly string[]): () => void;
  stop(): void;
}

export function createDoorkeeper(options: {
  readonly isMember: (peer: PeerId) => boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly strangers?: Partial<StrangerLimits>;
}): Doorkeeper {
  const limits = { ...STRANGER_LIMITS, ...options.strangers };
  const strangers = new Map<string, { readonly host: string; readonly cancel: () => void }>();
  const expected = new Map<string, number>();
  const isMember = (peer: { toString(): string }): boolean => options.isMember(peer.toString() as PeerId);

  const isFull = (host: string): boolean =>
    strangers.size >= limits.connectionsMax ||
    [...strangers.values()].filter((stranger) => stranger.host === host).length >= limits.connectionsPerHostMax;

  const close = (connection: Connection, why: string): void => {
    options.log.debug({ peer: connection.remotePeer.toString(), why }, "connection of a stranger closed");
    connection.abort(new Error(why));
  };

  return {
    gater: {
      denyDialPeer: (peer) => !isMember(peer) && !expected.has(peer.toString()),
      denyDialMultiaddr: () => false,
      denyInboundUpgradedConnection: (peer, connection) => !isMember(peer) && isFull(hostOf(connection.remoteAddr.toString())),
    },
    opened(connection) {
      if (isMember(connection.remotePeer)) return;
      const host = hostOf(connection.remoteAddr.toString());
      if (connection.direction === "inbound" && isFull(host)) return close(connection, "too many peers that are no members");
      const cancel = options.clock.after(limits.deadlineMs, () => {
        strangers.delete(connection.id);
        if (!isMember(connection.remotePeer)) close(connection, "no member within the deadline");
      });
      strangers.set(connection.id, { host, cancel });
    },
    closed(connection) {
      strangers.get(connection.id)?.cancel();
      strangers.delete(connection.id);
    },
    recheck(connection) {
      if (!isMember(connection.remotePeer) && !strangers.has(connection.id)) close(connection, "no longer a member");
    },
    expect(peers) {
      for (const peer of peers) expected.set(peer, (expected.get(peer) ?? 0) + 1);
      return () => {
        for (const peer of peers) {
          const left = (expected.get(peer) ?? 1) - 1;
          if (left > 0) expected.set(peer, left);
          else expected.delete(peer);
        }
      };
    },
    stop() {
      for (const { cancel } of strangers.values()) cancel();
      strangers.clear();
    },
  };
}
