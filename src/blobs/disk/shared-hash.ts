import type { PieceHash } from "../../core/pieces.ts";
import type { LaneCalls } from "./hash-lane.ts";

/** Bytes that go to the thread at once: they are not copied, but each call costs both threads some microseconds. */
const PART_SIZE_BYTES = 1024 * 1024;

/** A running SHA-256 in a hashing thread, of at most one piece in shared memory, whose blocks come one after the other and are not written any more. */
export class SharedHash {
  readonly #lane: LaneCalls;
  readonly #job: number;
  readonly #calls: Promise<readonly string[]>[] = [];
  #memory: SharedArrayBuffer | undefined;
  #start = 0;
  #end = 0;
  #position = 0;

  constructor(lane: LaneCalls, job: number) {
    this.#lane = lane;
    this.#job = job;
    this.#call(lane.call({ type: "pieces", job, position: 0 }));
  }

  update(block: Uint8Array<SharedArrayBuffer>): void {
    if (this.#memory === undefined) {
      this.#memory = block.buffer;
      this.#start = block.byteOffset;
    }
    this.#end = block.byteOffset + block.byteLength;
    if (this.#end - this.#start >= PART_SIZE_BYTES) this.#flush();
  }

  /** @throws what the thread met: the hash is not known then */
  async digest(): Promise<PieceHash> {
    this.#flush();
    const facts = this.#call(this.#lane.call({ type: "facts", job: this.#job }));
    this.end();
    await Promise.all(this.#calls);
    return (await facts)[0] as PieceHash;
  }

  end(): void {
    this.#call(this.#lane.call({ type: "end", job: this.#job }));
  }

  #flush(): void {
    if (this.#memory === undefined) return;
    const bytes = new Uint8Array(this.#memory, this.#start, this.#end - this.#start);
    this.#memory = undefined;
    this.#call(this.#lane.call({ type: "hash", jobs: [this.#job], bytes, position: this.#position }));
    this.#position += bytes.byteLength;
  }

  #call(call: Promise<readonly string[]>): Promise<readonly string[]> {
    call.catch(() => undefined); // `digest` throws it
    this.#calls.push(call);
    return call;
  }
}
