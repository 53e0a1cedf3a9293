import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";

const MAIN = join(import.meta.dirname, "..", "src", "cli", "main.ts");
const TAIL_LINES = 4;
const TAIL_LINE_LENGTH_MAX = 300;

export interface NodePlan {
  readonly name: string;
  /** Folder of all nodes' data; this one's is `<folder>/<name>`. */
  readonly folder: string;
  readonly httpPort: number;
  readonly p2pPort: number;
}

/** One node as a process of its own, its log in a file. It stops by itself when this process goes, however it goes: the channel closes. */
export class ChildNode {
  readonly plan: NodePlan;
  #child: ChildProcess | undefined;
  #ended: Promise<number | string> = Promise.resolve(0);

  constructor(plan: NodePlan) {
    this.plan = plan;
  }

  get data(): string {
    return join(this.plan.folder, this.plan.name);
  }

  get logFile(): string {
    return join(this.plan.folder, `${this.plan.name}.log`);
  }

  /** Whether it belongs to a cluster already. */
  get isMember(): boolean {
    return existsSync(join(this.data, "node.json"));
  }

  /**
   * Resolves when the node is ready to serve.
   * @param entry how it enters a cluster: `--bootstrap`, or `--join` and `--token`; nothing for one that is in it
   * @param onEnd called when the process ends, with its exit code or signal
   */
  async start(entry: readonly string[], onEnd: (how: number | string) => void): Promise<void> {
    mkdirSync(this.plan.folder, { recursive: true });
    const log = openSync(this.logFile, "a");
    const { name, httpPort, p2pPort } = this.plan;
    const listen = ["--http", `127.0.0.1:${httpPort}`, "--p2p", `127.0.0.1:${p2pPort}`];
    const args = [MAIN, "serve", "--data", this.data, "--name", name, ...listen, ...entry];
    // A group of its own: Ctrl-C reaches the launcher alone, which stops the nodes in order
    const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", log, log, "ipc"] });
    closeSync(log);
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once("exit", (code, signal) => resolve(signal ?? code ?? 1));
      child.once("error", (error) => resolve(error.message));
    });
    void this.#ended.then((how) => {
      this.#child = undefined;
      onEnd(how);
    });
    const ready = new Promise<void>((resolve) => child.once("message", () => resolve()));
    const early = this.#ended.then((how) => {
      throw new Error(`${name} did not start (${describeEnd(how)}). The end of ${this.logFile}:\n${this.tail()}`);
    });
    await Promise.race([ready, early]);
    early.catch(() => undefined); // it ends some day, and that is told by onEnd
  }

  /** Asks the process to stop; resolves when it has. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    this.#child?.kill(signal);
    await this.#ended;
  }

  tail(): string {
    const lines = existsSync(this.logFile) ? readFileSync(this.logFile, "utf8").trimEnd().split("\n") : [];
    return lines
      .slice(-TAIL_LINES)
      .map((line) => `    ${line.slice(0, TAIL_LINE_LENGTH_MAX)}`)
      .join("\n");
  }
}

export function describeEnd(how: number | string): string {
  return typeof how === "number" ? `exit code ${how}` : how;
}
