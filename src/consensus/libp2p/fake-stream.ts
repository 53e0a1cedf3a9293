import type { Stream } from "@libp2p/interface";
import { FrameCutter } from "./frames.ts";

/** One end of a stream in memory, whose other end the test plays. For tests. */
export class FakeStream extends EventTarget {
  status = "open";
  readStatus = "readable";
  writeStatus = "writable";
  readableEnded = false;
  writableNeedsDrain = false;
  aborted: Error | undefined;
  readonly frames: Uint8Array[] = [];
  readonly #cutter = new FrameCutter(2 ** 24);

  get stream(): Stream {
    return this as unknown as Stream;
  }

  send(bytes: Uint8Array): boolean {
    this.frames.push(...this.#cutter.push(bytes));
    return !this.writableNeedsDrain;
  }

  /** The other end says `bytes`. */
  say(bytes: Uint8Array): void {
    this.dispatchEvent(Object.assign(new Event("message"), { data: bytes }));
  }

  /** The other end says no more. */
  end(): void {
    this.dispatchEvent(new Event("remoteCloseWrite"));
    this.readableEnded = true;
    this.dispatchEvent(new Event("end"));
    this.#closeOnceBothHave();
  }

  pause(): void {
    this.readStatus = "paused";
  }

  resume(): void {
    this.readStatus = "readable";
  }

  abort(error: Error): void {
    this.status = "aborted";
    this.aborted = error;
    this.dispatchEvent(new Event("close"));
  }

  async close(): Promise<void> {
    this.writeStatus = "closed";
    this.#closeOnceBothHave();
  }

  #closeOnceBothHave(): void {
    if (this.status !== "open" || this.writeStatus === "writable" || !this.readableEnded) return;
    this.status = "closed";
    this.dispatchEvent(new Event("close"));
  }
}
