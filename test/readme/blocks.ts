/** A shell block that a test runs: `<!-- run: NAME -->` stands on the line before it. */
export interface Block {
  readonly name: string;
  readonly commands: readonly string[];
}

const BLOCK = /^[ \t]*<!-- run: ([a-z-]+) -->\n[ \t]*```sh\n([\s\S]*?)\n[ \t]*```$/gm;

export function blocksOf(page: string): readonly Block[] {
  return [...page.matchAll(BLOCK)].map(([, name = "", body = ""]) => ({
    name,
    commands: body
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "" && !line.startsWith("#")),
  }));
}
