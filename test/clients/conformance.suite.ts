import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RoundRobin, roundRobinProxy } from "../harness/proxy.ts";
import { missing, openScene, type Scene, sh } from "./tools.ts";

const skip = missing(["conformance"]);

describe.skipIf(skip !== undefined)(`OCI conformance${skip === undefined ? "" : ` (skipped: ${skip})`}`, () => {
  let scene: Scene;
  let proxy: RoundRobin;
  beforeAll(async () => {
    scene = await openScene({ ROADSTEAD_MANIFESTS_SPARSE: "conformance" });
    proxy = await roundRobinProxy(scene.hosts.map((host) => `http://${host}`));
  });
  afterAll(async () => {
    await proxy?.close();
    await scene?.close();
  });

  test("G2, G4: distribution-spec 1.1 with every option on, each request to another node: nothing fails", async () => {
    const results = join(scene.folder, "results");
    const on = [
      "API_BLOBS_UPLOAD_CANCEL",
      "API_BLOBS_DIGEST_HEADER",
      "API_MANIFESTS_DIGEST_HEADER",
      "API_MANIFESTS_TAG_PARAM",
      "DATA_SPARSE",
    ];
    const env = Object.fromEntries(on.map((name) => [`OCI_${name}`, "true"]));
    const said = await sh(
      "conformance",
      [],
      { ...env, OCI_REGISTRY: proxy.host, OCI_TLS: "disabled", OCI_VERSION: "1.1", OCI_RESULTS_DIR: results },
      scene.folder,
    ).catch((error: Error) => error.message);
    process.stdout.write(`${said.split("\n").slice(-40).join("\n")}\n${proxy.requests} requests over ${scene.hosts.length} nodes\n`);
    const junit = await readFile(join(results, "junit.xml"), "utf8");
    const totals = /<testsuites[^>]*>/.exec(junit)?.[0] ?? "";
    const counted = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(totals)?.[1] ?? 0); // none is not written
    expect(counted("tests")).toBeGreaterThan(800);
    expect(counted("failures")).toBe(0);
    expect(counted("errors")).toBe(0);
  });
});
