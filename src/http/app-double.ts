import { type Clock, systemClock } from "../core/clock.ts";
import type { Log, LogFields } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { type AccessLog, createApp } from "./app.ts";
import type { Handler, HttpRequest } from "./http.ts";
import { splitTarget } from "./http.ts";
import { DEFAULT_LIMITS, type HttpLimits } from "./limits.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { RegistryDouble } from "./registry-double.ts";

export interface Line {
  readonly level: string;
  readonly fields: LogFields;
  readonly message: string;
}

export class LogDouble implements Log {
  readonly lines: Line[] = [];
  debug = (fields: LogFields, message: string) => void this.lines.push({ level: "debug", fields, message });
  info = (fields: LogFields, message: string) => void this.lines.push({ level: "info", fields, message });
  warn = (fields: LogFields, message: string) => void this.lines.push({ level: "warn", fields, message });
  error = (fields: LogFields, message: string) => void this.lines.push({ level: "error", fields, message });
  child = () => this;
}

/** An answer with its body read. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  readonly json: unknown;
  /** Code of the first error in it. */
  readonly code: string | undefined;
}

export interface AppDouble {
  readonly registry: RegistryDouble;
  readonly handler: Handler;
  readonly log: LogDouble;
  readonly metrics: Metrics;
  readonly ready: { reads: boolean; writes: boolean; stopping: boolean; uploads: boolean };
  ask(method: string, target: string, options?: AskOptions): Promise<Answer>;
}

export interface AskOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string | readonly Uint8Array[];
  /** No Content-Length: a stream. */
  readonly chunked?: boolean;
  /** Called when the handler begins to read the body. */
  readonly onRead?: () => void;
}

export const SAMPLE = {
  raftTerm: 3,
  commitIndex: 41,
  appliedIndex: 40,
  role: "leader",
  elections: 2,
  cutOff: false,
  blobs: 5,
  blobBytes: 1234,
  diskFreeBytes: 900,
  diskReserveBytes: 1000,
  diskLow: true,
  peers: 2,
  underReplicated: { blobs: 7, bytes: 70 },
  moving: { blobs: 8, bytes: 80 },
  quarantined: 9,
  repairedBytes: 11,
  movedBytes: 12,
  scrub: { running: true, done: 0.25, endedAtMs: 4_000, readBytes: 13, badCopies: 14 },
  members: 3,
  raftTurnedAway: { malformed: 6, strangers: 0 },
} as const;

/** The whole app over the double, driven without a socket. */
export function appDouble(options: { limits?: Partial<HttpLimits>; accessLog?: AccessLog; clock?: Clock } = {}): AppDouble {
  const registry = new RegistryDouble();
  const log = new LogDouble();
  const metrics = createMetrics({ sample: () => SAMPLE });
  const ready = { reads: true, writes: true, stopping: false, uploads: true };
  const handler = createApp({
    registry,
    operations: { metrics, readiness: { reads: () => ready.reads, writes: async () => ready.writes, stopping: () => ready.stopping } },
    takesUploads: () => ready.uploads,
    log,
    random: seededRandom(1),
    clock: options.clock ?? systemClock,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    ...(options.accessLog === undefined ? {} : { accessLog: options.accessLog }),
  });
  return { registry, handler, log, metrics, ready, ask: (method, target, asked) => ask(handler, method, target, asked) };
}

export async function ask(handler: Handler, method: string, target: string, options: AskOptions = {}): Promise<Answer> {
  const signal = new AbortController().signal;
  const response = await handler(requestDouble(method, target, options), signal);
  const chunks: Uint8Array[] = [];
  if (response.body instanceof Uint8Array) chunks.push(response.body);
  else if (response.body !== undefined) for await (const chunk of response.body.open(signal)) chunks.push(Uint8Array.from(chunk));
  const headers = new Headers();
  for (let index = 0; index < response.headers.length; index += 2) {
    headers.append(response.headers[index] as string, response.headers[index + 1] as string);
  }
  if (response.length !== undefined) headers.set("content-length", String(response.length));
  const body = method === "HEAD" ? Buffer.alloc(0) : Buffer.concat(chunks);
  const isJson = /json/.test(headers.get("content-type") ?? "");
  const json: unknown = isJson && body.byteLength > 0 ? JSON.parse(body.toString()) : undefined;
  return { status: response.status, headers, body, json, code: (json as { errors?: { code: string }[] })?.errors?.[0]?.code };
}

function requestDouble(method: string, target: string, options: AskOptions): HttpRequest {
  const { body } = options;
  const chunks = body === undefined ? [] : typeof body === "string" ? [Buffer.from(body)] : body instanceof Uint8Array ? [body] : body;
  const sizeBytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  const headers = new Headers(options.headers);
  const declared = headers.get("content-length");
  const contentLength = options.chunked || body === undefined ? undefined : declared === null ? sizeBytes : Number(declared);
  const read = async function* (): AsyncIterable<Uint8Array> {
    options.onRead?.();
    yield* chunks;
  };
  return {
    method,
    target,
    ...splitTarget(target),
    remoteAddress: "127.0.0.1",
    contentLength,
    hasBody: options.chunked === true || (contentLength ?? 0) > 0,
    expectsContinue: headers.has("expect"),
    header: (name) => headers.get(name) ?? undefined,
    body: read(),
  };
}
