import type { Stream } from "@libp2p/interface";
import type { Owner } from "../event-heap.ts";

/** What carries the bytes of a stream to its other end. */
export interface Carrier {
  /** Runs at `to` when what leaves `from` now has arrived: late, and not while the link between them is cut. */
  carry(from: Owner, to: Owner, run: () => void): void;
  /** In `[0, 1)`. */
  dice(): number;
  /** Something of so many bytes has arrived. */
  arrived(sizeBytes: number): void;
  /** Bytes that may be under way or unread before a sender is asked to wait. */
  readonly windowBytes: number;
}

/** The connection that a stream belongs to. */
export interface Carriage {
  /** Whether both processes still have it. */
  readonly whole: boolean;
  /** Somebody has said something: an end that is there no more is noticed by that. */
  noticed(): void;
  /** Whether this is where it breaks; then it has. */
  breaks(): boolean;
}

type Listener = (event: Event) => void;

const PIECES_MAX = 4;
const TINY_BYTES_MAX = 6;
const WHOLE_RATIO = 0.4;
const TINY_RATIO = 0.3;
const LOST_WITH_RESET_RATIO = 0.5;

/** One end of a stream in virtual time: bytes come in order, but cut and joined anywhere; with what libp2p's own do at a close, an abort, a reset, a pause. */
export class SimStream {
  status: Stream["status"] = "open";
  readStatus: Stream["readStatus"] = "readable";
  readableEnded = false;
  writableNeedsDrain = false;
  readonly owner: Owner;
  readonly #carrier: Carrier;
  readonly #carriage: Carriage;
  readonly #listeners = new Map<string, Listener[]>();
  #other: SimStream | undefined;
  #sent: Uint8Array[] = [];
  #sentBytes = 0;
  #unread: Uint8Array[] = [];
  #unreadBytes = 0;
  #flying = false;
  #ends = false;
  #endCarried = false;
  #otherEnded = false;

  constructor(owner: Owner, carrier: Carrier, carriage: Carriage) {
    this.owner = owner;
    this.#carrier = carrier;
    this.#carriage = carriage;
  }

  static pair(owners: readonly [Owner, Owner], carrier: Carrier, carriage: Carriage): readonly [SimStream, SimStream] {
    const [near, far] = [new SimStream(owners[0], carrier, carriage), new SimStream(owners[1], carrier, carriage)];
    near.#other = far;
    far.#other = near;
    return [near, far];
  }

  get stream(): Stream {
    return this as unknown as Stream;
  }

  get #over(): boolean {
    return this.status !== "open" && this.status !== "closing";
  }

  addEventListener(type: string, listener: Listener): void {
    const known = this.#listeners.get(type);
    if (known === undefined) this.#listeners.set(type, [listener]);
    else known.push(listener);
    if (type === "message" && this.#unread.length > 0) queueMicrotask(() => this.#handOut());
  }

  /** @throws where this end says no more */
  send(bytes: Uint8Array): boolean {
    if (this.#over || this.#ends) throw new Error(`Cannot write to a stream that is ${this.status}`);
    if (!this.owner.alive) return true;
    // What was handed over is the sender's again.
    this.#sent.push(new Uint8Array(bytes));
    this.#sentBytes += bytes.byteLength;
    if (this.#underWayBytes() > this.#carrier.windowBytes) this.writableNeedsDrain = true;
    this.#carriage.noticed();
    this.#fly();
    return !this.writableNeedsDrain;
  }

  async close(): Promise<void> {
    if (this.#over || this.#ends || !this.owner.alive) return;
    this.status = "closing";
    this.#ends = true;
    this.#fly();
  }

  abort(error: Error): void {
    if (this.#over || !this.owner.alive) return;
    const other = this.#other;
    this.#finish("aborted", error);
    if (other === undefined) return;
    this.#carrier.carry(this.owner, other.owner, () => {
      if (this.#carriage.whole) other.reset(error);
    });
  }

  /** The other end has aborted it, or the connection is lost. */
  reset(error: Error): void {
    if (this.#over) return;
    // What has arrived before may still be read, or not.
    if (this.#carrier.dice() < LOST_WITH_RESET_RATIO) this.#handOut();
    this.#finish("reset", error);
  }

  pause(): void {
    this.readStatus = "paused";
  }

  resume(): void {
    if (this.readStatus !== "paused") return;
    this.readStatus = "readable";
    this.#handOut();
  }

  #finish(status: "aborted" | "reset" | "closed", error?: Error): void {
    this.status = status;
    this.readStatus = "closed";
    this.#sent = [];
    this.#sentBytes = 0;
    this.#unread = [];
    this.#unreadBytes = 0;
    this.#emit("close", { error });
  }

  #underWayBytes(): number {
    return this.#sentBytes + (this.#other === undefined ? 0 : this.#other.#unreadBytes);
  }

  #fly(): void {
    const other = this.#other;
    if (this.#flying || other === undefined) return;
    this.#flying = true;
    this.#carrier.carry(this.owner, other.owner, () => {
      this.#flying = false;
      this.#arrive(other);
    });
  }

  #arrive(other: SimStream): void {
    if (!this.#carriage.whole || other.#over || this.#carriage.breaks()) return;
    const pieces = this.#cutPieces();
    const rest = this.#sentBytes > 0;
    if (pieces.length > 0) other.#receive(pieces);
    if (rest) this.#fly();
    else if (this.#ends && !this.#endCarried) {
      this.#endCarried = true;
      other.#receiveEnd();
      this.#closeIfDone();
    }
  }

  /** Some of the bytes that are under way, or all of them. */
  #cutPieces(): Uint8Array[] {
    if (this.#sentBytes === 0) return [];
    const bytes = this.#sent.length === 1 ? this.#sent[0]! : new Uint8Array(Buffer.concat(this.#sent));
    const { dice } = this.#carrier;
    const draw = (most: number): number => {
      const kind = dice();
      if (kind < WHOLE_RATIO) return most;
      return Math.min(most, 1 + Math.floor(dice() * (kind < WHOLE_RATIO + TINY_RATIO ? TINY_BYTES_MAX : most)));
    };
    const pieces: Uint8Array[] = [];
    let at = 0;
    for (let count = 1 + Math.floor(dice() * PIECES_MAX); count > 0 && at < bytes.byteLength; count -= 1) {
      const end = at + draw(bytes.byteLength - at);
      pieces.push(bytes.subarray(at, end));
      at = end;
    }
    this.#sent = at < bytes.byteLength ? [bytes.subarray(at)] : [];
    this.#sentBytes -= at;
    return pieces;
  }

  #receive(pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) this.#unreadBytes += piece.byteLength;
    this.#unread.push(...pieces);
    this.#handOut();
  }

  #receiveEnd(): void {
    this.#otherEnded = true;
    this.#emit("remoteCloseWrite", {});
    this.#endIfRead();
    this.#closeIfDone();
  }

  /** The other end says no more, and what it had said is read: not while this one is paused. */
  #endIfRead(): void {
    if (this.readableEnded || !this.#otherEnded || this.#unread.length > 0) return;
    this.readableEnded = true;
    this.#emit("end", {});
  }

  #closeIfDone(): void {
    if (!this.#over && this.#otherEnded && this.#endCarried) this.#finish("closed");
  }

  #handOut(): void {
    if (this.readStatus !== "readable" || this.#unread.length === 0 || !this.#listeners.has("message")) return;
    const pieces = this.#unread;
    this.#carrier.arrived(this.#unreadBytes);
    this.#unread = [];
    this.#unreadBytes = 0;
    this.#emit("message", { data: pieces.length === 1 ? pieces[0] : pieces });
    this.#endIfRead();
    this.#letSend();
  }

  #letSend(): void {
    const other = this.#other;
    if (other === undefined || !other.writableNeedsDrain || other.#over) return;
    if (other.#underWayBytes() > this.#carrier.windowBytes / 2) return;
    this.#carrier.carry(this.owner, other.owner, () => {
      if (!other.writableNeedsDrain || other.#over) return;
      other.writableNeedsDrain = false;
      other.#emit("drain", {});
    });
  }

  #emit(type: string, fields: object): void {
    const event = Object.assign(new Event(type), fields);
    for (const listener of this.#listeners.get(type) ?? []) listener(event);
  }
}
