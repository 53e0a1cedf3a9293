import { OciError } from "../core/errors.ts";
import type { HttpLimits } from "./limits.ts";

const BAD_ESCAPE = /%(?![0-9a-fA-F]{2})/;

/** @throws REQUEST_INVALID for a `%` that no two hex digits follow */
export function parseQuery(query: string): URLSearchParams {
  if (BAD_ESCAPE.test(query)) throw new OciError("REQUEST_INVALID", "the query holds a % that two hex digits do not follow");
  return new URLSearchParams(query);
}

export interface PageQuery {
  readonly after: string;
  readonly limit: number;
}

/**
 * `n` and `last` of a listing (distribution-spec 1.1, "Listing Tags").
 * @throws PAGINATION_NUMBER_INVALID for an `n` that is no natural number
 */
export function parsePage(query: URLSearchParams, limits: HttpLimits): PageQuery {
  const after = query.get("last") ?? "";
  const count = query.get("n");
  if (count === null || count === "") return { after, limit: limits.pageItems };
  if (!/^\d+$/.test(count)) {
    throw new OciError("PAGINATION_NUMBER_INVALID", "n is to be a number of items, 0 or more", { n: count.slice(0, 64) });
  }
  return { after, limit: Math.min(Number(count), limits.pageItems) };
}

/** RFC 8288; relative, as clients that check the host want it. */
export function nextLink(path: string, parameters: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) query.set(name, value);
  }
  return `<${path}?${query}>; rel="next"`;
}
