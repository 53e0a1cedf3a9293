import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../../src/core/random.ts";
import { ConfChanges } from "./confchange-directives.ts";
import { Interaction } from "./interaction.ts";
import { type Directive, parseDirectives } from "./parser.ts";
import { runQuorum } from "./quorum-directives.ts";

/** The first directive of a file whose answer was not the one that stands there. */
export interface Mismatch {
  readonly directive: Directive;
  readonly actual: string;
}

const QUORUM_COMMANDS: ReadonlySet<string> = new Set(["committed", "vote"]);
const CONFCHANGE_COMMANDS: ReadonlySet<string> = new Set(["simple", "enter-joint", "leave-joint"]);

/** The data-driven files under a folder, sorted; none where there is no such folder. */
export function corpusFiles(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".txt"));
  return files.map((name) => join(folder, name)).sort();
}

/** @returns undefined where every answer is the expected one, byte for byte */
export function runFile(path: string, seed = 1): Mismatch | undefined {
  const directives = parseDirectives(readFileSync(path, "utf8"));
  const run = runnerFor(directives, seed);
  for (const directive of directives) {
    const actual = answerOf(run, directive);
    if (actual !== directive.expected) return { directive, actual };
  }
  return undefined;
}

export function describeMismatch({ directive, actual }: Mismatch): string {
  return `line ${directive.line}: ${directive.command}\n--- expected\n${directive.expected}--- actual\n${actual}`;
}

function answerOf(run: (directive: Directive) => string, directive: Directive): string {
  try {
    const text = run(directive);
    return text === "" || text.endsWith("\n") ? text : `${text}\n`;
  } catch (error) {
    return `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`;
  }
}

/** What kind of file it is shows in its directives. */
function runnerFor(directives: readonly Directive[], seed: number): (directive: Directive) => string {
  const command = directives[0]?.command ?? "";
  if (QUORUM_COMMANDS.has(command)) return runQuorum;
  if (CONFCHANGE_COMMANDS.has(command)) {
    const changes = new ConfChanges();
    return (directive) => changes.run(directive);
  }
  const random = seededRandom(seed);
  const interaction = new Interaction(() => random.float());
  return (directive) => interaction.run(directive);
}
