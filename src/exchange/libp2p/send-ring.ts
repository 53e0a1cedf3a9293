/** Smaller chunks are left to the collector. It has to be more than a socket takes without asking for a pause (64 KiB). */
const SIZE_MIN_BYTES = 256 * 1024;
const BUFFERS = 3;

/**
 * The memory of what one stream sends, chunk after chunk over all its requests, so that a holder does not make three new buffers for each piece that it
 * gives. A buffer comes round for the third chunk after it: the write of the one before that has resolved, and with as many bytes as these have the
 * connection has asked for a pause since and sent all it had (`Channel.write`).
 */
export class SendRing {
  readonly #buffers: Uint8Array[] = [];
  #turn = 0;

  readonly take = (sizeBytes: number): Uint8Array => {
    if (sizeBytes < SIZE_MIN_BYTES) return Buffer.allocUnsafeSlow(sizeBytes);
    const turn = this.#turn;
    this.#turn = (turn + 1) % BUFFERS;
    let buffer = this.#buffers[turn];
    if (buffer === undefined || buffer.byteLength < sizeBytes) buffer = Buffer.allocUnsafeSlow(sizeBytes);
    this.#buffers[turn] = buffer;
    return buffer.subarray(0, sizeBytes);
  };
}
