import type { LogLevel } from "../../src/raft/types.ts";
import { HarnessError } from "./harness-error.ts";

const LEVELS = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"] as const;
export type OutputLevel = (typeof LEVELS)[number];

export function parseLevel(text: string): OutputLevel {
  const level = LEVELS.find((name) => name === text.toUpperCase());
  if (level === undefined) throw new HarnessError(`log levels must be either of [${LEVELS.join(" ")}]`);
  return level;
}

/** What a directive prints: the harness's own text and the log lines of the nodes, in the order of events. */
export class Output {
  level: OutputLevel = "DEBUG";
  #text = "";

  get quiet(): boolean {
    return this.level === "NONE";
  }

  write(text: string): void {
    if (!this.quiet) this.#text += text;
  }

  log(level: LogLevel, line: () => string): void {
    const name = level.toUpperCase() as OutputLevel;
    if (LEVELS.indexOf(this.level) <= LEVELS.indexOf(name)) this.write(`${name} ${line()}\n`);
  }

  take(): string {
    const text = this.#text;
    this.#text = "";
    return text;
  }

  /** Two spaces before each line that `run` prints; the last line is ended. */
  indented(run: () => void): void {
    const before = this.take();
    run();
    const lines = this.take().split("\n");
    if (lines.at(-1) === "") lines.pop();
    this.#text = before + lines.map((line) => `  ${line}\n`).join("");
  }
}
