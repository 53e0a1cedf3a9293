import type { Random } from "../../src/core/random.ts";

const TAGS_AT_ONCE = 2;
/** A tag is used for so long: whether its history is linearizable becomes harder to say with each operation that had no answer. */
const OPERATIONS_MAX = 150;
const LOST_MAX = 6;

interface Use {
  operations: number;
  lost: number;
}

/** The tags that the clients work on: few at a time, so that they meet, and others after a while. */
export class TagPool {
  readonly #current = new Map<string, string[]>();
  readonly #uses = new Map<string, Use>();
  #made = 0;

  constructor(repositories: readonly string[]) {
    for (const repository of repositories) this.#current.set(repository, []);
  }

  /** All that were ever used, as `repository:tag`. */
  get all(): readonly string[] {
    return [...this.#uses.keys()];
  }

  pick(repository: string, random: Random): string {
    const worn = (tag: string): boolean => {
      const use = this.#uses.get(`${repository}:${tag}`);
      return use !== undefined && (use.operations >= OPERATIONS_MAX || use.lost >= LOST_MAX);
    };
    const tags = (this.#current.get(repository) ?? []).filter((tag) => !worn(tag));
    while (tags.length < TAGS_AT_ONCE) {
      this.#made += 1;
      tags.push(`v${this.#made}`);
    }
    this.#current.set(repository, tags);
    return tags[Math.floor(random.float() * tags.length)]!;
  }

  /** @param name `repository:tag` */
  used(name: string): void {
    this.#use(name).operations += 1;
  }

  /** A write had no answer. */
  lost(name: string): void {
    this.#use(name).lost += 1;
  }

  #use(name: string): Use {
    let use = this.#uses.get(name);
    if (use === undefined) {
      use = { operations: 0, lost: 0 };
      this.#uses.set(name, use);
    }
    return use;
  }
}
