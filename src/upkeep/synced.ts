import type { Consensus } from "../consensus/consensus.ts";

/** Resolves once the catalog's batches up to `index` are on stable storage: what was decided by them may be acted on. @throws the signal's reason */
export async function untilSynced(consensus: Pick<Consensus, "onSynced" | "status">, index: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stopListening = consensus.onSynced((synced) => {
    if (synced >= index) resolve();
  });
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  if (consensus.status().syncedIndex >= index) resolve();
  await promise.finally(() => {
    stopListening();
    signal.removeEventListener("abort", abort);
  });
}
