import { digestOf } from "../core/digest.ts";
import { OCI_MANIFEST } from "../core/media-types.ts";
import type { Random } from "../core/random.ts";

export interface FuzzRequest {
  readonly bytes: Buffer;
  readonly isHead: boolean;
  /** Bytes were changed after it was made: nobody knows where it ends. */
  readonly spoilt: boolean;
}

const BYTES = Buffer.from("fuzz");
const DIGEST = digestOf(BYTES);
const NAMES = [
  "team/app",
  "a",
  "blobs/uploads",
  "A",
  "a//b",
  "../etc",
  "a/%2e%2e/b",
  "a%2Fb",
  "%",
  "%zz",
  "%ff%fe",
  "a\u00e9",
  "",
  "-a",
  "a.",
  "x".repeat(300),
];
const TAGS = [
  "v1",
  "latest",
  "",
  ".",
  "..",
  "-x",
  "v%31",
  "%00",
  "a b",
  "t".repeat(129),
  "\u00e9",
  "*",
  "v1/x",
  "sha256:",
  "sha256:zz",
  "list",
];
const DIGESTS = [
  DIGEST,
  digestOf(BYTES, "sha512"),
  `sha256:${"g".repeat(64)}`,
  DIGEST.toUpperCase(),
  "sha256:",
  "md5:00",
  `sha256%3A${"0".repeat(64)}`,
  ":",
  "%",
  "",
];
const NUMBERS = ["0", "1", "-1", "1e9", "99999999999999999999", "x", "", "0x10", "1.5", " 1"];
const RANGES = [
  "bytes=0-1",
  "bytes=1-0",
  "bytes=-1",
  "bytes=-0",
  "bytes=9-",
  "bytes=-",
  "bytes=0-1,3-4",
  "items=0-1",
  "bytes=99999999999999999999-",
  "\u00ff",
  "",
];
const CONTENT_RANGES = ["0-3", "4-7", "bytes 0-3/4", "3-0", "x", "", "-1-3", "0-99999999999999999999", "0-3/*", "*/4"];
const TAGS_OF_ENTITIES = ["*", `"${DIGEST}"`, `W/"${DIGEST}"`, "", '"', '"",,"', "x", `${'"a",'.repeat(200)}"b"`];
const TYPES = [OCI_MANIFEST, "", "text/plain; charset=x", ";", "application/vnd.unknown+json", "\u00ff", "a".repeat(2_000)];
const BODIES = [
  "",
  "fuzz",
  "{}",
  "[]",
  "null",
  "{",
  '{"mediaType":3}',
  '{"subject":{"digest":"x"}}',
  '{"layers":{}}',
  '{"config":null}',
  "\u0000\u00ff",
  `{"a":${"[".repeat(5_000)}`,
  '{"mediaType":"a\\r\\nb"}',
];
const METHODS = ["GET", "GET", "HEAD", "PUT", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get", "PROPFIND"];

/** One request that may break any rule of HTTP or the spec. @param sessions ids of upload sessions that were begun */
export function fuzzRequest(random: Random, sessions: readonly string[]): FuzzRequest {
  const pick = <T>(choices: readonly T[]): T => choices[Math.floor(random.float() * choices.length)] as T;
  const chance = (likelihood: number): boolean => random.float() < likelihood;
  const method = pick(METHODS);
  const target = fuzzTarget(pick, chance, sessions);
  const body = chance(0.4) ? Buffer.alloc(0) : Buffer.from(chance(0.2) ? random.bytes(200) : pick(BODIES));
  const lines = [`${method} ${target} HTTP/1.1`, "Host: fuzz"];
  if (chance(0.2)) lines.push(`Range: ${pick(RANGES)}`);
  if (chance(0.3)) lines.push(`Content-Range: ${pick(CONTENT_RANGES)}`);
  if (chance(0.2)) lines.push(`If-Match: ${pick(TAGS_OF_ENTITIES)}`);
  if (chance(0.2)) lines.push(`If-None-Match: ${pick(TAGS_OF_ENTITIES)}`);
  if (chance(0.1)) lines.push(`If-Range: ${pick(TAGS_OF_ENTITIES)}`);
  if (chance(0.6)) lines.push(`Content-Type: ${pick(TYPES)}`);
  if (chance(0.05)) lines.push("Expect: 100-continue");
  if (chance(0.02)) lines.push(`X-Junk: ${"x".repeat(pick([10, 5_000, 40_000]))}`);
  let framed = body;
  if (chance(0.2)) {
    lines.push("Transfer-Encoding: chunked");
    const chunk = Buffer.concat([Buffer.from(`${body.byteLength.toString(16)}\r\n`), body, Buffer.from("\r\n")]);
    framed = Buffer.concat([body.byteLength > 0 ? chunk : body, Buffer.from("0\r\n\r\n")]);
  } else if (body.byteLength > 0) {
    lines.push(`Content-Length: ${body.byteLength}`);
  }
  const bytes = Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), framed]);
  const spoilt = chance(0.08);
  if (spoilt)
    for (let count = pick([1, 2, 8]); count > 0; count -= 1) bytes[Math.floor(random.float() * bytes.byteLength)] = random.bytes(1)[0] ?? 0;
  return { bytes, isHead: bytes.subarray(0, 5).toString("latin1") === "HEAD ", spoilt };
}

function fuzzTarget(pick: <T>(choices: readonly T[]) => T, chance: (likelihood: number) => boolean, sessions: readonly string[]): string {
  const name = chance(0.5) ? "team/app" : pick(NAMES);
  const paths = [
    `/v2/${name}/manifests/${chance(0.5) ? pick(TAGS) : pick(DIGESTS)}`,
    `/v2/${name}/blobs/${pick(DIGESTS)}`,
    `/v2/${name}/blobs/uploads/`,
    `/v2/${name}/blobs/uploads/${sessions.length > 0 && chance(0.8) ? pick(sessions) : pick(TAGS)}`,
    `/v2/${name}/tags/list`,
    `/v2/${name}/referrers/${pick(DIGESTS)}`,
    "/v2/_catalog",
    "/v2/",
    `/v2/${name}`,
    pick([
      "/",
      "//",
      "*",
      "/v2/../..",
      "/metrics",
      "/healthz",
      "/readyz",
      "/_roadstead/v1/status",
      "http://fuzz/v2/",
      `/${"x".repeat(9_000)}`,
    ]),
  ];
  const parameters: string[] = [];
  const add = (parameter: string, likelihood: number): void => {
    if (chance(likelihood)) parameters.push(parameter);
  };
  add(`digest=${pick(DIGESTS)}`, 0.3);
  add(`mount=${pick(DIGESTS)}`, 0.15);
  add(`from=${pick(NAMES)}`, 0.15);
  add(`digest-algorithm=${pick(["sha256", "sha512", "md5", "", "%"])}`, 0.1);
  add(`tag=${pick(TAGS)}`, 0.15);
  add(`n=${pick(NUMBERS)}`, 0.25);
  add(`last=${pick(TAGS)}`, 0.2);
  add(`artifactType=${pick(TYPES)}`, 0.1);
  add(pick(["&&", "=", "%", "%zz", "?", "#x"]), 0.05);
  const target = pick(paths) + (parameters.length > 0 ? `?${parameters.join("&")}` : "");
  return chance(0.95) ? target.replaceAll(" ", "%20") : target;
}
