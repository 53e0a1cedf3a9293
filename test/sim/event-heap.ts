/** Something that will happen, at a moment of virtual time. */
export interface SimEvent {
  /** Virtual ms. */
  at: number;
  /** Events of one moment happen in the order in which they were planned. */
  sequence: number;
  readonly kind: EventKind;
  /** To whom it happens: nothing happens to one that is dead, and it waits for one that is paused. */
  readonly owner: Owner | undefined;
  /** Undefined: cancelled. */
  run: (() => void) | undefined;
}

export type EventKind = "timer" | "defer" | "disk" | "message" | "stream" | "client" | "fault" | "boot";

/** A node's machine, or one start of its process. */
export interface Owner {
  readonly id: number;
  readonly alive: boolean;
  /** Virtual ms until which it stands still. */
  readonly pausedUntil: number;
  /** How much later it reads what has come in meanwhile than it runs what was due. */
  readonly backlogMs: number;
}

/** A binary heap by (time, sequence). */
export class EventHeap {
  readonly #events: SimEvent[] = [];

  get size(): number {
    return this.#events.length;
  }

  /** The one that `pop` would answer. */
  get next(): SimEvent | undefined {
    return this.#events[0];
  }

  push(event: SimEvent): void {
    const events = this.#events;
    let at = events.length;
    events.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = events[parent]!;
      if (!isBefore(event, above)) break;
      events[at] = above;
      at = parent;
    }
    events[at] = event;
  }

  pop(): SimEvent | undefined {
    const events = this.#events;
    const first = events[0];
    const last = events.pop();
    if (first === undefined || last === undefined || events.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child += 1;
      if (!isBefore(events[child]!, last)) break;
      events[at] = events[child]!;
      at = child;
    }
    events[at] = last;
    return first;
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}
