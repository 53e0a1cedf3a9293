import type { PeerMessage } from "../transport.ts";

/** About what a message and each of its entries take beside their bytes. */
const MESSAGE_BYTES = 48;
const ENTRY_BYTES = 16;

/** About its size on the wire, known before it is encoded. */
export function sizeOf(message: PeerMessage): number {
  if (message.kind === "proposal") return MESSAGE_BYTES + message.envelope.byteLength;
  if (message.kind !== "raft" || message.message.type !== "append") return MESSAGE_BYTES;
  let sizeBytes = MESSAGE_BYTES;
  for (const { data } of message.message.entries) sizeBytes += ENTRY_BYTES + (data?.byteLength ?? 0);
  return sizeBytes;
}

/** Entries and proposals are long and can wait; all else keeps the group together. */
export function isUrgent(message: PeerMessage): boolean {
  if (message.kind === "proposal") return false;
  return message.kind !== "raft" || message.message.type !== "append" || message.message.entries.length === 0;
}

/** Messages that wait, in two lanes, with their bytes. */
export class Outgoing {
  #urgent: PeerMessage[] = [];
  #bulk: PeerMessage[] = [];
  #sizeBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  push(message: PeerMessage, sizeBytes: number): void {
    (isUrgent(message) ? this.#urgent : this.#bulk).push(message);
    this.#sizeBytes += sizeBytes;
  }

  /** What goes into one frame: all that is urgent, then as many others as fit; at least one where there is any. */
  take(maxBytes: number): PeerMessage[] {
    const taken = this.#urgent;
    this.#urgent = [];
    let sizeBytes = 0;
    for (const message of taken) sizeBytes += sizeOf(message);
    let count = 0;
    for (const message of this.#bulk) {
      const size = sizeOf(message);
      if (taken.length > 0 && sizeBytes + size > maxBytes) break;
      sizeBytes += size;
      taken.push(message);
      count += 1;
    }
    this.#bulk.splice(0, count);
    this.#sizeBytes -= sizeBytes;
    return taken;
  }

  /** @returns how many there were */
  clear(): number {
    const count = this.#urgent.length + this.#bulk.length;
    this.#urgent = [];
    this.#bulk = [];
    this.#sizeBytes = 0;
    return count;
  }
}
