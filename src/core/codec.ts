import { Packr, Unpackr } from "msgpackr";

// One codec for commands, records and messages: plain msgpack, maps with string keys in the order of insertion, so that
// the same value built the same way gives the same bytes on every node. Unknown keys survive a round trip, but for
// `__proto__`, which is read as `__proto_`: a foreign annotation cannot set a prototype.
const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: "number", moreTypes: false });
const unpackr = new Unpackr({ useRecords: false, int64AsType: "number", moreTypes: false });

/** The bytes are a copy of their own: the encoder's buffer is reused. */
export function encode(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** @throws where the bytes are no msgpack; the caller decides what a bad record means */
export function decode(bytes: Uint8Array): unknown {
  return unpackr.unpack(bytes);
}
