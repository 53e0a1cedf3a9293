import { createInterface } from "node:readline/promises";
import { Command, CommanderError } from "commander";
import { ConfigError } from "../config/load.ts";
import { systemCode } from "../core/errors.ts";
import { programVersion } from "../core/program-version.ts";
import { auditCommand } from "./audit.ts";
import { clientConfigCommand } from "./client-config.ts";
import { contentCommands } from "./content.ts";
import { Failure } from "./failure.ts";
import { gcCommand } from "./gc.ts";
import { nodeCommands } from "./nodes.ts";
import { recoverCommands } from "./recover.ts";
import { serveCommand } from "./serve.ts";
import { statusCommand } from "./status.ts";
import { tokenCommand } from "./token.ts";

export interface Terminal {
  readonly environment: Readonly<Record<string, string | undefined>>;
  print(text: string): void;
  /** What takes the place of all that stands on the screen, where people look on; elsewhere the next part, with the time above it. */
  page(text: string): void;
  /** A line that the next one takes the place of where people look on, which is on standard error: what is printed stays clean. */
  progress(line: string, last: boolean): void;
  /** @returns a line that a person typed; undefined where nobody sits there */
  ask(question: string): Promise<string | undefined>;
}

/** @returns the exit code: 0, 1 for what went wrong, 2 for a command line that is wrong */
export async function runProgram(args: readonly string[], environment: Terminal["environment"]): Promise<number> {
  const terminal: Terminal = { environment, print, page, progress, ask };
  const program = new Command("roadstead")
    .description("A container registry that is its own cluster.")
    .version(programVersion(), "-V, --version")
    .configureHelp({ helpWidth: 110 })
    .showHelpAfterError("(run with --help for what is allowed)")
    .addCommand(serveCommand(terminal))
    .addCommand(statusCommand(terminal))
    .addCommand(tokenCommand(terminal))
    .addCommand(auditCommand(terminal))
    .addCommand(gcCommand(terminal))
    .addCommand(clientConfigCommand(terminal));
  for (const command of [...nodeCommands(terminal), ...recoverCommands(terminal), ...contentCommands(terminal)])
    program.addCommand(command);
  embed(program);
  try {
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    return exitCodeOf(error);
  }
}

/** Only here is standard output touched: a node's log writes to it by itself. Whoever reads has seen enough, as `head` has: that is no failure. */
function print(text: string): void {
  if (process.stdout.listenerCount("error") === 0) process.stdout.on("error", endQuietly);
  process.stdout.write(text);
}

/** Line by line over what stood there, so that nothing flickers. */
function page(text: string): void {
  if (process.stdout.isTTY) print(`\x1b[H${text.replaceAll("\n", "\x1b[K\n")}\x1b[J`);
  else print(`${new Date().toISOString()}\n${text}\n`);
}

function progress(line: string, last: boolean): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}${last ? "\n" : ""}`);
  else process.stderr.write(`${line}\n`);
}

async function ask(question: string): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question);
  } finally {
    lines.close();
  }
}

function endQuietly(error: Error): void {
  if (systemCode(error) === "EPIPE") process.exit(0);
  throw error;
}

/** A command and those below it throw instead of ending the process, and print as we do. */
function embed(command: Command): void {
  command.exitOverride().configureOutput({ writeOut: print });
  for (const child of command.commands) embed(child);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has printed it
  if (error instanceof ConfigError) process.stderr.write(error.problems.map((problem) => `roadstead: ${problem}\n`).join(""));
  else if (error instanceof Failure) process.stderr.write(`roadstead: ${error.message}\n`);
  else process.stderr.write(`roadstead: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
}
