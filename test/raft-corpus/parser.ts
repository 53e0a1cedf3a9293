import { HarnessError } from "./harness-error.ts";

/** One argument of a directive: `key`, `key=value` or `key=(a,b)`. */
export interface Argument {
  readonly key: string;
  readonly values: readonly string[];
}

/** One case of a data-driven file: what to do, and what is to come of it. */
export interface Directive {
  readonly line: number;
  readonly command: string;
  readonly args: readonly Argument[];
  readonly input: string;
  readonly expected: string;
}

const SEPARATOR = "----";

/** Parses a file in the format of cockroachdb/datadriven. Lines may end as on Windows. */
export function parseDirectives(text: string): Directive[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const directives: Directive[] = [];
  let at = 0;
  const isSkipped = (line: string): boolean => line.trim() === "" || line.trim().startsWith("#");
  while (at < lines.length) {
    if (isSkipped(lines[at] ?? "")) {
      at += 1;
      continue;
    }
    const line = at + 1;
    let head = lines[at++] ?? "";
    while (head.endsWith("\\")) head = `${head.slice(0, -1).trimEnd()} ${(lines[at++] ?? "").trim()}`;
    const separator = lines.indexOf(SEPARATOR, at);
    if (separator < 0) throw new Error(`line ${line}: no ${SEPARATOR} follows the directive`);
    const input = lines.slice(at, separator).join("\n").trim();
    const block = expectedBlock(lines, separator + 1);
    at = block.next;
    directives.push({ line, ...parseHead(head), input, expected: block.text });
  }
  return directives;
}

/** Up to a blank line; or, begun by a second separator, up to two of them in a row. */
function expectedBlock(lines: readonly string[], start: number): { text: string; next: number } {
  const doubled = lines[start] === SEPARATOR;
  const first = doubled ? start + 1 : start;
  let end = first;
  const isEnd = (at: number): boolean => (doubled ? lines[at] === SEPARATOR && lines[at + 1] === SEPARATOR : lines[at]?.trim() === "");
  while (end < lines.length && !isEnd(end)) end += 1;
  const text = lines.slice(first, end).map((line) => `${line}\n`);
  return { text: text.join(""), next: end + (doubled ? 2 : 1) };
}

function parseHead(head: string): { command: string; args: Argument[] } {
  const [command = "", ...words] = splitTopLevel(head.trim(), " ");
  return { command, args: words.map(parseArgument) };
}

function parseArgument(word: string): Argument {
  const equals = word.indexOf("=");
  if (equals < 0) return { key: word, values: [] };
  const key = word.slice(0, equals);
  const value = word.slice(equals + 1);
  if (!value.startsWith("(")) return { key, values: [value] };
  const inner = value.slice(1, -1).trim();
  return { key, values: inner === "" ? [] : splitTopLevel(inner, ",").map((part) => part.trim()) };
}

/** Splits outside parentheses; runs of the separator count once where it is a space. */
function splitTopLevel(text: string, separator: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let part = "";
  for (const character of text) {
    if (character === "(") depth += 1;
    if (character === ")") depth -= 1;
    if (character === separator && depth === 0) {
      if (separator !== " " || part !== "") parts.push(part);
      part = "";
    } else {
      part += character;
    }
  }
  if (separator !== " " || part !== "") parts.push(part);
  return parts;
}

/** Keys without a value, in order. */
export function positional(directive: Directive): string[] {
  return directive.args.filter(({ values }) => values.length === 0).map(({ key }) => key);
}

export function option(directive: Directive, key: string): string | undefined {
  return optionList(directive, key)?.[0];
}

/** All values of the key, from each time that it stands there. */
export function optionList(directive: Directive, key: string): string[] | undefined {
  const found = directive.args.filter((argument) => argument.key === key && argument.values.length > 0);
  return found.length === 0 ? undefined : found.flatMap(({ values }) => values);
}

/** False where it is not there. */
export function flag(directive: Directive, key: string): boolean {
  const value = option(directive, key) ?? "false";
  if (value !== "true" && value !== "false") throw new HarnessError(`${key} is true or false, not ${value}`);
  return value === "true";
}

export function wholeNumber(word: string): number {
  if (!/^\d+$/.test(word)) throw new HarnessError(`${word} is no number`);
  return Number(word);
}

/** The positional arguments as ids, base 10. */
export function positionalIds(directive: Directive): number[] {
  return positional(directive).map(wholeNumber);
}
