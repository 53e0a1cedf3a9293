import { Counter, type Metric, type Registry } from "prom-client";

/** Labels of the routes; bounded, so that no client makes series. */
export const ROUTE_LABELS = [
  "none",
  "base",
  "catalog",
  "tags",
  "manifest",
  "blob",
  "uploads",
  "upload",
  "referrers",
  "operations",
  "admin",
] as const;
export type RouteLabel = (typeof ROUTE_LABELS)[number];

const METHODS = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "other"] as const;
const STATUSES = 600;
const BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const ROUTE_INDEX: ReadonlyMap<string, number> = new Map(ROUTE_LABELS.map((label, index) => [label, index]));
const METHOD_INDEX: ReadonlyMap<string, number> = new Map(METHODS.map((method, index) => [method, index]));
const OTHER_METHOD = METHODS.length - 1;
const HISTOGRAM = "roadstead_http_request_duration_seconds";

/** Requests by route, method and status, their latency by route, and bytes: plain arrays on the hot path. */
export class RequestTally {
  bytesIn = 0;
  bytesOut = 0;
  readonly #requests = new Map<number, number>();
  readonly #buckets = ROUTE_LABELS.map(() => new Float64Array(BUCKETS_SECONDS.length));
  readonly #sums = new Float64Array(ROUTE_LABELS.length);
  readonly #counts = new Float64Array(ROUTE_LABELS.length);

  /** @param elapsedMs from the head of the request to the head of the answer */
  count(route: RouteLabel, method: string, status: number, elapsedMs: number): void {
    const index = ROUTE_INDEX.get(route) ?? 0;
    const key = (index * METHODS.length + (METHOD_INDEX.get(method) ?? OTHER_METHOD)) * STATUSES + status;
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1);
    const seconds = elapsedMs / 1000;
    this.#sums[index] = (this.#sums[index] ?? 0) + seconds;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    let bucket = 0;
    while (bucket < BUCKETS_SECONDS.length && seconds > (BUCKETS_SECONDS[bucket] as number)) bucket += 1;
    const buckets = this.#buckets[index];
    if (buckets !== undefined && bucket < buckets.length) buckets[bucket] = (buckets[bucket] ?? 0) + 1;
  }

  register(registry: Registry): void {
    const registers = [registry];
    const tally = this;
    new Counter({
      name: "roadstead_http_requests_total",
      help: "Requests answered.",
      labelNames: ["route", "method", "status"],
      registers,
      collect() {
        this.reset();
        for (const [key, count] of tally.#requests) this.inc(labelsOf(key), count);
      },
    });
    new Counter({
      name: "roadstead_http_received_bytes_total",
      help: "Bytes of request bodies.",
      registers,
      collect() {
        this.reset();
        this.inc(tally.bytesIn);
      },
    });
    new Counter({
      name: "roadstead_http_sent_bytes_total",
      help: "Bytes of response bodies.",
      registers,
      collect() {
        this.reset();
        this.inc(tally.bytesOut);
      },
    });
    // prom-client's own histogram cannot be filled from counts; the registry asks no more of a metric than these
    const histogram = { name: HISTOGRAM, get: () => Promise.resolve(this.#histogram()) };
    registry.registerMetric(histogram as unknown as Metric);
  }

  #histogram() {
    const values: { metricName: string; labels: Record<string, string | number>; value: number }[] = [];
    ROUTE_LABELS.forEach((route, index) => {
      const total = this.#counts[index] ?? 0;
      if (total === 0) return;
      let running = 0;
      BUCKETS_SECONDS.forEach((le, bucket) => {
        running += this.#buckets[index]?.[bucket] ?? 0;
        values.push({ metricName: `${HISTOGRAM}_bucket`, labels: { le, route }, value: running });
      });
      values.push({ metricName: `${HISTOGRAM}_bucket`, labels: { le: "+Inf", route }, value: total });
      values.push({ metricName: `${HISTOGRAM}_sum`, labels: { route }, value: this.#sums[index] ?? 0 });
      values.push({ metricName: `${HISTOGRAM}_count`, labels: { route }, value: total });
    });
    return { name: HISTOGRAM, help: "Time from a request's head to the answer's head.", type: "histogram", values, aggregator: "sum" };
  }
}

function labelsOf(key: number): { route: string; method: string; status: string } {
  const status = key % STATUSES;
  const rest = (key - status) / STATUSES;
  const method = rest % METHODS.length;
  return {
    route: ROUTE_LABELS[(rest - method) / METHODS.length] ?? "none",
    method: METHODS[method] ?? "other",
    status: String(status),
  };
}
