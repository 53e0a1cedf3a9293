import type { Clock } from "../core/clock.ts";
import { pause } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import { ConsensusError } from "./errors.ts";
import { decodeHeader, encodeHeader } from "./snapshot-header.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import type { AppliedStore, Staging } from "./store.ts";
import type { Boot, Transport, TransportHandler } from "./transport.ts";

export interface HealOptions {
  readonly self: RaftId;
  readonly boot: Boot;
  readonly store: AppliedStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  /** The other members, as far as they are known. */
  readonly peers: () => readonly RaftId[];
  /** What the log begins after: an older state cannot be brought up to date from it. */
  readonly atLeast: number;
  readonly signal: AbortSignal;
}

const RETRY_MS = 1_000;
/** A peer that was asked and whose snapshot has not come by then: another is asked. What has come of it is kept. */
const PATIENCE_MS = 30_000;

/**
 * Fetches the catalog from another member before this node takes part. Its log, term and vote stay as they are, and it says nothing to anyone meanwhile: to
 * the others it is a node that is down. So it cannot vote wrongly, nor lead, nor acknowledge, nor answer a read.
 * @throws the signal's reason where it is given up; ConsensusError outdated where a member takes nothing of this start
 */
export async function heal(options: HealOptions): Promise<void> {
  const { transport, boot, clock, log, peers, signal } = options;
  let arrived: (index: number) => void = () => undefined;
  const installed = new Promise<number>((resolve) => {
    arrived = resolve;
  });
  const receiver = receiverOf(options, (index) => arrived(index));
  await transport.start(handlerOf(receiver), boot);
  const told = new Map<RaftId, string>();
  try {
    for (;;) {
      for (const peer of peers()) {
        const index = await ask(options, peer, installed).catch((error: unknown) => {
          signal.throwIfAborted();
          if (error instanceof ConsensusError && error.code === "outdated") throw outdated(error);
          const reason = error instanceof Error ? error.message : String(error);
          if (told.get(peer) !== reason) log.warn({ peer, reason }, "a member could not send its catalog: the next one is asked");
          told.set(peer, reason);
          return undefined;
        });
        if (index === undefined) continue;
        log.info({ peer, index }, "the catalog was fetched from another member");
        return;
      }
      await pause(clock, RETRY_MS, signal);
    }
  } finally {
    await receiver.stop();
  }
}

/** As the driver ends: whoever is not the newest start of the node must not wait until somebody takes it for that. */
function outdated(error: ConsensusError): ConsensusError {
  const advice = "A backup was put back, or this node's folder was copied. Replace the node: remove it, and join with an empty folder.";
  return new ConsensusError("outdated", `The catalog is to be fetched from another member. ${error.message} ${advice}`, error.facts);
}

/** @returns the index of the snapshot that was installed, whoever sent it */
async function ask({ transport, atLeast, clock, signal }: HealOptions, peer: RaftId, installed: Promise<number>): Promise<number> {
  await transport.sendSnapshot(peer, encodeHeader({ kind: "request", atLeast }), nothing(), signal);
  const patience = new AbortController();
  const late = pause(clock, PATIENCE_MS, AbortSignal.any([signal, patience.signal])).then(() => {
    throw new ConsensusError("transfer", "Its snapshot has not come.");
  });
  late.catch(() => undefined); // where the snapshot came first
  return Promise.race([installed, late]).finally(() => patience.abort());
}

function receiverOf({ self, store, clock, log, atLeast }: HealOptions, arrived: (index: number) => void): SnapshotReceiver {
  const wants = (index: number): boolean => index >= atLeast && index > store.appliedIndex;
  const install = async (staging: Staging, index: number): Promise<void> => {
    await staging.commit();
    arrived(index);
  };
  return new SnapshotReceiver({ self, store, clock, log, wants, install });
}

function handlerOf(receiver: SnapshotReceiver): TransportHandler {
  return {
    receive: () => undefined,
    refused: () => undefined,
    unreachable: () => undefined,
    receiveSnapshot(from, _boot, bytes, chunks) {
      const header = decodeHeader(bytes);
      if (header.kind === "request") throw new ConsensusError("transfer", "This node's own catalog is damaged.");
      return receiver.take(from, header, chunks);
    },
  };
}

async function* nothing(): AsyncIterable<Uint8Array> {}

/** A transport that is started for healing first and for the driver then: the second start takes the first one's place. */
export function restartable(inner: Transport): Transport {
  let current: TransportHandler | undefined;
  return {
    async start(handler, boot) {
      const first = current === undefined;
      current = handler;
      if (!first) return;
      const now = (): TransportHandler => current ?? handler;
      await inner.start(
        {
          receive: (from, peerBoot, messages) => now().receive(from, peerBoot, messages),
          refused: (by, refusal) => now().refused(by, refusal),
          unreachable: (to) => now().unreachable(to),
          receiveSnapshot: async (from, peerBoot, header, chunks) => now().receiveSnapshot(from, peerBoot, header, chunks),
        },
        boot,
      );
    },
    send: (to, messages) => inner.send(to, messages),
    sendSnapshot: (to, header, chunks, signal) => inner.sendSnapshot(to, header, chunks, signal),
    close: () => inner.close(),
  };
}
