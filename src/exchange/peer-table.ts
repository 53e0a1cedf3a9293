import type { Clock } from "../core/clock.ts";
import type { PeerId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import type { PeerFacts } from "./exchange.ts";

interface PeerRow {
  rttMs: number | undefined;
  /** What a MiB took lately, beyond the round trip. */
  msPerMib: number | undefined;
  inFlight: number;
  load: Load | undefined;
  suspectUntilMs: number;
  sentBytes: number;
  receivedBytes: number;
}

/** Pieces that a peer was sending to others when it last answered. */
interface Load {
  readonly pieces: number;
  readonly untilMs: number;
}

/** What the committed membership says of a member. */
export interface PeerPlace {
  readonly zone: string;
  /** Two members agree that it does not answer. */
  readonly down: boolean;
}

const NEWEST_WEIGHT = 0.3;
/** What is assumed where nothing is known of any peer. */
const UNKNOWN_MS_PER_MIB = 10;
const DIAL_MS = 15;
/** Beside the wire: what even a peer next door needs for an answer. Without it all that are near would cost nothing, and load and zone weigh nothing. */
const ANSWER_MS = 1;
/** From bodies below this nothing is learnt of the rate: the disk and the stream's start are most of what they take. */
const RATE_SIZE_MIN_BYTES = 256 * 1024;
/** A peer of another zone is taken for so much dearer: it must be measurably faster to be asked first. More than the jitter, so that among equals the zone decides. */
const OTHER_ZONE_FACTOR = 1.25;
/** A piece in flight from here delays the next one whole; one that a peer sends to others may end any moment. */
const OTHERS_LOAD_WEIGHT = 0.5;
/** For so long a peer is believed to be as loaded as it said. */
const LOAD_MS = 3_000;
/** A peer that was slow or failed is asked last for so long; longer than the pings are apart, so that one that answers none stays last. */
const SUSPECT_MS = 6_000;
/** Dearer than anything that is measured: the members call it down, but it may be up for this node. */
const DOWN_MS = 500_000;
const SUSPECTED_MS = 1_000_000;
const MIB = 1024 * 1024;

/** What this node has measured of the others, and the order in which it asks them. */
export class PeerTable {
  readonly #rows = new Map<PeerId, PeerRow>();
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #zone: string;
  readonly #placeOf: (peer: PeerId) => PeerPlace | undefined;

  /**
   * @param zone this node's; "" where it is in none
   * @param placeOf asked at each ranking; undefined where nothing is known of the peer
   */
  constructor(clock: Clock, random: Random, zone = "", placeOf: (peer: PeerId) => PeerPlace | undefined = () => undefined) {
    this.#clock = clock;
    this.#random = random;
    this.#zone = zone;
    this.#placeOf = placeOf;
  }

  /**
   * Those of which `sizeBytes` are expected soonest first: by round-trip time and rate, by what they are sending already, in this node's zone before another.
   * Those that the members call down, and those that were slow or failed lately, come last.
   */
  rank(peers: readonly PeerId[], isConnected: (peer: PeerId) => boolean, sizeBytes: number): readonly PeerId[] {
    const now = this.#clock.monotonicMs();
    const best = this.#best(peers); // untried, one is as good as the best: else it would never be tried
    const scored = peers.map((peer) => {
      const row = this.#rows.get(peer);
      const place = this.#placeOf(peer);
      const costMs = ANSWER_MS + timeOf(row?.rttMs ?? best.rttMs ?? 0, row?.msPerMib ?? best.msPerMib ?? UNKNOWN_MS_PER_MIB, sizeBytes);
      const queue =
        1 + (row?.inFlight ?? 0) + OTHERS_LOAD_WEIGHT * (row?.load !== undefined && row.load.untilMs > now ? row.load.pieces : 0);
      const distance = place === undefined || place.zone === this.#zone ? 1 : OTHER_ZONE_FACTOR;
      const dialMs = isConnected(peer) ? 0 : DIAL_MS;
      const lastMs = (row !== undefined && row.suspectUntilMs > now ? SUSPECTED_MS : 0) + (place?.down === true ? DOWN_MS : 0);
      const jitter = 1 + this.#random.float() * 0.1; // else every node would ask the same holder first
      return { peer, score: (costMs * queue * distance + dialMs) * jitter + lastMs };
    });
    return scored.sort((a, b) => a.score - b.score).map(({ peer }) => peer);
  }

  /** What `sizeBytes` take from the best of `peers`, in ms; undefined where the rate of none is known. */
  expectedMs(peers: readonly PeerId[], sizeBytes: number): number | undefined {
    const times = peers.map((peer) => {
      const { rttMs, msPerMib } = this.#rows.get(peer) ?? {};
      return msPerMib === undefined ? undefined : timeOf(rttMs ?? 0, msPerMib, sizeBytes);
    });
    const known = times.filter((ms) => ms !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  }

  began(peer: PeerId): void {
    this.#row(peer).inFlight += 1;
  }

  ended(peer: PeerId): void {
    this.#row(peer).inFlight -= 1;
  }

  delivered(peer: PeerId, tookMs: number, sizeBytes: number): void {
    const row = this.#row(peer);
    row.suspectUntilMs = 0;
    if (sizeBytes < RATE_SIZE_MIN_BYTES) return;
    row.msPerMib = blend(row.msPerMib, Math.max(0, tookMs - (row.rttMs ?? 0)) / (sizeBytes / MIB));
  }

  suspect(peer: PeerId): void {
    this.#row(peer).suspectUntilMs = this.#clock.monotonicMs() + SUSPECT_MS;
  }

  sawRtt(peer: PeerId, rttMs: number): void {
    const row = this.#row(peer);
    row.rttMs = blend(row.rttMs, rttMs);
  }

  /** @param pieces those that the peer was sending to others when it answered */
  sawLoad(peer: PeerId, pieces: number): void {
    this.#row(peer).load = { pieces, untilMs: this.#clock.monotonicMs() + LOAD_MS };
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

  #best(peers: readonly PeerId[]): Pick<PeerRow, "rttMs" | "msPerMib"> {
    const rows = peers.map((peer) => this.#rows.get(peer));
    return { rttMs: least(rows.map((row) => row?.rttMs)), msPerMib: least(rows.map((row) => row?.msPerMib)) };
  }

  #row(peer: PeerId): PeerRow {
    let row = this.#rows.get(peer);
    if (row === undefined) {
      row = { rttMs: undefined, msPerMib: undefined, inFlight: 0, load: undefined, suspectUntilMs: 0, sentBytes: 0, receivedBytes: 0 };
      this.#rows.set(peer, row);
    }
    return row;
  }
}

function timeOf(rttMs: number, msPerMib: number, sizeBytes: number): number {
  return rttMs + (msPerMib * sizeBytes) / MIB;
}

function least(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function blend(known: number | undefined, newest: number): number {
  return known === undefined ? newest : known + (newest - known) * NEWEST_WEIGHT;
}
