import { OciError } from "../core/errors.ts";
import type { HttpRequest } from "./http.ts";

/**
 * Reads a whole body into memory.
 * @throws BODY_TOO_LARGE past `maxBytes`, before anything is read where Content-Length tells
 */
export async function readBody(request: HttpRequest, maxBytes: number): Promise<Uint8Array> {
  if (request.contentLength !== undefined && request.contentLength > maxBytes) throw tooLarge(maxBytes);
  if (!request.hasBody) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of request.body) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks, sizeBytes);
}

function tooLarge(maxBytes: number): OciError {
  return new OciError("BODY_TOO_LARGE", `the body is larger than the ${maxBytes} bytes that are accepted here`, { maxBytes });
}

/** For a request without a body. */
export const NO_BODY: AsyncIterable<Uint8Array> = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }),
};

/** Calls `count` for each chunk that passes. One chunk in, one chunk out: reuse of buffers is not disturbed. */
export function counted(source: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncIterable<Uint8Array> {
  const passed = (step: IteratorResult<Uint8Array>): IteratorResult<Uint8Array> => {
    if (step.done !== true) count(step.value.byteLength);
    return step;
  };
  return {
    [Symbol.asyncIterator]() {
      const iterator = source[Symbol.asyncIterator]();
      return {
        next: () => iterator.next().then(passed),
        return: async () => (await iterator.return?.()) ?? { done: true, value: undefined },
      };
    },
  };
}
