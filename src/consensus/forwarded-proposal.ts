import { createHash } from "node:crypto";
import { decodeEntry, ENTRY_BYTES_MAX, ENTRY_OVERHEAD_BYTES, stampEntry } from "../metadata/entry.ts";
import { HaltError } from "../metadata/halt-error.ts";

/**
 * Why a forwarded envelope may not enter the log, undefined where it may. Once it is there, every node has to apply it: one that does not know the command
 * halts, rather than go another way than those that do. So the leader reads it first, as `apply` will.
 */
export function envelopeFault(envelope: Uint8Array): string | undefined {
  if (envelope.byteLength > ENTRY_BYTES_MAX - ENTRY_OVERHEAD_BYTES) {
    return `it has ${envelope.byteLength} bytes, more than an entry takes (${ENTRY_BYTES_MAX})`;
  }
  try {
    const [read] = decodeEntry(stampEntry(0, envelope)).envelopes;
    return read === undefined ? "it is no well-formed command" : undefined;
  } catch (error) {
    if (error instanceof HaltError) return "the leader does not know such a command; run the same version of roadstead on both";
    throw error;
  }
}

/** Names an envelope to the node that sent it, also where nothing in it can be read. */
export function envelopeHash(envelope: Uint8Array): Uint8Array {
  return createHash("sha256").update(envelope).digest();
}
