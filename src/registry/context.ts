import type { BlobStore } from "../blobs/blob-store.ts";
import type { Uploads } from "../blobs/uploads.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import { OciError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { PeerId, RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import type { RepositoryName } from "../core/reference.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Spreader } from "./spreader.ts";

export interface RegistryLimits {
  readonly manifestBytes: number;
  /** How long a write that is short of copies or of its leader is tried again: `http.deadline`. */
  readonly deadlineMs: number;
  /** How long the owner of an upload is awaited while it restarts. */
  readonly ownerWaitMs: number;
  /** L of design.md, where the cluster's record names none. */
  readonly leaseMs: number;
}

export interface RegistryOptions {
  readonly consensus: Consensus;
  readonly blobs: BlobStore;
  readonly uploads: Uploads;
  readonly exchange: Exchange;
  readonly spreader: Spreader;
  readonly self: { readonly peerId: PeerId; readonly raftId: RaftId };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly limits?: Partial<RegistryLimits>;
  /** Throws where this node's disk has no room for more entries of the log; not asked where there is no disk. */
  readonly assertLogRoom?: () => Promise<void>;
  /** Where an index or an image may name content that is not there (http-rules 14); nowhere by default. */
  readonly allowsSparse?: (repository: RepositoryName) => boolean;
}

/** What every use case needs. */
export interface Context extends Omit<RegistryOptions, "limits" | "allowsSparse"> {
  /** L of design.md, as the cluster's record says it. */
  readonly leaseMs: () => number;
  readonly limits: RegistryLimits;
  readonly allowsSparse: (repository: RepositoryName) => boolean;
}

const DEFAULTS: RegistryLimits = {
  manifestBytes: 4 * 1024 * 1024,
  deadlineMs: 10_000,
  ownerWaitMs: 10_000,
  leaseMs: 24 * 3_600_000,
};

export function contextOf(options: RegistryOptions): Context {
  const limits = { ...DEFAULTS, ...options.limits };
  const leaseMs = (): number => options.consensus.catalog.cluster()?.lifetimes?.leaseMs ?? limits.leaseMs;
  return { ...options, limits, leaseMs, allowsSparse: options.allowsSparse ?? (() => false) };
}

/** Runs `work` for at most `limitMs`; what it began may go on after. @throws OciError UNAVAILABLE at the deadline, where `work` heeds its signal */
export async function within<T>(
  clock: Clock,
  limitMs: number,
  signal: AbortSignal,
  work: (limited: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = new AbortController();
  const cancel = clock.after(limitMs, () => {
    deadline.abort(new OciError("UNAVAILABLE", "the blob is still being copied to enough members; send the request again"));
  });
  try {
    return await work(AbortSignal.any([signal, deadline.signal]));
  } finally {
    cancel();
  }
}

/** Waits for what goes on whether or not it is waited for. @throws AbortError when `signal` aborts */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => undefined); // nobody may be left to hear it
  const aborted = Promise.withResolvers<never>();
  const stop = (): void => aborted.reject(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
