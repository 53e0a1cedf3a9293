import { createHash } from "node:crypto";
import { errorResponse, refusalOf } from "./error-response.ts";
import type { Handler, HttpListener, HttpResponse } from "./http.ts";
import type { HttpLimits } from "./limits.ts";
import type { RawClient, RawResponse } from "./raw-client.ts";

export const HOST = "Host: x\r\n";
export const MIB = 1024 * 1024;

/** A server under test. */
export interface Ground {
  readonly port: number;
  readonly listener: HttpListener;
  client(): Promise<RawClient>;
}

export type Start = (handler: Handler, limits?: Partial<HttpLimits>) => Promise<Ground>;

export function text(value: string, status = 200): HttpResponse {
  const body = Buffer.from(value);
  return { status, headers: ["Content-Type", "text/plain"], length: body.byteLength, body };
}

/** Answers what it read: size and SHA-256; a failure as the app would. */
export const digesting: Handler = async (request) => {
  try {
    const hash = createHash("sha256");
    let sizeBytes = 0;
    for await (const chunk of request.body) {
      hash.update(chunk);
      sizeBytes += chunk.byteLength;
    }
    return text(`${sizeBytes} ${hash.digest("hex")}`);
  } catch (error) {
    return errorResponse(refusalOf(error));
  }
};

export function expected(bytes: Uint8Array): string {
  return `${bytes.byteLength} ${createHash("sha256").update(bytes).digest("hex")}`;
}

export function isSpecError(answer: RawResponse | undefined): boolean {
  const parsed = JSON.parse(answer?.body.toString() || "{}") as { errors?: { code?: unknown; message?: unknown }[] };
  return (
    typeof parsed.errors?.[0]?.code === "string" &&
    typeof parsed.errors[0].message === "string" &&
    answer?.headers.has("x-request-id") === true
  );
}

/** Gives the engine many turns of its event loop, by round trips on another connection. */
export async function roundTrips(ground: Ground, count: number): Promise<void> {
  const client = await ground.client();
  for (let index = 0; index < count; index += 1) await client.ask(`GET /ping HTTP/1.1\r\n${HOST}\r\n`);
  client.destroy();
}
