import { algorithmOf, type Digest, digestOf, parseDigest } from "../core/digest.ts";
import type { OciError } from "../core/errors.ts";
import { bareMediaType, DOCKER_LIST, DOCKER_MANIFEST, isForeignLayer, OCI_INDEX, OCI_MANIFEST } from "../core/media-types.ts";
import { decodeJsonObject, invalid, isJsonObject, type JsonObject } from "./manifest-json.ts";

/** What one descriptor of a manifest names. `either`: an index lists it under a media type that is no manifest's, as build caches do with their layers. */
export interface Described {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly kind: "blob" | "manifest" | "foreign" | "either";
}

export interface ParsedManifest {
  readonly mediaType: string;
  /** In order, each digest once for each kind. */
  readonly describes: readonly Described[];
  readonly subject: Digest | undefined;
  /** As the referrers answer shows it: `artifactType`, else the config's media type (distribution-spec 1.1, "Listing Referrers"). */
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

type Shape = "image" | "index" | "artifact";

/** The artifact manifest of the image-spec's release candidates: not in 1.1, but pushed once and still copied between registries. */
const OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json";
const SHAPES: ReadonlyMap<string, Shape> = new Map([
  [OCI_MANIFEST, "image"],
  [DOCKER_MANIFEST, "image"],
  [OCI_INDEX, "index"],
  [DOCKER_LIST, "index"],
  [OCI_ARTIFACT, "artifact"],
]);
/** Its layers are named by signatures and not by descriptors, so nothing would keep them. */
const SCHEMA_1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+(?:json|prettyjws)$/;
const MEDIA_TYPE_LENGTH_MAX = 255;
const ARTIFACT_TYPE_LENGTH_MAX = 1_024;

/**
 * Parses a manifest as a client pushed it.
 * @param contentType of the request, without parameters; empty where there was none: then the `mediaType` of the body, else its shape says what it is
 * @throws OciError MANIFEST_INVALID with what is wrong in `detail`
 * @see image-spec 1.1, "Image Manifest", "Image Index", "Descriptors"
 */
export function parseManifest(contentType: string, bytes: Uint8Array): ParsedManifest {
  const given = bareMediaType(contentType);
  if (given.length > MEDIA_TYPE_LENGTH_MAX) throw invalid(`a media type has at most ${MEDIA_TYPE_LENGTH_MAX} characters`);
  if (SCHEMA_1.test(given)) {
    throw invalid("Docker's schema 1 is not supported: push with a client of 2017 or later", { mediaType: given });
  }
  if (given !== "" && !SHAPES.has(given)) return parseUnknown(given, bytes);
  const body = decodeJsonObject(bytes);
  const mediaType = mediaTypeOf(given, body);
  const shape = SHAPES.get(mediaType);
  if (shape === undefined) return parseUnknown(mediaType, bytes);
  if (shape !== "artifact" && body.schemaVersion !== 2) throw invalid("schemaVersion is to be 2", { mediaType });
  return {
    mediaType,
    describes: once(describedBy(shape, body)),
    subject: parseSubject(body),
    artifactType: artifactTypeOf(shape, body),
    annotations: parseAnnotations(body.annotations),
  };
}

function mediaTypeOf(given: string, body: JsonObject): string {
  const own = body.mediaType;
  if (own !== undefined && typeof own !== "string") throw invalid("mediaType is to be a string");
  if (own === undefined || own === "") return given === "" ? guessType(body) : given;
  const bare = bareMediaType(own);
  if (given !== "" && bare !== given) {
    throw invalid("mediaType in the manifest is not the Content-Type of the request", {
      mediaType: bare.slice(0, MEDIA_TYPE_LENGTH_MAX),
      contentType: given,
    });
  }
  if (SCHEMA_1.test(bare)) throw invalid("Docker's schema 1 is not supported: push with a client of 2017 or later", { mediaType: bare });
  if (bare.length > MEDIA_TYPE_LENGTH_MAX) throw invalid(`a media type has at most ${MEDIA_TYPE_LENGTH_MAX} characters`);
  return bare;
}

function guessType(body: JsonObject): string {
  if (Array.isArray(body.manifests)) return OCI_INDEX;
  if (isJsonObject(body.config)) return OCI_MANIFEST;
  throw invalid("neither Content-Type nor mediaType says what the manifest is");
}

/** http-rules 23: stored and served as it is. It keeps nothing but itself; its subject counts, where it names one. */
function parseUnknown(mediaType: string, bytes: Uint8Array): ParsedManifest {
  const nothing = { mediaType, describes: [], subject: undefined, artifactType: undefined, annotations: undefined };
  let body: JsonObject;
  try {
    body = decodeJsonObject(bytes);
  } catch {
    return nothing; // no JSON is asked of it
  }
  if (typeof body.mediaType === "string" && body.mediaType !== "" && bareMediaType(body.mediaType) !== mediaType) {
    throw invalid("mediaType in the manifest is not the Content-Type of the request", { contentType: mediaType });
  }
  if (!isJsonObject(body.subject) || typeof body.subject.digest !== "string") return nothing;
  const artifactType = typeof body.artifactType === "string" && body.artifactType !== "" ? body.artifactType : undefined;
  return { ...nothing, subject: parseSubject(body), artifactType, annotations: parseAnnotations(body.annotations) };
}

/** A document that can be read as an image and as an index is refused: two clients would see two things (CVE-2021-41190). */
function describedBy(shape: Shape, body: JsonObject): readonly Described[] {
  if (shape === "index") {
    if (body.config !== undefined || body.layers !== undefined) throw invalid("an index has no config and no layers");
    return parseList(body, "manifests", childKind);
  }
  if (body.manifests !== undefined) throw invalid("an image manifest has no manifests: it would be read as an index too");
  if (shape === "artifact") return parseList(body, "blobs", layerKind);
  return [parseDescriptor(body.config, "config", () => "blob"), ...parseList(body, "layers", layerKind)];
}

function layerKind(mediaType: string): Described["kind"] {
  return isForeignLayer(mediaType) ? "foreign" : "blob";
}

function childKind(mediaType: string): Described["kind"] {
  return SHAPES.has(mediaType) || SCHEMA_1.test(mediaType) ? "manifest" : "either";
}

/** Absent and null are empty: Go writes null for a list without items. */
function parseList(body: JsonObject, field: string, kindOf: (mediaType: string) => Described["kind"]): readonly Described[] {
  const list = body[field] ?? [];
  if (!Array.isArray(list)) throw invalid(`${field} is to be a list`, { field });
  return list.map((one, index) => parseDescriptor(one, `${field}[${index}]`, kindOf));
}

/** @see image-spec 1.1, "Descriptors" */
function parseDescriptor(value: unknown, field: string, kindOf: (mediaType: string) => Described["kind"]): Described {
  if (!isJsonObject(value)) throw invalid(`${field} is to be a descriptor`, { field });
  const { mediaType, digest: text, size, data } = value;
  if (typeof mediaType !== "string" || mediaType === "") throw invalid(`${field} has no mediaType`, { field });
  const digest = typeof text === "string" ? parseDigest(text) : undefined;
  if (digest === undefined) {
    const shown = typeof text === "string" ? text.slice(0, 200) : "none";
    throw invalid(`${field} has no valid digest: sha256 and sha512 are known here`, { field, digest: shown });
  }
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`the size of ${field} is to be a whole number of bytes`, { field, digest });
  }
  if (data !== undefined && data !== null) checkData(data, digest, size, field);
  return { digest, sizeBytes: size, kind: kindOf(bareMediaType(mediaType)) };
}

/** Content that the descriptor carries in itself must be what it names, or a client that trusts it reads something else. */
function checkData(data: unknown, digest: Digest, sizeBytes: number, field: string): void {
  const bytes = typeof data === "string" ? Buffer.from(data, "base64") : undefined;
  if (bytes?.byteLength !== sizeBytes || digestOf(bytes, algorithmOf(digest)) !== digest) {
    throw invalid(`the data of ${field} is not the content that its digest and size name`, { field, digest });
  }
}

function once(described: readonly Described[]): readonly Described[] {
  const seen = new Map<string, Described>();
  for (const one of described) {
    const key = `${one.kind} ${one.digest}`;
    const known = seen.get(key);
    if (known !== undefined && known.sizeBytes !== one.sizeBytes) throw wrongSize(one, known.sizeBytes);
    seen.set(key, one);
  }
  return [...seen.values()];
}

/** A descriptor that names another size than the content has. */
export function wrongSize(described: Described, actual: number): OciError {
  const { digest, sizeBytes } = described;
  return invalid(`a descriptor says ${sizeBytes} bytes, the content of that digest has ${actual}`, { digest, size: sizeBytes, actual });
}

/** It may be absent from the registry (http-rules 14), so only its form is checked. */
function parseSubject(body: JsonObject): Digest | undefined {
  if (body.subject === undefined || body.subject === null) return undefined;
  return parseDescriptor(body.subject, "subject", () => "manifest").digest;
}

function artifactTypeOf(shape: Shape, body: JsonObject): string | undefined {
  const own = body.artifactType;
  if (own !== undefined && typeof own !== "string") throw invalid("artifactType is to be a string");
  const config = isJsonObject(body.config) ? body.config.mediaType : undefined;
  const type = own !== undefined && own !== "" ? own : shape === "image" && typeof config === "string" ? config : undefined;
  if (type !== undefined && type.length > ARTIFACT_TYPE_LENGTH_MAX) {
    throw invalid(`an artifact type has at most ${ARTIFACT_TYPE_LENGTH_MAX} characters`);
  }
  return type;
}

function parseAnnotations(value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isJsonObject(value)) throw invalid("annotations are to be an object of strings");
  const entries = Object.entries(value);
  for (const [key, one] of entries) {
    if (typeof one !== "string") throw invalid("an annotation is to be a string", { annotation: key.slice(0, 200) });
  }
  // fromEntries defines own properties: `__proto__` among them is data like the rest
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as Record<string, string>);
}

/** One entry of an index that old clients keep as the list of referrers. */
export interface ListedReferrer {
  readonly digest: Digest;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

/** What the fallback index of a subject lists; what cannot be read in it lists nothing. @see distribution-spec 1.1, "Referrers Tag Schema" */
export function parseFallbackIndex(mediaType: string, bytes: Uint8Array): readonly ListedReferrer[] {
  if (SHAPES.get(mediaType) !== "index") return [];
  let list: unknown;
  try {
    list = decodeJsonObject(bytes).manifests;
  } catch {
    return [];
  }
  if (!Array.isArray(list)) return [];
  return list.flatMap((one: unknown) => {
    const digest = isJsonObject(one) && typeof one.digest === "string" ? parseDigest(one.digest) : undefined;
    if (!isJsonObject(one) || digest === undefined) return [];
    const artifactType = typeof one.artifactType === "string" && one.artifactType !== "" ? one.artifactType : undefined;
    return [{ digest, artifactType, annotations: stringsOf(one.annotations) }];
  });
}

function stringsOf(value: unknown): Readonly<Record<string, string>> | undefined {
  if (!isJsonObject(value)) return undefined;
  const strings = Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return strings.length === 0 ? undefined : Object.fromEntries(strings);
}
