import { createHash, webcrypto } from "node:crypto";
import { algorithmOf, type Digest, digestOf } from "../core/digest.ts";
import { hashPiece, type PieceHash } from "../core/pieces.ts";

// WebCrypto hashes in the thread pool and costs the event loop one copy (0.4 ms for a piece, where hashing it here costs 2.4 ms and delays
// heartbeats): no worker of our own is needed. Small inputs are not worth the hop.
const OFFLOAD_SIZE_BYTES = 128 * 1024;

export async function hashPieceAside(bytes: Uint8Array): Promise<PieceHash> {
  if (bytes.byteLength < OFFLOAD_SIZE_BYTES) return hashPiece(bytes);
  return (await hexAside("SHA-256", bytes)) as PieceHash;
}

export async function digestAside(bytes: Uint8Array, like: Digest): Promise<Digest> {
  const algorithm = algorithmOf(like);
  if (bytes.byteLength < OFFLOAD_SIZE_BYTES) return digestOf(bytes, algorithm);
  return `${algorithm}:${await hexAside(algorithm === "sha512" ? "SHA-512" : "SHA-256", bytes)}` as Digest;
}

async function hexAside(algorithm: "SHA-256" | "SHA-512", bytes: Uint8Array): Promise<string> {
  return Buffer.from(
    await webcrypto.subtle.digest(algorithm, isShared(bytes) ? bytes.slice() : (bytes as Uint8Array<ArrayBuffer>)),
  ).toString("hex");
}

/** SHA-256 of a piece in shared memory, in another thread; each block is told once it is there. */
export interface SharedHash {
  update(block: Uint8Array<SharedArrayBuffer>): void;
  /** @throws where the thread has failed */
  digest(): Promise<PieceHash>;
  /** Nobody asks for the digest any more. */
  end(): void;
}

/** A thread's running hash; undefined where there is none that would begin at once. */
export type StartHash = () => SharedHash | undefined;

/** Of a piece that comes in blocks. */
export interface RunningHash {
  update(block: Uint8Array): void;
  /** Never rejects. */
  digest(): Promise<PieceHash>;
  end(): void;
}

/**
 * Hashes `bytes` as they come: in another thread where they lie in shared memory, for a fetching node's main thread is what bounds a pull (a fifth of its
 * work was this hash); else here, while a block is in the processor's cache.
 */
export function hashAsItComes(bytes: Uint8Array, start: StartHash): RunningHash {
  const shared = isShared(bytes) ? start() : undefined;
  if (shared !== undefined) {
    return {
      update: (block) => shared.update(block as Uint8Array<SharedArrayBuffer>),
      digest: () => shared.digest().catch(() => hashPiece(bytes)),
      end: () => shared.end(),
    };
  }
  const hash = createHash("sha256");
  return { update: (block) => void hash.update(block), digest: async () => hash.digest("hex") as PieceHash, end() {} };
}

function isShared(bytes: Uint8Array): boolean {
  return bytes.buffer instanceof SharedArrayBuffer;
}
