import { createHash } from "node:crypto";
import { algorithmOf, digestFromHash } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import { PIECE_SIZE_BYTES } from "../core/pieces.ts";
import type { ByteRange } from "../core/range.ts";
import { type FetchSettings, searchFor } from "./blob-fetch.ts";
import type { Wanted } from "./exchange.ts";
import { racePiece } from "./piece-race.ts";

/**
 * A blob of several pieces whose record has no root yet (an adopted one): nothing proves a piece alone, so the whole is read in order under a running
 * digest, and the last bytes of `range` are held back until it has matched. A client may see a prefix of wrong bytes, never a complete body (G6).
 * @throws OciError UNAVAILABLE where the bytes prove wrong at the end, or no holder can give them
 */
export async function* fetchUnrooted(
  settings: FetchSettings,
  wanted: Wanted,
  range: ByteRange,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const { digest, sizeBytes, root } = wanted;
  const whole = range.start === 0 && range.end === sizeBytes;
  const hash = createHash(algorithmOf(digest));
  const cache = whole ? await settings.blobs.cacheWriter({ digest, sizeBytes, root }) : undefined;
  const holders = new Set(wanted.holders);
  const lacking = new Set([settings.link.self]);
  const search = searchFor(settings, digest, (peer) => void holders.add(peer));
  const givers = new Set<(typeof wanted.holders)[number]>();
  let held: Uint8Array | undefined;
  let good = false;
  try {
    for (let start = 0, index = 0; start < sizeBytes; start += PIECE_SIZE_BYTES, index += 1) {
      const end = Math.min(sizeBytes, start + PIECE_SIZE_BYTES);
      const bytes = await racePiece(
        {
          ...settings,
          limits: settings.race,
          request: () => ({ digest, range: { start, end }, list: false }),
          holders: () => [...holders].filter((peer) => !lacking.has(peer)),
          lacking: (peer) => void lacking.add(peer),
          findMore: () => search.news(),
          verify: async (peer, reply) => {
            if (reply.sizeBytes !== sizeBytes || reply.bytes.byteLength !== end - start) return false;
            givers.add(peer);
            return true;
          },
        },
        signal,
      );
      hash.update(bytes);
      await cache?.write(index, bytes);
      const part = bytes.subarray(Math.max(0, range.start - start), Math.max(0, Math.min(end, range.end) - start));
      if (part.byteLength === 0) continue;
      if (held !== undefined) yield held;
      held = part;
    }
    good = digestFromHash(algorithmOf(digest), hash) === digest;
  } finally {
    search.stop();
    if (!good) await cache?.abandon();
  }
  if (!good) {
    for (const peer of givers) settings.onBadCopy(peer, wanted);
    throw new OciError("UNAVAILABLE", "the bytes that the holders gave are not those of the digest: their copies are damaged", { digest });
  }
  await cache?.finish();
  if (cache !== undefined) settings.onCached(digest);
  if (held !== undefined) yield held;
}
