import type { Clock } from "../core/clock.ts";
import type { PeerId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import type { PeerFacts } from "./exchange.ts";

interface PeerRow {
  rttMs: number | undefined;
  /** What a piece took lately, whole. */
  pieceMs: number | undefined;
  inFlight: number;
  suspectUntilMs: number;
  sentBytes: number;
  receivedBytes: number;
}

const NEWEST_WEIGHT = 0.3;
/** What is assumed where nothing is known of any peer. */
const UNKNOWN_PIECE_MS = 40;
const DIAL_MS = 15;
/** A peer that was slow or failed is asked last for so long. */
const SUSPECT_MS = 5_000;

/** What this node has measured of the others, and the order in which it asks them. */
export class PeerTable {
  readonly #rows = new Map<PeerId, PeerRow>();
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The fastest and least loaded first; those that were slow or failed lately come last. */
  rank(peers: readonly PeerId[], isConnected: (peer: PeerId) => boolean): readonly PeerId[] {
    const now = this.#clock.monotonicMs();
    const untriedMs = this.expectedMs(peers) ?? UNKNOWN_PIECE_MS; // as good as the best, so that it is tried
    const scored = peers.map((peer) => {
      const row = this.#rows.get(peer);
      const pieceMs = row?.pieceMs ?? untriedMs + (row?.rttMs ?? 0);
      const dialMs = isConnected(peer) ? 0 : DIAL_MS;
      const suspectMs = row !== undefined && row.suspectUntilMs > now ? 1_000_000 : 0;
      const jitter = 1 + this.#random.float() * 0.1; // else every node would ask the same holder first
      return { peer, score: (pieceMs * (1 + (row?.inFlight ?? 0)) + dialMs) * jitter + suspectMs };
    });
    return scored.sort((a, b) => a.score - b.score).map(({ peer }) => peer);
  }

  /** What a piece takes from the best of `peers`, in ms; undefined where none has delivered one. */
  expectedMs(peers: readonly PeerId[]): number | undefined {
    const known = peers.map((peer) => this.#rows.get(peer)?.pieceMs).filter((ms) => ms !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  }

  began(peer: PeerId): void {
    this.#row(peer).inFlight += 1;
  }

  ended(peer: PeerId): void {
    this.#row(peer).inFlight -= 1;
  }

  delivered(peer: PeerId, tookMs: number): void {
    const row = this.#row(peer);
    row.pieceMs = blend(row.pieceMs, tookMs);
    row.suspectUntilMs = 0;
  }

  suspect(peer: PeerId): void {
    this.#row(peer).suspectUntilMs = this.#clock.monotonicMs() + SUSPECT_MS;
  }

  sawRtt(peer: PeerId, rttMs: number): void {
    const row = this.#row(peer);
    row.rttMs = blend(row.rttMs, rttMs);
  }

  sent(peer: PeerId, sizeBytes: number): void {
    this.#row(peer).sentBytes += sizeBytes;
  }

  received(peer: PeerId, sizeBytes: number): void {
    this.#row(peer).receivedBytes += sizeBytes;
  }

  facts(connected: readonly PeerId[]): readonly PeerFacts[] {
    const up = new Set(connected);
    return [...new Set([...this.#rows.keys(), ...connected])].map((peer) => {
      const row = this.#rows.get(peer);
      return {
        peer,
        connected: up.has(peer),
        rttMs: row?.rttMs,
        sentBytes: row?.sentBytes ?? 0,
        receivedBytes: row?.receivedBytes ?? 0,
      };
    });
  }

  /** Forgets peers that are no members any more. */
  keep(isMember: (peer: PeerId) => boolean): void {
    for (const peer of this.#rows.keys()) if (!isMember(peer)) this.#rows.delete(peer);
  }

  #row(peer: PeerId): PeerRow {
    let row = this.#rows.get(peer);
    if (row === undefined) {
      row = { rttMs: undefined, pieceMs: undefined, inFlight: 0, suspectUntilMs: 0, sentBytes: 0, receivedBytes: 0 };
      this.#rows.set(peer, row);
    }
    return row;
  }
}

function blend(known: number | undefined, newest: number): number {
  return known === undefined ? newest : known + (newest - known) * NEWEST_WEIGHT;
}
