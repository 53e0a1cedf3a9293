import { type Digest, digestOf } from "../../src/core/digest.ts";
import type { TestImage } from "./image.ts";

/** One request without any retry; the body is read. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

export async function ask(
  method: string,
  url: string,
  options: { headers?: Record<string, string>; body?: Uint8Array } = {},
): Promise<Answer> {
  const answer = await fetch(url, { method, headers: options.headers, body: options.body as RequestInit["body"], redirect: "manual" });
  return { status: answer.status, headers: answer.headers, bytes: new Uint8Array(await answer.arrayBuffer()) };
}

function expectStatus(answer: Answer, status: number, what: string): Answer {
  if (answer.status === status) return answer;
  throw new Error(`${what}: ${answer.status} instead of ${status}: ${new TextDecoder().decode(answer.bytes.subarray(0, 500))}`);
}

/** Where the next request of a push goes: a base URL each time it is called. */
export type NextNode = () => string;

/** A chunked upload, POST, PATCH twice and PUT, each request to the node that `next` names (G4). */
export async function pushBlob(next: NextNode, repository: string, bytes: Uint8Array): Promise<Digest> {
  const digest = digestOf(bytes);
  const begun = expectStatus(await ask("POST", `${next()}/v2/${repository}/blobs/uploads/`), 202, "POST upload");
  const path = (answer: Answer): string => answer.headers.get("location")!.replace(/^https?:\/\/[^/]+/, ""); // a peer's may be absolute
  let location = path(begun);
  const half = Math.floor(bytes.byteLength / 2);
  for (const [start, end] of [
    [0, half],
    [half, bytes.byteLength],
  ] as const) {
    if (end === start) continue;
    const headers = { "content-type": "application/octet-stream", "content-range": `${start}-${end - 1}` };
    const sent = expectStatus(await ask("PATCH", next() + location, { headers, body: bytes.subarray(start, end) }), 202, "PATCH upload");
    location = path(sent);
  }
  const join = location.includes("?") ? "&" : "?";
  expectStatus(await ask("PUT", `${next()}${location}${join}digest=${digest}`), 201, "PUT upload");
  return digest;
}

export async function pushManifest(base: string, repository: string, reference: string, image: TestImage): Promise<void> {
  const headers = { "content-type": image.descriptor.mediaType };
  expectStatus(await ask("PUT", `${base}/v2/${repository}/manifests/${reference}`, { headers, body: image.manifest }), 201, "PUT manifest");
}

export async function pushImage(next: NextNode, repository: string, tag: string, image: TestImage): Promise<void> {
  for (const bytes of image.blobs.values()) await pushBlob(next, repository, bytes);
  await pushManifest(next(), repository, tag, image);
}

/** Pulls by tag and checks every byte of manifest and blobs against its digest. */
export async function pullImage(base: string, repository: string, reference: string, image: TestImage): Promise<void> {
  const manifest = expectStatus(await ask("GET", `${base}/v2/${repository}/manifests/${reference}`), 200, "GET manifest");
  if (digestOf(manifest.bytes) !== image.descriptor.digest)
    throw new Error(`${repository}:${reference} is not the manifest that was pushed`);
  for (const digest of image.blobs.keys()) {
    const blob = expectStatus(await ask("GET", `${base}/v2/${repository}/blobs/${digest}`), 200, `GET blob ${digest}`);
    if (digestOf(blob.bytes) !== digest) throw new Error(`the body of ${digest} has other bytes`);
  }
}
