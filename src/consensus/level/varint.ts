/** A base-128 number, lowest group first, as LevelDB and snappy write them. Undefined where the bytes end before it. */
export function readVarint(bytes: Uint8Array, at: number): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  for (let step = 0; step < BYTES_MAX && at + step < bytes.byteLength; step += 1) {
    const byte = bytes[at + step]!;
    value += (byte & 0x7f) * 2 ** (7 * step);
    if (byte < 0x80) return { value, end: at + step + 1 };
  }
  return undefined;
}

const BYTES_MAX = 10;
