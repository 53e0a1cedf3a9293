/** Error codes of the distribution-spec 1.1, and those that a registry needs beside them. */
export type OciCode =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DIGEST_INVALID"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "SIZE_INVALID"
  | "TAG_INVALID"
  | "PAGINATION_NUMBER_INVALID"
  | "UNAUTHORIZED"
  | "DENIED"
  | "UNSUPPORTED"
  | "TOOMANYREQUESTS"
  | "RANGE_INVALID" // an upload out of order, or a range past the end: 416
  | "REFERENCED" // a blob that a manifest still names: 405
  | "PRECONDITION_FAILED" // If-Match, If-None-Match: 412
  | "CONFLICT" // 409
  | "BODY_TOO_LARGE" // 413
  | "INSUFFICIENT_STORAGE" // 507
  | "UNAVAILABLE" // 503 with Retry-After
  | "REQUEST_INVALID" // 400: a URL, header or query that breaks HTTP or the spec
  | "REQUEST_TIMEOUT" // 408
  | "NOT_FOUND" // 404 of a route
  | "METHOD_NOT_ALLOWED" // 405 of a route
  | "INTERNAL"; // 500

export type ErrorFacts = Readonly<Record<string, string | number>>;

/** A refusal the client can act on. Anything else thrown is our bug: a logged 500. */
export class OciError extends Error {
  override readonly name = "OciError";
  readonly code: OciCode;
  readonly detail: ErrorFacts;

  constructor(code: OciCode, message: string, detail: ErrorFacts = {}, cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.detail = detail;
  }
}

export function isAbortError(error: unknown): boolean {
  return error instanceof Error && (error.name === "AbortError" || error.name === "TimeoutError");
}

/** The `code` of a system error (`ENOSPC`, `ENOENT`), or undefined. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
