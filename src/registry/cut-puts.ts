import type { Digest } from "../core/digest.ts";
import { discard } from "../core/spent-bytes.ts";

/** The body of a PUT, as far as it tells one that is sent again from one that brings the rest. */
export interface PutBody {
  /** Of Content-Range; undefined without. */
  readonly offset: number | undefined;
  /** What Content-Length promises. */
  readonly sizeBytes: number | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

interface CutPut {
  readonly digest: Digest;
  /** Bytes that the session held when it began. */
  readonly start: number;
  readonly sizeBytes: number;
}

const REMEMBERED_MAX = 10_000;

/**
 * PUTs whose bodies were cut. The session keeps what came, so that a client may ask how far it got and send the rest; but many clients send the whole
 * request again, without Content-Range. Same digest, same length: then its first bytes are those that are held, and only what is behind them is new.
 * One that brings the rest is shorter. Kept in memory: after a restart of this node the digest tells that the bytes are doubled, and the client begins again.
 */
export class CutPuts {
  readonly #cut = new Map<string, CutPut>();

  /** @param heldBytes what the session holds now. @returns what is new in the body */
  newIn<T extends PutBody>(id: string, put: T, digest: Digest, heldBytes: number): T {
    const cut = this.#find(id, put, digest);
    if (cut === undefined) return put;
    const skipped = heldBytes - cut.start;
    return { ...put, offset: heldBytes, sizeBytes: cut.sizeBytes - skipped, body: behind(skipped, put.body) };
  }

  /** @param heldBytes what the session held before it */
  remember(id: string, put: PutBody, digest: Digest, heldBytes: number): void {
    if (put.offset !== undefined || put.sizeBytes === undefined || this.#find(id, put, digest) !== undefined) return;
    const oldest = this.#cut.keys().next();
    if (this.#cut.size >= REMEMBERED_MAX && oldest.done !== true) this.#cut.delete(oldest.value);
    this.#cut.set(id, { digest, start: heldBytes, sizeBytes: put.sizeBytes });
  }

  forget(id: string): void {
    this.#cut.delete(id);
  }

  #find(id: string, { offset, sizeBytes }: PutBody, digest: Digest): CutPut | undefined {
    const cut = this.#cut.get(id);
    return offset === undefined && sizeBytes === cut?.sizeBytes && digest === cut?.digest ? cut : undefined;
  }
}

/** The same bytes without the first `count`. */
function behind(count: number, body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const chunks = body[Symbol.asyncIterator]();
      let left = count;
      return {
        async next() {
          while (left > 0) {
            const step = await chunks.next();
            if (step.done === true) return step;
            const { byteLength } = step.value;
            if (byteLength > left) {
              const fresh = step.value.subarray(left);
              left = 0;
              return { done: false, value: fresh };
            }
            left -= byteLength;
            discard(step.value);
          }
          return chunks.next();
        },
        // at once, also while a chunk is awaited: a generator would wait for it first
        return: async () => (await chunks.return?.()) ?? { done: true, value: undefined },
      };
    },
  };
}
