import type { DigestAlgorithm } from "../../core/digest.ts";
import { abortable } from "../abortable.ts";
import type { BlobFacts } from "../blob-store.ts";
import { factsOf } from "../facts.ts";
import { wrongSize } from "../refusals.ts";
import { type FeedDoor, feedBody } from "./feed.ts";
import type { FileSystem, OpenFile } from "./file-system.ts";

/** Bodies up to this are hashed and written on the main thread: a trip to the worker costs more than 50 us of hashing. */
export const INLINE_SIZE_BYTES = 64 * 1024;

export interface StagingDoor extends FeedDoor {
  readonly fs: FileSystem;
}

/**
 * Writes a body of `sizeBytes` to a new file, hashed in the same pass and durable on return. The caller checks the facts and removes the file.
 * @throws OciError SIZE_INVALID where the body is shorter or longer, INSUFFICIENT_STORAGE; what the source or the disk threw
 */
export async function receiveFile(
  door: StagingDoor,
  path: string,
  algorithm: DigestAlgorithm,
  sizeBytes: number,
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<BlobFacts> {
  const isSmall = sizeBytes <= INLINE_SIZE_BYTES;
  if (isSmall) await door.reserve.claim(sizeBytes);
  const file = await door.fs.open(path, "wx+");
  try {
    const facts = isSmall
      ? await receiveSmall(file, algorithm, sizeBytes, source, signal)
      : await receiveLarge(door, file, algorithm, sizeBytes, source, signal);
    await file.datasync();
    return facts;
  } finally {
    await file.close();
  }
}

async function receiveSmall(
  file: OpenFile,
  algorithm: DigestAlgorithm,
  sizeBytes: number,
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<BlobFacts> {
  const bytes = new Uint8Array(sizeBytes);
  let came = 0;
  for await (const chunk of abortable(source, signal)) {
    if (came + chunk.byteLength > sizeBytes) throw wrongSize(sizeBytes, came + chunk.byteLength, 0);
    bytes.set(chunk, came);
    came += chunk.byteLength;
  }
  if (came < sizeBytes) throw wrongSize(sizeBytes, came, 0);
  await file.write(bytes, 0);
  return factsOf(bytes, algorithm);
}

async function receiveLarge(
  door: StagingDoor,
  file: OpenFile,
  algorithm: DigestAlgorithm,
  sizeBytes: number,
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<BlobFacts> {
  const job = door.worker.job(algorithm);
  try {
    const fed = await feedBody(door, job, file, source, sizeBytes, signal);
    if (job.failure !== undefined) throw job.failure;
    if (fed.syncFailure !== undefined) throw fed.syncFailure;
    if (fed.failure !== undefined) throw fed.failure;
    if (fed.came !== sizeBytes) throw wrongSize(sizeBytes, fed.came, 0);
    return await job.facts(file.fd);
  } finally {
    job.end();
  }
}
