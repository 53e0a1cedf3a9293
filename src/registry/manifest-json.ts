import { OciError } from "../core/errors.ts";

/** Manifests nest five deep; a parser must not be made to build what nobody will read. */
const DEPTH_MAX = 64;
/** Objects and arrays together; the largest real indexes have some thousands. */
const CONTAINERS_MAX = 200_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws OciError MANIFEST_INVALID where the bytes are no JSON object in UTF-8, or one beyond the bounds */
export function decodeJsonObject(bytes: Uint8Array): JsonObject {
  if (!isBounded(bytes)) throw invalid(`the JSON nests deeper than ${DEPTH_MAX} or holds more than ${CONTAINERS_MAX} objects`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw invalid(`the manifest is no JSON in UTF-8: ${error instanceof Error ? error.message.slice(0, 200) : "it cannot be read"}`);
  }
  if (!isJsonObject(value)) throw invalid("the manifest is to be a JSON object");
  return value;
}

export function invalid(message: string, detail: OciError["detail"] = {}): OciError {
  return new OciError("MANIFEST_INVALID", message, detail);
}

/** One pass over the bytes, before anything is built of them. */
function isBounded(bytes: Uint8Array): boolean {
  let depth = 0;
  let containers = 0;
  let quoted = false;
  for (let at = 0; at < bytes.byteLength; at += 1) {
    const byte = bytes[at];
    if (quoted) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) quoted = false;
    } else if (byte === QUOTE) quoted = true;
    else if (byte === 0x7b || byte === 0x5b) {
      containers += 1;
      depth += 1;
      if (depth > DEPTH_MAX || containers > CONTAINERS_MAX) return false;
    } else if (byte === 0x7d || byte === 0x5d) depth -= 1;
  }
  return true;
}
