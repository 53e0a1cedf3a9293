import { Packr, Unpackr } from "msgpackr";
import { NOT_PLAIN, readPlain } from "./codec-reader.ts";
import { writePlain } from "./codec-writer.ts";

// One codec for commands, records and messages: plain msgpack, maps with string keys in the order of insertion, so that
// the same value built the same way gives the same bytes on every node. Unknown keys survive a round trip, but for
// `__proto__`, which is read as `__proto_`: a foreign annotation cannot set a prototype.
// What is short and plain, as most rows and commands are, takes a shorter way to the same result.
const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: "number", moreTypes: false });
const unpackr = new Unpackr({ useRecords: false, int64AsType: "number", moreTypes: false });

/** The bytes are nobody else's, though they may lie in a buffer with others. */
export function encode(value: unknown): Uint8Array {
  return writePlain(value) ?? packr.pack(value);
}

/** @throws where the bytes are no msgpack; the caller decides what a bad record means */
export function decode(bytes: Uint8Array): unknown {
  const value = readPlain(bytes);
  return value === NOT_PLAIN ? unpackr.unpack(bytes) : value;
}
