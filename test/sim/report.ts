import { createHash } from "node:crypto";

/** What came of one seed, as it goes from process to process. */
export interface SeedReport {
  readonly seed: number;
  readonly steps: number;
  readonly virtualMs: number;
  readonly hash: string;
  readonly counts: readonly (readonly [fault: string, times: number])[];
  readonly answered: number;
  readonly violation: { readonly invariant: string; readonly message: string } | undefined;
}

const PROGRESS_MS = 10_000;

/** Adds seeds up, and prints them. */
export class Report {
  readonly #out: { write(text: string): unknown };
  readonly #hashes = new Map<number, string>();
  readonly #faults = new Map<string, { seeds: number; times: number }>();
  readonly #startedAt = performance.now();
  #shownAt = performance.now();
  #steps = 0;
  #virtualMs = 0;
  #answered = 0;
  violations = 0;

  constructor(out: { write(text: string): unknown }) {
    this.#out = out;
  }

  add({ seed, steps, virtualMs, hash, counts, answered, violation }: SeedReport): void {
    this.#hashes.set(seed, hash);
    this.#steps += steps;
    this.#virtualMs += virtualMs;
    this.#answered += answered;
    for (const [fault, times] of counts) {
      const known = this.#faults.get(fault) ?? { seeds: 0, times: 0 };
      this.#faults.set(fault, { seeds: known.seeds + 1, times: known.times + times });
    }
    if (violation !== undefined) {
      this.violations += 1;
      this.#out.write(`seed ${seed}: VIOLATION of "${violation.invariant}": ${violation.message}\n`);
    }
    if (performance.now() - this.#shownAt < PROGRESS_MS) return;
    this.#shownAt = performance.now();
    this.#out.write(`${this.#hashes.size} seeds, ${this.#steps} steps, ${this.violations} violations\n`);
  }

  end(): void {
    const seconds = (performance.now() - this.#startedAt) / 1_000;
    const seeds = this.#hashes.size;
    const rows = [...this.#faults].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [fault, { seeds: with_, times }] of rows) {
      this.#out.write(`${fault.padEnd(16)} ${String(times).padStart(10)} times, in ${((100 * with_) / seeds).toFixed(1)} % of the seeds\n`);
    }
    const trace = createHash("sha256");
    for (const [seed, hash] of [...this.#hashes].sort(([a], [b]) => a - b)) trace.update(`${seed}:${hash};`);
    const hours = (this.#virtualMs / 3_600_000).toFixed(1);
    const rate = Math.round(this.#steps / seconds);
    this.#out.write(
      `${seeds} seeds, ${this.#steps} steps (${rate}/s), ${hours} simulated hours, ${this.#answered} requests answered, ${seconds.toFixed(0)} s\n`,
    );
    this.#out.write(`trace ${trace.digest("hex").slice(0, 32)}\n`);
    this.#out.write(`${this.violations} violations\n`);
  }
}
