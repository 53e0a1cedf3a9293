import { expect, test } from "vitest";
import { OciError } from "../core/errors.ts";
import { appDouble } from "./app-double.ts";
import { route } from "./router.ts";

const DIGEST = `sha256:${"0".repeat(64)}`;

function codeOf(method: string, path: string): string {
  try {
    route(method, path);
    return "none";
  } catch (error) {
    if (error instanceof OciError) return error.code;
    throw error;
  }
}

test.each([
  ["/v2", { kind: "base" }],
  ["/v2/", { kind: "base" }],
  ["/v2/_catalog", { kind: "catalog" }],
  ["/v2/hello/tags/list", { kind: "tags", repository: "hello" }],
  ["/v2/a/b/c/manifests/v1", { kind: "manifest", repository: "a/b/c", reference: { tag: "v1" } }],
  [`/v2/a/manifests/${DIGEST}`, { kind: "manifest", repository: "a", reference: { digest: DIGEST } }],
  [`/v2/a/blobs/${DIGEST}`, { kind: "blob", repository: "a", digest: DIGEST }],
  [`/v2/a/referrers/${DIGEST}`, { kind: "referrers", repository: "a", digest: DIGEST }],
  ["/v2/a/blobs/uploads/12D3KooW-0f", { kind: "upload", repository: "a", id: "12D3KooW-0f" }],
  ["/v2/blobs/uploads/manifests/v1", { kind: "manifest", repository: "blobs/uploads", reference: { tag: "v1" } }],
  ["/v2/manifests/tags/list", { kind: "tags", repository: "manifests" }],
  ["/v2/a%2Fb/manifests/v%31", { kind: "manifest", repository: "a/b", reference: { tag: "v1" } }],
  [`/v2/a/blobs/sha256%3A${"0".repeat(64)}`, { kind: "blob", repository: "a", digest: DIGEST }],
])("%s is found", (path, found) => {
  expect(route("GET", path)).toEqual(found);
});

test("a POST begins an upload with and without the slash", () => {
  expect(route("POST", "/v2/a/blobs/uploads/")).toEqual({ kind: "uploads", repository: "a" });
  expect(route("POST", "/v2/a/blobs/uploads")).toEqual({ kind: "uploads", repository: "a" });
});

test.each([
  ["/v2/UPPER/manifests/v1", "NAME_INVALID"],
  ["/v2//manifests/v1", "NAME_INVALID"],
  ["/v2/manifests/v1", "NAME_INVALID"],
  ["/v2/a//b/tags/list", "NAME_INVALID"],
  ["/v2/a/../b/manifests/v1", "NAME_INVALID"],
  ["/v2/a%2f..%2f..%2fetc/manifests/v1", "NAME_INVALID"],
  ["/v2/a%00/manifests/v1", "NAME_INVALID"],
  [`/v2/${"a".repeat(256)}/manifests/v1`, "NAME_INVALID"],
  ["/v2/a/manifests/..", "TAG_INVALID"],
  ["/v2/a/manifests/-x", "TAG_INVALID"],
  [`/v2/a/manifests/${"t".repeat(129)}`, "TAG_INVALID"],
  ["/v2/a/manifests/sha256:abc", "DIGEST_INVALID"],
  ["/v2/a/manifests/md5:0123", "DIGEST_INVALID"],
  [`/v2/a/blobs/${DIGEST.toUpperCase()}`, "DIGEST_INVALID"],
  ["/v2/a/blobs/uploads/..", "BLOB_UPLOAD_UNKNOWN"],
  ["/v2/a/manifests/%zz", "REQUEST_INVALID"],
  ["/v2/a/manifests/%ff", "REQUEST_INVALID"],
  ["/v2/../etc/passwd", "REQUEST_INVALID"],
  ["/v2/a/manifests/v1/../../x", "REQUEST_INVALID"],
  ["/v2/a/b", "NOT_FOUND"],
  ["/v2/a/manifests/", "TAG_INVALID"],
])("http-rule 27: %s is %s", (path, code) => {
  expect(codeOf("GET", path)).toBe(code);
});

test("http-rule 26: a method that an end point does not have is 405 with Allow, in the spec's JSON", async () => {
  const app = appDouble();
  for (const [method, path, allow] of [
    ["PATCH", "/v2/a/manifests/v1", "GET, HEAD, PUT, DELETE"],
    ["PUT", `/v2/a/blobs/${DIGEST}`, "GET, HEAD, DELETE"],
    ["GET", "/v2/a/blobs/uploads/", "POST"],
    ["POST", "/v2/a/tags/list", "GET, HEAD"],
    ["OPTIONS", "/v2/", "GET, HEAD"],
    ["DELETE", "/healthz", "GET, HEAD"],
  ] as const) {
    const answer = await app.ask(method, path);
    expect([answer.status, answer.code, answer.headers.get("allow")], path).toEqual([405, "METHOD_NOT_ALLOWED", allow]);
  }
});
