import { decode, encode } from "../core/codec.ts";
import { type DatabaseView, orderedIndex, parseOrderedIndex } from "./database.ts";

/**
 * LevelDB skips a bad record of its own log silently. So each batch carries a link to the batch before it: a batch that was dropped
 * from the middle leaves a gap that `verify` sees. Links go once the batches after them exceed what LevelDB may still hold in its log.
 */
export interface ChainLink {
  readonly index: number;
  readonly value: Uint8Array;
}

export interface ChainWrite {
  readonly key: string;
  readonly value: Uint8Array | undefined;
}

interface Kept {
  readonly index: number;
  readonly sizeBytes: number;
}

export class SealChain {
  readonly #prefix: string;
  readonly #keepBytes: number;
  readonly #kept: Kept[] = [];
  #keptBytes = 0;
  #head: number;

  /** @param head index of the newest link, 0 where there is none */
  constructor(prefix: string, keepBytes: number, head: number) {
    this.#prefix = prefix;
    this.#keepBytes = keepBytes;
    this.#head = head;
  }

  /** Index of the oldest link kept: the checkpoint from which the chain must be whole. */
  get checkpoint(): number {
    return this.#kept[0]?.index ?? this.#head;
  }

  /** Writes that append a link at `index` to the batch, and prune links that are safe to forget. */
  append(index: number, value: Uint8Array, sizeBytes: number): ChainWrite[] {
    const writes: ChainWrite[] = [{ key: this.#key(index), value: encode([this.#head, value]) }];
    this.#head = index;
    this.#kept.push({ index, sizeBytes });
    this.#keptBytes += sizeBytes;
    let pruned = 0;
    while (this.#kept.length - pruned > 1 && (this.#keptBytes > this.#keepBytes || this.#kept.length - pruned > LINKS_MAX)) {
      const oldest = this.#kept[pruned]!;
      this.#keptBytes -= oldest.sizeBytes;
      writes.push({ key: this.#key(oldest.index), value: undefined });
      pruned += 1;
    }
    if (pruned > 0) this.#kept.splice(0, pruned);
    return writes;
  }

  /**
   * Reads the links that are there and checks that they are contiguous from `checkpoint` to `head`.
   * @returns the newest link's value, or the reason why the chain is broken
   */
  async verify(database: DatabaseView, checkpoint: number, head: number): Promise<{ value: Uint8Array | undefined } | { broken: string }> {
    let previous: ChainLink | undefined;
    for await (const [key, bytes] of database.scan({ prefix: this.#prefix })) {
      const index = parseOrderedIndex(key.slice(this.#prefix.length));
      const link = decodeLink(bytes);
      if (link === undefined) return { broken: `the seal at ${index} cannot be read` };
      if (index > head) return { broken: `there is a seal at ${index}, above the applied index ${head}` };
      if (index >= checkpoint) {
        if (previous === undefined && index !== checkpoint) return { broken: `the seal of the checkpoint ${checkpoint} is missing` };
        if (previous !== undefined && link.previous !== previous.index) {
          return { broken: `the seal at ${index} follows ${link.previous}, but the one before it here is ${previous.index}` };
        }
        previous = { index, value: link.value };
      }
      this.#kept.push({ index, sizeBytes: 0 });
    }
    if ((previous?.index ?? 0) !== head) return { broken: `the newest seal is ${previous?.index ?? 0}, but ${head} has been applied` };
    this.#head = head;
    return { value: previous?.value };
  }

  #key(index: number): string {
    return `${this.#prefix}${orderedIndex(index)}`;
  }
}

const LINKS_MAX = 65_536;

/** Undefined where the bytes are no link. */
export function decodeLink(bytes: Uint8Array): { previous: number; value: Uint8Array } | undefined {
  try {
    const [previous, value] = decode(bytes) as [number, Uint8Array];
    return typeof previous === "number" && value instanceof Uint8Array ? { previous, value } : undefined;
  } catch {
    return undefined;
  }
}
