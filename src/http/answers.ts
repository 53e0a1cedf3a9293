import type { Digest } from "../core/digest.ts";
import type { Read } from "../registry/registry.ts";
import type { HttpResponse } from "./http.ts";

const encoder = new TextEncoder();
const VISIBLE_ASCII = /^[\x20-\x7e]+$/;

/** An answer without a body: 201, 202, 204, 304. */
export function empty(status: number, headers: string[] = []): HttpResponse {
  return { status, headers, length: status === 204 || status === 304 ? undefined : 0, body: undefined };
}

export function json(status: number, value: unknown, headers: string[] = [], contentType = "application/json"): HttpResponse {
  const body = encoder.encode(JSON.stringify(value));
  headers.push("Content-Type", contentType);
  return { status, headers, length: body.byteLength, body };
}

export function text(status: number, value: string, contentType: string): HttpResponse {
  const body = encoder.encode(value);
  return { status, headers: ["Content-Type", contentType], length: body.byteLength, body };
}

/** The head that GET and HEAD of content share. What is stored is the pusher's: no browser may guess at it. */
export function contentHeaders(contentType: string, digest: Digest, freshness: Read<unknown>["freshness"]): string[] {
  const headers = [
    "Content-Type",
    VISIBLE_ASCII.test(contentType) ? contentType : "application/octet-stream",
    "Docker-Content-Digest",
    digest,
    "ETag",
    `"${digest}"`,
    "X-Content-Type-Options",
    "nosniff",
  ];
  addFreshness(headers, freshness);
  return headers;
}

export function addFreshness(headers: string[], freshness: Read<unknown>["freshness"]): void {
  if (freshness === "cutOff") headers.push("Warning", STALE);
}

/** G3: what a node that is cut off answers (RFC 7234 section 5.5.1). */
export const STALE = '110 - "Response is Stale"';
