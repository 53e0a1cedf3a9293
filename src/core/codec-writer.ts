// What is written goes into slabs, one after the other, as far as a value of the longest kind still fits.
const VALUE_BYTES_MAX = 1_024;
const SLAB_BYTES = 8 * 1024;
/** What a head or a number takes at most. */
const WORD_BYTES = 9;
const ASCII_END = 0x80;
/** How the library writes it, where msgpack has no word of its own: an extension. */
const UNDEFINED = Uint8Array.of(0xd4, 0, 0);

let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
let view = new DataView(slab.buffer);
let at = 0;
/** No byte from here on may be written. */
let end = 0;

/** Plain msgpack of a short plain value: the bytes that the library makes of it, in a third of the time. Undefined where it is not that plain or short. */
export function writePlain(value: unknown): Uint8Array | undefined {
  if (at + VALUE_BYTES_MAX > SLAB_BYTES) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    view = new DataView(slab.buffer);
    at = 0;
  }
  const start = at;
  end = at + VALUE_BYTES_MAX;
  if (write(value)) return slab.subarray(start, at);
  at = start;
  return undefined;
}

/** @returns false where it does not fit, or is left to the library */
function write(value: unknown): boolean {
  if (at + WORD_BYTES > end) return false;
  switch (typeof value) {
    case "string":
      return writeText(value);
    case "number":
      return writeNumber(value);
    case "boolean":
      slab[at++] = value ? 0xc3 : 0xc2;
      return true;
    case "object":
      if (value === null) {
        slab[at++] = 0xc0;
        return true;
      }
      if (Array.isArray(value)) return writeList(value);
      if (value instanceof Uint8Array) return writeBytes(value);
      return Object.getPrototypeOf(value) === Object.prototype && writeMap(value);
    case "undefined":
      slab.set(UNDEFINED, at);
      at += UNDEFINED.byteLength;
      return true;
    default:
      return false;
  }
}

/** Not negative and whole, or as a double. */
function writeNumber(value: number): boolean {
  if (value >>> 0 !== value) {
    if (value >> 0 === value) return false;
    slab[at++] = 0xcb;
    view.setFloat64(at, value);
    at += 8;
  } else if (value < 0x80) slab[at++] = value;
  else if (value < 0x1_00) {
    slab[at++] = 0xcc;
    slab[at++] = value;
  } else if (value < 0x1_00_00) {
    slab[at++] = 0xcd;
    writeShort(value);
  } else {
    slab[at++] = 0xce;
    view.setUint32(at, value);
    at += 4;
  }
  return true;
}

function writeShort(value: number): void {
  slab[at++] = value >> 8;
  slab[at++] = value & 0xff;
}

/** ASCII of up to 255 characters. */
function writeText(text: string): boolean {
  const { length } = text;
  if (length > 0xff || at + WORD_BYTES + length > end) return false;
  if (length < 0x20) slab[at++] = 0xa0 | length;
  else {
    slab[at++] = 0xd9;
    slab[at++] = length;
  }
  for (let place = 0; place < length; place += 1) {
    const code = text.charCodeAt(place);
    if (code >= ASCII_END) return false;
    slab[at++] = code;
  }
  return true;
}

function writeBytes(bytes: Uint8Array): boolean {
  const { byteLength } = bytes;
  if (byteLength > 0xff || at + WORD_BYTES + byteLength > end) return false;
  slab[at++] = 0xc4;
  slab[at++] = byteLength;
  slab.set(bytes, at);
  at += byteLength;
  return true;
}

function writeList(list: readonly unknown[]): boolean {
  const { length } = list;
  if (length > 0xff_ff) return false;
  if (length < 0x10) slab[at++] = 0x90 | length;
  else {
    slab[at++] = 0xdc;
    writeShort(length);
  }
  for (let place = 0; place < length; place += 1) if (!write(list[place])) return false;
  return true;
}

/** Of up to 15 fields. Their values as a list: V8 compiles a loop over the names of a map for some names alone, again and again. */
function writeMap(map: object): boolean {
  const keys = Object.keys(map);
  const values = Object.values(map);
  if (keys.length > 0x0f) return false;
  slab[at++] = 0x80 | keys.length;
  for (let place = 0; place < keys.length; place += 1) {
    const key = keys[place]!;
    // The library would take it for the object's class.
    if (key === "constructor" || !writeText(key) || !write(values[place])) return false;
  }
  return true;
}
