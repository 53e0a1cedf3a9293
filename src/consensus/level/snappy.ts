import { readVarint } from "./varint.ts";

/**
 * Unpacks one block of snappy (format_description.txt): a length, then literals and copies of what came before.
 * @returns undefined where the bytes are none
 */
export function unpackSnappy(bytes: Uint8Array): Uint8Array | undefined {
  const head = readVarint(bytes, 0);
  if (head === undefined || head.value > BLOCK_BYTES_MAX) return undefined;
  const out = new Uint8Array(head.value);
  let at = head.end;
  let filled = 0;
  while (at < bytes.byteLength) {
    const element = readElement(bytes, at);
    if (element === undefined || filled + element.length > out.byteLength) return undefined;
    at = element.end;
    if (element.literalAt !== undefined) out.set(bytes.subarray(element.literalAt, element.end), filled);
    else if (element.offset === 0 || element.offset > filled) return undefined;
    // byte by byte: a copy may reach into what it writes
    else for (let step = 0; step < element.length; step += 1) out[filled + step] = out[filled + step - element.offset]!;
    filled += element.length;
  }
  return filled === out.byteLength ? out : undefined;
}

interface Element {
  readonly length: number;
  readonly end: number;
  readonly literalAt: number | undefined;
  readonly offset: number;
}

function readElement(bytes: Uint8Array, at: number): Element | undefined {
  const tag = bytes[at]!;
  const kind = tag & 3;
  if (kind === 0) return readLiteral(bytes, at, tag >>> 2);
  const offsetBytes = kind === 3 ? 4 : kind;
  if (at + 1 + offsetBytes > bytes.byteLength) return undefined;
  const low = littleEndian(bytes, at + 1, offsetBytes);
  const end = at + 1 + offsetBytes;
  if (kind === 1) return { length: ((tag >>> 2) & 7) + 4, end, literalAt: undefined, offset: ((tag >>> 5) << 8) | low };
  return { length: (tag >>> 2) + 1, end, literalAt: undefined, offset: low };
}

function readLiteral(bytes: Uint8Array, at: number, code: number): Element | undefined {
  const extra = code < 60 ? 0 : code - 59;
  const literalAt = at + 1 + extra;
  if (literalAt > bytes.byteLength) return undefined;
  const length = (extra === 0 ? code : littleEndian(bytes, at + 1, extra)) + 1;
  const end = literalAt + length;
  return end > bytes.byteLength ? undefined : { length, end, literalAt, offset: 0 };
}

function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let byte = count - 1; byte >= 0; byte -= 1) value = value * 256 + bytes[at + byte]!;
  return value;
}

/** Far above what LevelDB makes: one value in a block of its own. */
const BLOCK_BYTES_MAX = 64 * 2 ** 20;
