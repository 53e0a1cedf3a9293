import { expect, test } from "vitest";
import { digestOf } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST } from "../core/media-types.ts";
import { parseFallbackIndex, parseManifest } from "./manifest.ts";

const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const bytesOf = (text: string): Uint8Array => Buffer.from(text);
const describe = (text: string, mediaType: string, more: object = {}): object => ({
  mediaType,
  digest: digestOf(bytesOf(text)),
  size: text.length,
  ...more,
});
const CONFIG = describe("{}", "application/vnd.oci.image.config.v1+json");
const LAYER = describe("layer", "application/vnd.oci.image.layer.v1.tar");
const image = (more: object = {}): object => ({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: CONFIG, layers: [LAYER], ...more });
const index = (more: object = {}): object => ({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], ...more });

function refusal(contentType: string, bytes: Uint8Array): OciError | undefined {
  try {
    parseManifest(contentType, bytes);
    return undefined;
  } catch (error) {
    if (error instanceof OciError) return error;
    throw error;
  }
}

test("an image names its config and layers as blobs, foreign layers as foreign, each digest once (http-rules 25)", () => {
  const foreign = describe("windows", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
  const nondistributable = describe("base", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
  const parsed = parseManifest(OCI_MANIFEST, json(image({ layers: [LAYER, LAYER, foreign, nondistributable] })));
  expect(parsed.describes).toEqual([
    { digest: digestOf(bytesOf("{}")), sizeBytes: 2, kind: "blob" },
    { digest: digestOf(bytesOf("layer")), sizeBytes: 5, kind: "blob" },
    { digest: digestOf(bytesOf("windows")), sizeBytes: 7, kind: "foreign" },
    { digest: digestOf(bytesOf("base")), sizeBytes: 4, kind: "foreign" },
  ]);
  expect(parsed.mediaType).toBe(OCI_MANIFEST);
});

test("an index names manifests; what it lists under another media type, as build caches do, may be a blob", () => {
  const manifests = [
    describe("a", OCI_MANIFEST),
    describe("b", DOCKER_MANIFEST),
    describe("c", OCI_INDEX),
    describe("d", "application/vnd.oci.image.layer.v1.tar+gzip"),
  ];
  const kinds = (mediaType: string): string[] =>
    parseManifest(mediaType, json({ schemaVersion: 2, mediaType, manifests })).describes.map(({ kind }) => kind);
  expect(kinds(OCI_INDEX)).toEqual(["manifest", "manifest", "manifest", "either"]);
  expect(kinds(DOCKER_LIST)).toEqual(["manifest", "manifest", "manifest", "either"]);
});

test("the artifact type is the manifest's own, else an image's config media type (distribution-spec 1.1, Listing Referrers)", () => {
  const typeOf = (contentType: string, value: object): string | undefined => parseManifest(contentType, json(value)).artifactType;
  expect(typeOf(OCI_MANIFEST, image({ artifactType: "application/x" }))).toBe("application/x");
  expect(typeOf(OCI_MANIFEST, image())).toBe("application/vnd.oci.image.config.v1+json");
  expect(typeOf(OCI_MANIFEST, image({ artifactType: "", config: describe("{}", OCI_EMPTY) }))).toBe(OCI_EMPTY);
  expect(typeOf(OCI_INDEX, index())).toBeUndefined();
  expect(typeOf(OCI_INDEX, index({ artifactType: "application/y" }))).toBe("application/y");
});

test("http-rules 14, 23: a subject, annotations, empty lists, data fields and fields nobody knows are taken", () => {
  const subject = describe("not here", OCI_MANIFEST);
  const parsed = parseManifest(OCI_MANIFEST, json(image({ layers: null, subject, annotations: { a: "1" }, "org.example.extra": [1] })));
  expect(parsed.subject).toBe(digestOf(bytesOf("not here")));
  expect(parsed.annotations).toEqual({ a: "1" });
  expect(parsed.describes).toHaveLength(1);
  const data = Buffer.from("{}").toString("base64");
  const config = describe("{}", OCI_EMPTY, { data });
  expect(parseManifest(OCI_MANIFEST, json(image({ config, layers: [] }))).describes).toHaveLength(1);
  expect(parseManifest(OCI_MANIFEST, json(image({ layers: undefined }))).describes).toHaveLength(1);
});

test("without a Content-Type the body says what it is, and its parameters never matter (http-rules 12)", () => {
  expect(parseManifest("", json(image())).mediaType).toBe(OCI_MANIFEST);
  expect(parseManifest("", json(image({ mediaType: undefined }))).mediaType).toBe(OCI_MANIFEST);
  expect(parseManifest("", json(index({ mediaType: undefined }))).mediaType).toBe(OCI_INDEX);
  expect(parseManifest(`${OCI_MANIFEST}; charset=utf-8`, json(image({ mediaType: undefined }))).mediaType).toBe(OCI_MANIFEST);
  expect(refusal("", json({ schemaVersion: 2 }))?.code).toBe("MANIFEST_INVALID");
});

test("http-rules 23: an unknown media type is stored as it is and names nothing but its subject", () => {
  const odd = "application/vnd.example.thing";
  expect(parseManifest(odd, Uint8Array.of(0xff, 0x00))).toMatchObject({ mediaType: odd, describes: [], subject: undefined });
  expect(parseManifest(odd, json({ layers: "what" })).describes).toEqual([]);
  const subject = describe("s", OCI_MANIFEST);
  expect(parseManifest(odd, json({ subject, artifactType: "t" }))).toMatchObject({ subject: digestOf(bytesOf("s")), artifactType: "t" });
  expect(refusal(odd, json({ mediaType: OCI_MANIFEST }))?.code).toBe("MANIFEST_INVALID");
});

const descriptorWith = (more: object): object => ({ ...LAYER, ...more });
const REFUSED: readonly (readonly [why: string, contentType: string, bytes: Uint8Array])[] = [
  ["no JSON", OCI_MANIFEST, bytesOf("{")],
  ["nothing", OCI_MANIFEST, bytesOf("")],
  ["no UTF-8", OCI_MANIFEST, Buffer.concat([bytesOf('{"a":"'), Uint8Array.of(0xff), bytesOf('"}')])],
  ["a byte order mark", OCI_MANIFEST, Buffer.concat([Uint8Array.of(0xef, 0xbb, 0xbf), json(image())])],
  ["a list", OCI_MANIFEST, bytesOf("[]")],
  ["null", OCI_MANIFEST, bytesOf("null")],
  ["no schemaVersion", OCI_MANIFEST, json(image({ schemaVersion: undefined }))],
  ["schemaVersion 1", OCI_MANIFEST, json(image({ schemaVersion: 1 }))],
  ["schemaVersion as text", OCI_MANIFEST, json(image({ schemaVersion: "2" }))],
  ["another mediaType than Content-Type", OCI_MANIFEST, json(image({ mediaType: DOCKER_MANIFEST }))],
  ["a mediaType that is no string", OCI_MANIFEST, json(image({ mediaType: 7 }))],
  ["schema 1 of Docker", "application/vnd.docker.distribution.manifest.v1+prettyjws", json({ schemaVersion: 1 })],
  ["no config", OCI_MANIFEST, json(image({ config: undefined }))],
  ["a null config", OCI_MANIFEST, json(image({ config: null }))],
  ["layers that are no list", OCI_MANIFEST, json(image({ layers: {} }))],
  ["a layer that is no descriptor", OCI_MANIFEST, json(image({ layers: ["x"] }))],
  ["a layer without a media type", OCI_MANIFEST, json(image({ layers: [descriptorWith({ mediaType: undefined })] }))],
  ["a layer without a digest", OCI_MANIFEST, json(image({ layers: [descriptorWith({ digest: undefined })] }))],
  ["a layer with a bad digest", OCI_MANIFEST, json(image({ layers: [descriptorWith({ digest: "sha256:abc" })] }))],
  ["a layer without a size", OCI_MANIFEST, json(image({ layers: [descriptorWith({ size: undefined })] }))],
  ["a negative size", OCI_MANIFEST, json(image({ layers: [descriptorWith({ size: -1 })] }))],
  ["half a byte", OCI_MANIFEST, json(image({ layers: [descriptorWith({ size: 0.5 })] }))],
  ["a size past all counting", OCI_MANIFEST, json(image({ layers: [descriptorWith({ size: 2 ** 60 })] }))],
  ["two sizes of one digest", OCI_MANIFEST, json(image({ layers: [LAYER, descriptorWith({ size: 6 })] }))],
  ["data that is other content", OCI_MANIFEST, json(image({ layers: [descriptorWith({ data: "AAAAAAA=" })] }))],
  ["data that is no text", OCI_MANIFEST, json(image({ layers: [descriptorWith({ data: [] })] }))],
  ["an image that is an index too", OCI_MANIFEST, json(image({ manifests: [] }))],
  ["an index that is an image too", OCI_INDEX, json(index({ config: CONFIG }))],
  ["an index with layers", OCI_INDEX, json(index({ layers: [] }))],
  ["a subject that is no descriptor", OCI_MANIFEST, json(image({ subject: "x" }))],
  ["a subject without a digest", OCI_MANIFEST, json(image({ subject: { mediaType: OCI_MANIFEST, size: 1 } }))],
  ["an artifactType that is no string", OCI_MANIFEST, json(image({ artifactType: {} }))],
  ["annotations that are a list", OCI_MANIFEST, json(image({ annotations: [] }))],
  ["an annotation that is a number", OCI_MANIFEST, json(image({ annotations: { a: 1 } }))],
  ["lists in lists without end", OCI_MANIFEST, bytesOf(`{"a":${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}}`)],
  ["more objects than anybody needs", OCI_MANIFEST, bytesOf(`{"a":[${"{},".repeat(300_000)}{}]}`)],
];

test.each(REFUSED)("MANIFEST_INVALID: %s", (_why, contentType, bytes) => {
  expect(refusal(contentType, bytes)?.code).toBe("MANIFEST_INVALID");
});

test("brackets in strings do not count as nesting, and `__proto__` is a name like any other", () => {
  const parsed = parseManifest(OCI_MANIFEST, bytesOf(JSON.stringify(image({ annotations: { a: "[".repeat(1_000), b: '\\"{{' } }))));
  expect(Object.keys(parsed.annotations ?? {})).toEqual(["a", "b"]);
  const text = JSON.stringify(image({ annotations: { x: "1" } })).replace('"x"', '"__proto__"');
  const { annotations } = parseManifest(OCI_MANIFEST, bytesOf(text));
  expect(Object.hasOwn(annotations ?? {}, "__proto__")).toBe(true);
  expect(Object.getPrototypeOf(annotations)).toBe(Object.prototype);
  expect(({} as Record<string, unknown>).x).toBeUndefined();
});

test("a fallback index lists what can be read in it and nothing else", () => {
  const listed = json(
    index({ manifests: [describe("a", OCI_MANIFEST, { artifactType: "t", annotations: { k: "v", n: 1 } }), { digest: 1 }, "x"] }),
  );
  expect(parseFallbackIndex(OCI_INDEX, listed)).toEqual([{ digest: digestOf(bytesOf("a")), artifactType: "t", annotations: { k: "v" } }]);
  expect(parseFallbackIndex(OCI_MANIFEST, listed)).toEqual([]);
  expect(parseFallbackIndex(OCI_INDEX, bytesOf("no"))).toEqual([]);
});
