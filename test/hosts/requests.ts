import type { Host } from "./host.ts";
import type { RunRecord } from "./record.ts";

/** A client gives up on an answer: a write may wait for `http.deadline`, a read for a few seconds. */
const WRITE_MS = 12_000;
const READ_MS = 6_000;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  /** Answered from a state that may be old (`Warning: 110`). */
  readonly stale: boolean;
}

export interface Sending {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

/** One request to one host, without any retry. @returns undefined where no answer, or not all of it, came; the host may have done it or not */
export async function ask(host: Host, method: string, path: string, { headers, body }: Sending = {}): Promise<Answer | undefined> {
  const patienceMs = method === "GET" || method === "HEAD" ? READ_MS : WRITE_MS;
  try {
    const answer = await fetch(host.url + path, {
      method,
      headers: headers ?? {},
      redirect: "manual",
      signal: AbortSignal.timeout(patienceMs),
      ...(body === undefined ? {} : { body: body as RequestInit["body"] }),
    });
    const bytes = new Uint8Array(await answer.arrayBuffer());
    return { status: answer.status, headers: answer.headers, bytes, stale: (answer.headers.get("warning") ?? "").startsWith("110") };
  } catch {
    return undefined;
  }
}

/** As `ask`, for what changes something; how it went is recorded. */
export async function write(
  record: RunRecord,
  what: "upload" | "manifest" | "delete",
  host: Host,
  method: string,
  path: string,
  sending: Sending = {},
): Promise<Answer | undefined> {
  const calledAt = performance.now();
  const answer = await ask(host, method, path, sending);
  record.wrote({ host: host.name, what, calledAt, endedAt: performance.now(), status: answer?.status });
  return answer;
}
