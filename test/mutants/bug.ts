/** One place of the source that a bug alters. */
export interface Edit {
  readonly file: string;
  /** Occurs there exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** A bug that somebody could have written: the simulator has to find it. */
export interface Bug {
  readonly number: number;
  readonly name: string;
  readonly edits: readonly Edit[];
  /** Why nobody could tell, where that is so: then it is no miss that it survives. */
  readonly harmless?: string;
}

/**
 * Alters what the bug alters.
 * @param read the text of a file of the source
 * @returns the new texts, by file
 * @throws Error where the source has moved on
 */
export function plant({ number, name, edits }: Bug, read: (file: string) => string): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const { file, find, replace } of edits) {
    const text = texts.get(file) ?? read(file);
    const at = text.indexOf(find);
    if (at < 0 || text.indexOf(find, at + 1) >= 0) {
      const count = at < 0 ? "is not there" : "is there more than once";
      throw new Error(
        `bug ${number} no longer fits ${file}: the text to alter ${count}; write "${name}" anew against the source as it is now`,
      );
    }
    texts.set(file, text.slice(0, at) + replace + text.slice(at + find.length));
  }
  return texts;
}
