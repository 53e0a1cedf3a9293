/** Half-open: bytes `[start, end)`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Names of units have no case (RFC 9110 section 14.1). */
const SINGLE = /^bytes=(\d*)-(\d*)$/i;

/**
 * Parses one `Range` header for a blob pull.
 * @param header as received, e.g. `bytes=0-1023`; undefined when absent
 * @param sizeBytes length of the blob
 * @returns half-open `[start, end)`; undefined (the whole blob) if the header is absent or not one byte range
 * @throws RangeError when the range starts at or beyond `sizeBytes` (the caller answers 416)
 * @see RFC 9110 section 14.1.2
 */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | undefined {
  const match = header === undefined ? null : SINGLE.exec(header.trim());
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return undefined;
  if (first === "") {
    const suffix = Number(last);
    if (suffix === 0 || sizeBytes === 0) throw new RangeError("the range selects no byte");
    return { start: Math.max(0, sizeBytes - suffix), end: sizeBytes };
  }
  const start = Number(first);
  const end = last === "" ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  if (last !== "" && Number(last) < start) return undefined; // invalid by the RFC: ignored
  if (start >= sizeBytes) throw new RangeError("the range starts past the end");
  return { start, end };
}
