import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Compiled code, kept from one run to the next. Given by the environment, so that the entry point is in it too. */
const COMPILED = process.env.NODE_COMPILE_CACHE ?? join(import.meta.dirname, "../../node_modules/.cache/roadstead-compiled");

const PATIENCE_MS = 60_000;
const LINES_MAX = 20_000;
const TAIL_LENGTH = 4_000;

/** How a process is started: a command line, its environment beside this process's, and a file that its log is added to as well. */
export interface Launch {
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly logFile?: string;
}

/** The processes of one node, one after the other: what the last one logs, and whether it runs. It ends by itself when this process does. */
export class NodeProcess {
  readonly name: string;
  /** Log lines since its last start, parsed. */
  log: Record<string, unknown>[] = [];
  #child: ChildProcess | undefined;
  #onLine: (() => void)[] = [];
  #tail = "";

  constructor(name: string) {
    this.name = name;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The last that it said, as it said it. */
  get tail(): string {
    return this.#tail;
  }

  /** Starts it and waits until it serves reads. */
  async launch({ command: [program = "", ...args], env, logFile }: Launch): Promise<void> {
    const child = spawn(program, args, {
      env: { ...process.env, NODE_COMPILE_CACHE: COMPILED, ...env },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const file = logFile === undefined ? undefined : createWriteStream(logFile, { flags: "a" });
    this.#child = child;
    this.log = [];
    this.#tail = "";
    for (const stream of [child.stdout!, child.stderr!]) createInterface({ input: stream }).on("line", (line) => this.#read(line, file));
    child.on("error", (error) => this.#read(error.message, file));
    child.on("exit", () => this.#wake());
    child.on("close", () => file?.end());
    await this.logged((line) => line.msg === "ready");
  }

  #read(line: string, file: WriteStream | undefined): void {
    file?.write(`${line}\n`);
    this.#tail = `${this.#tail}${line}\n`.slice(-TAIL_LENGTH);
    try {
      this.log.push(JSON.parse(line) as Record<string, unknown>);
    } catch {
      this.log.push({ msg: line });
    }
    if (this.log.length > LINES_MAX) this.log.splice(0, LINES_MAX / 2);
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#onLine;
    this.#onLine = [];
    for (const run of waiting) run();
  }

  /** Resolves with the first log line since its last start, earlier ones included, that fits. */
  async logged(fits: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
    const until = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = this.log.find(fits);
      if (found !== undefined) return found;
      if (!this.running) throw new Error(`${this.name} has exited; it said:\n${this.#tail}`);
      if (performance.now() > until) throw new Error(`${this.name} did not log what was awaited; it said:\n${this.#tail}`);
      await new Promise<void>((woken) => {
        const timer = setTimeout(woken, PATIENCE_MS);
        this.#onLine.push(() => {
          clearTimeout(timer);
          woken();
        });
      });
    }
  }

  /** Sends a signal that the process may outlive. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child?.kill(signal);
  }

  /** Ends the process with `signal` and waits for its exit. @returns its exit code, or the signal that ended it; undefined where none ran */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number | NodeJS.Signals | undefined> {
    const child = this.#child;
    if (child === undefined || !this.running) return undefined;
    const gone = once(child, "close"); // with all that it said
    child.kill(signal);
    await gone;
    return child.exitCode ?? child.signalCode ?? undefined;
  }
}
