import { decode, encode } from "../core/codec.ts";
import type { SnapshotMessage } from "../raft/types.ts";
import { ConsensusError } from "./errors.ts";
import { decodeSnapshot, encodeSnapshot } from "./wire.ts";

/**
 * What a stream of the snapshot protocol is about. An `offer` has no content: it asks how much of that snapshot the receiver holds from a stream that was cut.
 * `content` then goes on after the key `after`. A `request` asks the other end to send its snapshot.
 */
export type SnapshotHeader =
  | { readonly kind: "offer"; readonly message: SnapshotMessage; readonly seal: Uint8Array }
  | { readonly kind: "content"; readonly message: SnapshotMessage; readonly seal: Uint8Array; readonly after: string }
  | { readonly kind: "request"; readonly atLeast: number };

const OFFER = 0;
const CONTENT = 1;
const REQUEST = 2;

export function encodeHeader(header: SnapshotHeader): Uint8Array {
  if (header.kind === "request") return encode([REQUEST, header.atLeast]);
  const { message, seal } = header;
  const after = header.kind === "content" ? header.after : "";
  const kind = header.kind === "content" ? CONTENT : OFFER;
  return encode([kind, message.from, message.to, message.term, seal, after, ...encodeSnapshot(message.snapshot)]);
}

/** @throws ConsensusError malformed */
export function decodeHeader(bytes: Uint8Array): SnapshotHeader {
  const fields = decodeFields(bytes);
  const [kind, from, to, term, seal, after, ...rest] = fields;
  if (kind === REQUEST && Number.isSafeInteger(from)) return { kind: "request", atLeast: from as number };
  const good = [from, to, term].every(Number.isSafeInteger) && seal instanceof Uint8Array && typeof after === "string";
  if (!good || (kind !== OFFER && kind !== CONTENT)) throw noHeader();
  const message: SnapshotMessage = {
    type: "snapshot",
    from: from as number,
    to: to as number,
    term: term as number,
    snapshot: snapshotOf(rest),
  };
  const known = { message, seal: new Uint8Array(seal) };
  return kind === OFFER ? { kind: "offer", ...known } : { kind: "content", ...known, after };
}

/** The answer to an offer: the key after which the content is wanted, or undefined where none of it is. */
export function encodeWanted(after: string | undefined): Uint8Array {
  return encode(after === undefined ? [] : [after]);
}

/** @throws ConsensusError malformed */
export function decodeWanted(bytes: Uint8Array): string | undefined {
  const [after] = decodeFields(bytes);
  if (after !== undefined && typeof after !== "string") throw noHeader();
  return after;
}

function snapshotOf(fields: readonly unknown[]): SnapshotMessage["snapshot"] {
  try {
    return decodeSnapshot(fields);
  } catch {
    throw noHeader();
  }
}

function decodeFields(bytes: Uint8Array): unknown[] {
  try {
    const fields = decode(bytes);
    if (Array.isArray(fields)) return fields;
  } catch {
    // told below
  }
  throw noHeader();
}

function noHeader(): ConsensusError {
  return new ConsensusError("malformed", "The header of a snapshot, or the answer to it, is none.");
}
