import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Digest, digestOf, hexOf } from "../../src/core/digest.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../src/core/media-types.ts";
import { seededRandom } from "../../src/core/random.ts";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string };
}

/** An image in memory: what is pushed, and the descriptor that names it. */
export interface TestImage {
  readonly manifest: Uint8Array;
  readonly descriptor: Descriptor;
  readonly blobs: ReadonlyMap<Digest, Uint8Array>;
}

/** Bytes that do not compress, the same for the same seed. */
export function noise(seed: number, sizeBytes: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  let state = seed >>> 0 || 1;
  for (let i = 0; i < words.length; i += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, sizeBytes);
}

/** One file in a ustar archive, gzipped: a layer that real clients unpack. */
function layer(name: string, content: Uint8Array): { compressed: Uint8Array; diffId: Digest } {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${content.byteLength.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write("        ", 148);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const padding = Buffer.alloc((512 - (content.byteLength % 512)) % 512);
  const tar = Buffer.concat([header, content, padding, Buffer.alloc(1024)]);
  return { compressed: gzipSync(tar, { level: 1 }), diffId: digestOf(tar) };
}

/** A runnable-looking image of `layers` layers of `layerBytes` noise each. */
export function makeImage(seed: number, layers: number, layerBytes: number, architecture = "amd64"): TestImage {
  const blobs = new Map<Digest, Uint8Array>();
  const made = Array.from({ length: layers }, (_, i) => layer(`file-${seed}-${i}`, noise(seed * 1000 + i + 1, layerBytes)));
  const rootfs = { type: "layers", diff_ids: made.map((one) => one.diffId) };
  const config = new TextEncoder().encode(JSON.stringify({ architecture, os: "linux", config: { Cmd: ["/none"] }, rootfs, history: [] }));
  const add = (bytes: Uint8Array, mediaType: string): Descriptor => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.byteLength };
  };
  const body = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: add(config, "application/vnd.oci.image.config.v1+json"),
    layers: made.map((one) => add(one.compressed, "application/vnd.oci.image.layer.v1.tar+gzip")),
  };
  const manifest = new TextEncoder().encode(JSON.stringify(body));
  return { manifest, descriptor: { mediaType: OCI_MANIFEST, digest: digestOf(manifest), size: manifest.byteLength }, blobs };
}

/** Writes an OCI image layout of one image, or of an index over several architectures. */
export async function writeLayout(folder: string, tag: string, images: readonly TestImage[]): Promise<Digest> {
  const put = async (digest: Digest, bytes: Uint8Array): Promise<void> => {
    await writeFile(join(folder, "blobs/sha256", hexOf(digest)), bytes);
  };
  await mkdir(join(folder, "blobs/sha256"), { recursive: true });
  for (const image of images) {
    await put(image.descriptor.digest, image.manifest);
    for (const [digest, bytes] of image.blobs) await put(digest, bytes);
  }
  let root: Descriptor = images[0]!.descriptor;
  if (images.length > 1) {
    const architectures = ["amd64", "arm64", "s390x", "riscv64"];
    const manifests = images.map((image, i) => ({ ...image.descriptor, platform: { os: "linux", architecture: architectures[i]! } }));
    const index = new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
    root = { mediaType: OCI_INDEX, digest: digestOf(index), size: index.byteLength };
    await put(root.digest, index);
  }
  const entry = { ...root, annotations: { "org.opencontainers.image.ref.name": tag } };
  await writeFile(join(folder, "index.json"), JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] }));
  await writeFile(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  return root.digest;
}

/** Picks with a seeded stream, so that a failing round can be run again. */
export function picker(seed: number): <T>(items: readonly T[]) => T {
  const random = seededRandom(seed);
  return (items) => items[Math.floor(random.float() * items.length)]!;
}
