import { STATUS_CODES } from "../../core/builtin-http.ts";
import type { HttpResponse } from "../http.ts";

/** An answer as bytes, for a request that node:http could not parse. The connection ends after it. */
export function rawAnswer(response: HttpResponse): Uint8Array {
  const lines = [`HTTP/1.1 ${response.status} ${STATUS_CODES[response.status] ?? "Unknown"}`];
  for (let index = 0; index < response.headers.length; index += 2) {
    lines.push(`${response.headers[index]}: ${response.headers[index + 1]}`);
  }
  lines.push(`Content-Length: ${response.length ?? 0}`, "Connection: close", "", "");
  const head = Buffer.from(lines.join("\r\n"), "latin1");
  return response.body instanceof Uint8Array ? Buffer.concat([head, response.body]) : head;
}
