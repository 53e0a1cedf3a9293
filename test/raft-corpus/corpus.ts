import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../../src/core/random.ts";
import { ConfChanges } from "./confchange-directives.ts";
import { Interaction } from "./interaction.ts";
import { type Directive, parseDirectives } from "./parser.ts";
import { runQuorum } from "./quorum-directives.ts";

/** The first directive of a file whose answer was not the one that stands there. */
export interface Mismatch {
  readonly directive: Pick<Directive, "line" | "command" | "expected">;
  readonly actual: string;
}

/** Of a difference: lines shown before it, and from it on on each side. */
const LINES_BEFORE = 2;
const LINES_SHOWN = 6;

const QUORUM_COMMANDS: ReadonlySet<string> = new Set(["committed", "vote"]);
const CONFCHANGE_COMMANDS: ReadonlySet<string> = new Set(["simple", "enter-joint", "leave-joint"]);

/** The data-driven files under a folder, however deep, sorted, or the one file; none where there is no such path. */
export function corpusFiles(path: string): string[] {
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return [path];
  const files = readdirSync(path, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".txt"));
  return files.map((name) => join(path, name)).sort();
}

/** @returns undefined where every answer is the expected one, byte for byte */
export function runFile(path: string, seed = 1): Mismatch | undefined {
  return runText(readFileSync(path, "utf8"), seed);
}

export function runText(text: string, seed = 1): Mismatch | undefined {
  let directives: Directive[];
  try {
    directives = parseDirectives(text);
  } catch (error) {
    return { directive: { line: 1, command: "(file)", expected: "" }, actual: `${error instanceof Error ? error.message : error}\n` };
  }
  if (directives.length === 0) return { directive: { line: 1, command: "(file)", expected: "" }, actual: "no directive stands here\n" };
  const run = runnerFor(directives, seed);
  for (const directive of directives) {
    const actual = answerOf(run, directive);
    if (actual !== directive.expected) return { directive, actual };
  }
  return undefined;
}

/** Where the answers part, with the lines around it: `-` what stands in the file, `+` what the core answers. */
export function describeMismatch({ directive, actual }: Mismatch): string {
  const expected = directive.expected.split("\n");
  const got = actual.split("\n");
  let at = 0;
  while (at < expected.length && expected[at] === got[at]) at += 1;
  const show = (sign: string, lines: readonly string[], from: number, to: number): string =>
    lines
      .slice(Math.max(0, from), to)
      .map((line) => `  ${sign} ${line}\n`)
      .join("");
  const before = show(" ", expected, at - LINES_BEFORE, at);
  const sides = show("-", expected, at, at + LINES_SHOWN) + show("+", got, at, at + LINES_SHOWN);
  return `line ${directive.line}: ${directive.command}\n${before}${sides}`;
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
  if (directives.some(({ command }) => QUORUM_COMMANDS.has(command))) return runQuorum;
  if (directives.some(({ command }) => CONFCHANGE_COMMANDS.has(command))) {
    const changes = new ConfChanges();
    return (directive) => changes.run(directive);
  }
  const random = seededRandom(seed);
  const interaction = new Interaction(() => random.float());
  return (directive) => interaction.run(directive);
}
