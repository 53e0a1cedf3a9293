const ASCII_END = 0x80;
/** Keys and other short texts come again and again: each is made once. */
const TEXTS = 1_024;
const SHORT_TEXT_BYTES = 32;

const texts = new Array<string>(TEXTS).fill("");
const double = new DataView(new ArrayBuffer(8));
let source: Uint8Array;
let bytes: Buffer;
let at = 0;
let end = 0;
/** Something is left to the library. What is read after that counts for nothing. */
let failed = false;

/** What stands for a value that has to be read by the library. */
export const NOT_PLAIN = Symbol("not plain");

/** Reads plain msgpack as the library does, twice as fast. `NOT_PLAIN` where it is more than that, or is damaged. */
export function readPlain(encoded: Uint8Array): unknown {
  source = encoded;
  bytes = encoded instanceof Buffer ? encoded : Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  at = 0;
  end = bytes.byteLength;
  failed = false;
  const value = read();
  return failed || at !== end ? NOT_PLAIN : value;
}

function fail(): undefined {
  failed = true;
  return undefined;
}

function read(): unknown {
  if (at >= end) return fail();
  const head = bytes[at++]!;
  if (head < 0x80) return head;
  if (head < 0x90) return readMap(head & 0x0f);
  if (head < 0xa0) return readList(head & 0x0f);
  if (head < 0xc0) return readText(head & 0x1f);
  switch (head) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xc4:
      return readBytes(readNatural(1));
    case 0xc5:
      return readBytes(readNatural(2));
    case 0xcb:
      return readDouble();
    case 0xcc:
      return readNatural(1);
    case 0xcd:
      return readNatural(2);
    case 0xce:
      return readNatural(4);
    case 0xd4:
      return readUndefined();
    case 0xd9:
      return readText(readNatural(1));
    case 0xdc:
      return readList(readNatural(2));
    default:
      return fail();
  }
}

/** The one extension that is plain. */
function readUndefined(): undefined {
  if (at + 2 > end || bytes[at] !== 0 || bytes[at + 1] !== 0) return fail();
  at += 2;
  return undefined;
}

function readNatural(sizeBytes: number): number {
  if (at + sizeBytes > end) {
    failed = true;
    return 0;
  }
  let value = 0;
  for (let place = 0; place < sizeBytes; place += 1) value = value * 0x1_00 + bytes[at++]!;
  return value;
}

function readDouble(): number | undefined {
  if (at + 8 > end) return fail();
  for (let place = 0; place < 8; place += 1) double.setUint8(place, bytes[at++]!);
  return double.getFloat64(0);
}

/** They share memory with what is read. */
function readBytes(sizeBytes: number): Uint8Array | undefined {
  if (at + sizeBytes > end) return fail();
  const from = at;
  at += sizeBytes;
  return source.subarray(from, at);
}

/** ASCII alone. */
function readText(sizeBytes: number): string | undefined {
  if (at + sizeBytes > end) return fail();
  const from = at;
  let hash = sizeBytes;
  while (at < from + sizeBytes) {
    const code = bytes[at++]!;
    if (code >= ASCII_END) return fail();
    hash = (hash * 31 + code) | 0;
  }
  if (sizeBytes > SHORT_TEXT_BYTES) return bytes.toString("latin1", from, at);
  const place = (hash ^ (hash >>> 10)) & (TEXTS - 1);
  const known = texts[place]!;
  if (isAt(known, from, sizeBytes)) return known;
  const text = bytes.toString("latin1", from, at);
  texts[place] = text;
  return text;
}

function isAt(text: string, from: number, sizeBytes: number): boolean {
  if (text.length !== sizeBytes) return false;
  for (let place = 0; place < sizeBytes; place += 1) if (text.charCodeAt(place) !== bytes[from + place]) return false;
  return true;
}

function readList(length: number): unknown[] | undefined {
  // Each element takes a byte at least.
  if (length > end - at) return fail();
  const list = new Array<unknown>(length);
  for (let place = 0; place < length && !failed; place += 1) list[place] = read();
  return list;
}

function readMap(count: number): Record<string, unknown> | undefined {
  const map: Record<string, unknown> = {};
  for (let place = 0; place < count && !failed; place += 1) {
    const head = at < end ? bytes[at++]! : 0;
    const key = head >= 0xa0 && head < 0xc0 ? readText(head & 0x1f) : fail();
    if (key === undefined || key === "__proto__") return fail();
    map[key] = read();
  }
  return map;
}
