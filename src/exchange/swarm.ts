import type { Clock } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import type { Log } from "../core/log.ts";
import type { PeerId } from "../core/peer.ts";
import { type PieceHash, pieceCount } from "../core/pieces.ts";
import type { ByteRange } from "../core/range.ts";
import { BlobFetch, type FetchSettings, Tokens } from "./blob-fetch.ts";
import type { ContentRouting } from "./content-routing.ts";
import type { LocalBlobs, Wanted } from "./exchange.ts";
import type { PeerLink } from "./link.ts";
import type { PeerTable } from "./peer-table.ts";
import { RACE_LIMITS, type RaceLimits } from "./piece-race.ts";
import { fetchUnrooted } from "./unrooted-fetch.ts";

export interface SwarmLimits extends RaceLimits {
  /** Pieces in flight a reader beside the one it passes on. */
  readonly readAhead: number;
  /** The same over all readers of the node, 4 MiB each. */
  readonly readAheadTotal: number;
}

export const SWARM_LIMITS: SwarmLimits = { ...RACE_LIMITS, readAhead: 3, readAheadTotal: 6 };

/** Verified lists that are kept, so that the ranges of a blob do not ask for its list each time. */
const LISTS_MAX = 64;

export interface SwarmOptions {
  readonly link: PeerLink;
  readonly blobs: LocalBlobs;
  readonly peers: PeerTable;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<SwarmLimits>;
  /** Where cached copies are looked for. */
  readonly routing?: Pick<ContentRouting, "find">;
  /** A cached copy is whole and settled. */
  readonly onCached?: (digest: Digest) => void;
  /** A peer gave wrong bytes or a wrong list: its copy is bad, or it lies. */
  readonly onBadCopy?: (peer: PeerId, digest: Digest) => void;
}

/** Fetches blobs from the peers that have them; the link is all that it knows of the wire. */
export class Swarm {
  readonly #settings: FetchSettings;
  readonly #fetches = new Map<string, BlobFetch>();
  readonly #lists = new Map<string, readonly PieceHash[]>();
  readonly #finishing = new Set<Promise<void>>();

  constructor(options: SwarmOptions) {
    const limits = { ...SWARM_LIMITS, ...options.limits };
    this.#settings = {
      ...options,
      race: limits,
      readAhead: limits.readAhead,
      find: (digest, signal) => options.routing?.find(digest, signal) ?? none(),
      onCached: (digest) => options.onCached?.(digest),
      readAheadTokens: new Tokens(limits.readAheadTotal),
      onBadCopy: (peer, wanted) => {
        options.log.warn(
          { peer, digest: wanted.digest },
          "a peer gave bytes that are not those of the digest: it is not asked for them again",
        );
        options.onBadCopy?.(peer, wanted.digest);
      },
    };
  }

  /** @see Exchange.fetch */
  async *fetch(wanted: Wanted, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    if (range.start >= range.end && wanted.sizeBytes > 0) return;
    if (wanted.root === undefined && pieceCount(wanted.sizeBytes) > 1) yield* fetchUnrooted(this.#settings, wanted, range, signal);
    else yield* this.#shared(wanted).read(range, signal);
  }

  /** Resolves once the cached copies that were being finished are settled. */
  async settled(): Promise<void> {
    await Promise.all(this.#finishing);
  }

  #shared(wanted: Wanted): BlobFetch {
    const key = `${wanted.digest} ${wanted.sizeBytes} ${wanted.root}`;
    const running = this.#fetches.get(key);
    running?.addHolders(wanted.holders);
    if (running !== undefined) return running;
    const fetch: BlobFetch = new BlobFetch(this.#settings, wanted, this.#lists.get(key), () => {
      if (this.#fetches.get(key) === fetch) this.#fetches.delete(key);
      if (fetch.list !== undefined) this.#remember(key, fetch.list);
      const settled = fetch.settled().finally(() => this.#finishing.delete(settled));
      this.#finishing.add(settled);
    });
    this.#fetches.set(key, fetch);
    return fetch;
  }

  #remember(key: string, list: readonly PieceHash[]): void {
    this.#lists.delete(key);
    this.#lists.set(key, list);
    const oldest = this.#lists.keys().next().value;
    if (this.#lists.size > LISTS_MAX && oldest !== undefined) this.#lists.delete(oldest);
  }
}

async function* none(): AsyncIterable<never> {}
