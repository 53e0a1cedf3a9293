import { type OciCode, OciError, systemCode } from "../core/errors.ts";
import { json, STALE } from "./answers.ts";
import type { HttpResponse } from "./http.ts";

/** The one place where a code meets HTTP. */
const STATUS = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  TAG_INVALID: 400,
  PAGINATION_NUMBER_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  RANGE_INVALID: 416,
  REFERENCED: 405,
  PRECONDITION_FAILED: 412,
  CONFLICT: 409,
  BODY_TOO_LARGE: 413,
  INSUFFICIENT_STORAGE: 507,
  UNAVAILABLE: 503,
  REQUEST_INVALID: 400,
  REQUEST_TIMEOUT: 408,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  INTERNAL: 500,
} satisfies Record<OciCode, number>;

/** Overrides where one code has two statuses in HTTP: a target that is too long, a head that is too large. */
const STATUS_FACT = "httpStatus";
const RETRY_FACT = "retryAfterSeconds";
const RETRY_AFTER_SECONDS = 1;

/** What was thrown, as a refusal: one of ours stays as it is, a full disk is 507, the rest is our bug. */
export function refusalOf(thrown: unknown): OciError {
  if (thrown instanceof OciError) return thrown;
  const code = systemCode(thrown);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new OciError("INSUFFICIENT_STORAGE", "the disk of this node is full: free space on it or add a node, then retry", {}, thrown);
  }
  return new OciError("INTERNAL", "the registry failed; its log names this request id", {}, thrown);
}

export function statusOf(error: OciError): number {
  const status = error.detail[STATUS_FACT];
  return typeof status === "number" ? status : STATUS[error.code];
}

/** Distribution-spec 1.1, "Error Codes", with the headers that clients act on. */
export function errorResponse(error: OciError, headers: string[] = []): HttpResponse {
  const status = statusOf(error);
  if (status === 503 || status === 429) {
    const seconds = error.detail[RETRY_FACT];
    headers.push("Retry-After", String(typeof seconds === "number" ? Math.max(1, Math.ceil(seconds)) : RETRY_AFTER_SECONDS));
  }
  if (error.detail.freshness === "cutOff") headers.push("Warning", STALE);
  if (typeof error.detail.allow === "string") headers.push("Allow", error.detail.allow);
  return json(status, { errors: [{ code: error.code, message: error.message, detail: error.detail }] }, headers);
}
