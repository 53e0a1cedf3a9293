import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { diskFileSystem } from "../../src/blobs/disk/file-system.ts";
import { digestOf } from "../../src/core/digest.ts";
import { type Answer, ask, pullImage, pushImage, pushManifest } from "../harness/client.ts";
import { type Cluster, type ClusterNode, startCluster } from "../harness/cluster.ts";
import { makeImage, noise } from "../harness/image.ts";

const MIB = 1024 * 1024;
const run = promisify(execFile);

/** Why no small disk can be made here; undefined where one can. */
function whyNot(): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs root, to mount a tmpfs";
  const probe = mkdtempSync(join(tmpdir(), "roadstead-mount-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "roadstead-test", probe], { stdio: "ignore" });
    execFileSync("umount", [probe], { stdio: "ignore" });
    return undefined;
  } catch {
    return "needs the right to mount a tmpfs";
  } finally {
    rmdirSync(probe);
  }
}

const reason = whyNot();
/** For the first node alone. */
const smallDisk = {
  async mount(folder: string): Promise<void> {
    if (basename(folder) !== "n1") return;
    await mkdir(folder);
    await run("mount", ["-t", "tmpfs", "-o", "size=96m,mode=0700", "roadstead-test", folder]);
  },
  async unmount(folder: string): Promise<void> {
    if (basename(folder) === "n1") await run("umount", ["--lazy", folder]);
  },
};

let cluster: Cluster | undefined;
let node: ClusterNode;
beforeAll(async () => {
  if (reason !== undefined) return;
  cluster = await startCluster({ nodes: 1, disk: smallDisk });
  node = cluster.nodes[0]!;
});
afterAll(() => cluster?.stop());

const octets = (start: number, end: number): Record<string, string> => ({
  "content-type": "application/octet-stream",
  "content-range": `${start}-${end - 1}`,
});

/** Bytes held, from `Range: 0-N` (distribution-spec 1.1, "Pushing a blob in chunks"). */
const heldOf = (answer: Answer): number => Number(answer.headers.get("range")?.split("-")[1]) + 1;

const skipped = reason === undefined ? "" : ` (skipped: ${reason})`;

test.skipIf(reason !== undefined)(
  `a disk that an upload fills answers 507, serves and survives a restart, and the session goes on once there is room${skipped}`,
  async () => {
    const image = makeImage(7, 1, 100_000);
    await pushImage(() => node.url, "full/app", "v1", image);
    const filler = join(node.data, "filler");
    await writeFile(filler, Buffer.alloc(48 * MIB));
    const bytes = noise(3, 52 * MIB);
    const digest = digestOf(bytes);

    const begun = await ask("POST", `${node.url}/v2/full/app/blobs/uploads/`);
    const session = node.url + begun.headers.get("location");
    const first = await ask("PATCH", session, { headers: octets(0, 8 * MIB), body: bytes.subarray(0, 8 * MIB) });
    expect(first.status).toBe(202);
    const full = await ask("PATCH", session, { headers: octets(8 * MIB, bytes.byteLength), body: bytes.subarray(8 * MIB) });
    expect(full.status).toBe(507);
    expect(full.headers.get("content-type")).toMatch(/^application\/json/);
    expect(JSON.parse(new TextDecoder().decode(full.bytes))).toMatchObject({
      errors: [{ code: "INSUFFICIENT_STORAGE", message: expect.stringContaining("the disk of this node is full") }],
    });

    // the log and the catalog are on the same disk
    expect((await ask("GET", `${node.url}/healthz`)).status).toBe(200);
    expect((await ask("GET", `${node.url}/readyz`)).status).toBe(200);
    expect((await ask("GET", `${node.url}/readyz?writes`)).status, "pushes go elsewhere").toBe(503);
    await pullImage(node.url, "full/app", "v1", image);
    for (let i = 0; i < 20; i += 1) await pushManifest(node.url, "full/app", `while-full-${i}`, image);

    expect((await ask("POST", `${node.url}/v2/full/app/blobs/uploads/`)).status, "another upload begins nothing").toBe(507);
    await node.kill("SIGKILL");
    await node.start();

    const kept = await ask("GET", session);
    expect(kept.status).toBe(204);
    const held = heldOf(kept);
    expect(held).toBeGreaterThanOrEqual(8 * MIB);
    expect(held).toBeLessThan(bytes.byteLength);
    await rm(filler);
    const rest = await ask("PATCH", session, { headers: octets(held, bytes.byteLength), body: bytes.subarray(held) });
    expect(rest.status).toBe(202);
    expect((await ask("PUT", `${session}?digest=${digest}`)).status).toBe(201);
    const pulled = await ask("GET", `${node.url}/v2/full/app/blobs/${digest}`);
    expect(digestOf(pulled.bytes)).toBe(digest);
    expect(node.running).toBe(true);
    expect((await ask("GET", `${node.url}/readyz?writes`)).status).toBe(200);
  },
);

test.skipIf(reason !== undefined)(
  `G1: a node whose disk has no room at all refuses what is written and serves what is read, starts again after a kill, and goes on by itself once there is room${skipped}`,
  async () => {
    const image = makeImage(9, 1, 50_000);
    await pushImage(() => node.url, "full/log", "before", image);
    const put = (tag: string): Promise<Answer> => {
      const headers = { "content-type": image.descriptor.mediaType };
      return ask("PUT", `${node.url}/v2/full/log/manifests/${tag}`, { headers, body: image.manifest });
    };
    let fillers = 0;
    const fill = async (): Promise<void> => {
      const { freeBytes } = await diskFileSystem.space(node.data);
      fillers += 1;
      await writeFile(join(node.data, `filler-${fillers}`), Buffer.alloc(freeBytes)).catch(() => undefined);
    };
    await fill();
    let refused = await put("full-0");
    for (let at = 1; refused.status !== 507; at += 1) {
      await fill();
      refused = await put(`full-${at}`);
    }
    expect(JSON.parse(new TextDecoder().decode(refused.bytes))).toMatchObject({ errors: [{ code: "INSUFFICIENT_STORAGE" }] });
    await pullImage(node.url, "full/log", "before", image);
    await node.kill("SIGKILL");
    await fill();
    await node.start();
    await pullImage(node.url, "full/log", "before", image);
    for (; fillers > 0; fillers -= 1) await rm(join(node.data, `filler-${fillers}`));
    let status = 0;
    while (status !== 201) ({ status } = await put("after"));
    await pullImage(node.url, "full/log", "after", image);
    expect(node.running).toBe(true);
  },
);

test.skipIf(reason !== undefined)(
  `a member whose disk is full costs no push through another, and pulls go through it${skipped}`,
  async () => {
    const second = await cluster!.grow("n2");
    await cluster!.grow("n3");
    const { freeBytes } = await diskFileSystem.space(node.data);
    await writeFile(join(node.data, "filler"), Buffer.alloc(freeBytes - 6 * MIB));
    const bytes = noise(4, 12 * MIB);
    const url = (base: string): string => `${base}/v2/full/other/blobs`;
    const pushed = await ask("POST", `${url(second.url)}/uploads/?digest=${digestOf(bytes)}`, { body: bytes });
    expect(pushed.status).toBe(201);
    expect((await cluster!.status(second)).warnings).toContainEqual(
      expect.stringMatching(/^the disk of n1 is full but for .*: it takes no blobs/),
    );
    const image = makeImage(8, 1, 50_000);
    await pushImage(() => second.url, "full/other", "v1", image);
    await pullImage(node.url, "full/other", "v1", image);
    const pulled = await ask("GET", `${url(node.url)}/${digestOf(bytes)}`);
    expect(pulled.status).toBe(200);
    expect(digestOf(pulled.bytes)).toBe(digestOf(bytes));
    expect(node.running).toBe(true);
  },
);
