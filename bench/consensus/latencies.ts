export interface Summary {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export class Latencies {
  readonly #all: number[] = [];

  add(ms: number): void {
    this.#all.push(ms);
  }

  summary(measuredMs: number): Summary {
    const sorted = Float64Array.from(this.#all).sort();
    const at = (part: number): number => sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN;
    return { perSecond: (sorted.length * 1_000) / measuredMs, p50Ms: at(0.5), p99Ms: at(0.99) };
  }
}
