import type { CutBody } from "../blobs/uploads.ts";
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

/**
 * What is new in the body of a PUT after one that was cut. The session keeps what came, so that a client may ask how far it got and send the rest; but many
 * clients send the whole request again, without Content-Range. Same digest, same length: then its first bytes are those that are held, and only what is behind
 * them is new. One that brings the rest is shorter.
 * @param session what it holds, and the PUT that was cut
 */
export function newIn<T extends PutBody>(
  put: T,
  digest: Digest,
  session: { readonly offset: number; readonly cut?: CutBody | undefined },
): T {
  const { offset: heldBytes, cut } = session;
  if (cut === undefined || put.offset !== undefined || put.sizeBytes !== cut.sizeBytes || digest !== cut.digest) return put;
  const skipped = heldBytes - cut.start;
  if (skipped <= 0) return put; // nothing of it outlived a restart
  return { ...put, offset: heldBytes, sizeBytes: cut.sizeBytes - skipped, body: behind(skipped, put.body) };
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
