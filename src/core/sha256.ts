import { createHash, hash } from "node:crypto";

/** From here on a copy of all parts costs more than hashing them one by one. */
const ONE_PASS_BYTES = 64 * 1024;

/** SHA-256 of the parts as if they were one; for short ones in about half the time of a `createHash`. */
export function sha256(parts: readonly Uint8Array[]): Uint8Array {
  let sizeBytes = 0;
  for (const part of parts) sizeBytes += part.byteLength;
  if (sizeBytes <= ONE_PASS_BYTES) return hash("sha256", Buffer.concat(parts, sizeBytes), "buffer");
  const long = createHash("sha256");
  for (const part of parts) long.update(part);
  return long.digest();
}
