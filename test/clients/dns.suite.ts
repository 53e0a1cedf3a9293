import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeImage, writeLayout } from "../harness/image.ts";
import { type Attempt, type ClientName, type Clients, type Result, startClients } from "./dns/clients.ts";
import { whyNoNamespace } from "./dns/namespace.ts";
import { ALL_FAULTS, type Beside, type DnsScene, FAULTS, type Fault, GOOD, NODES, nameOf, openDnsScene, PORT } from "./dns/scene.ts";
import { missing, sh } from "./tools.ts";

const TOOLS = ["docker", "dockerd", "containerd", "ctr", "podman", "skopeo", "ip", "iptables-legacy", "nsenter", "unshare"];
const skip = missing(TOOLS, true) ?? whyNoNamespace();
const SKIPPED = skip === undefined ? "" : ` (skipped: ${skip})`;
const CLIENTS: readonly ClientName[] = ["docker", "containerd", "podman", "skopeo"];
const ALL_MS = 600_000;

/** What each client was seen to do where the address that it tries first is at fault: README, "Clients and the nearest node". */
const DOCUMENTED: Readonly<Record<ClientName, Readonly<Record<Fault, { readonly pull: Result; readonly push: Result }>>>> = {
  docker: {
    dead: { pull: "works", push: "works" },
    silent: { pull: "works", push: "works" },
    hung: { pull: "fails", push: "fails" },
    unavailable: { pull: "fails", push: "fails" },
  },
  containerd: {
    dead: { pull: "works", push: "works" },
    silent: { pull: "works", push: "works" },
    hung: { pull: "hangs", push: "hangs" },
    unavailable: { pull: "fails", push: "fails" },
  },
  podman: {
    dead: { pull: "works", push: "works" },
    silent: { pull: "works", push: "works" },
    hung: { pull: "hangs", push: "hangs" },
    unavailable: { pull: "fails", push: "fails" },
  },
  skopeo: {
    dead: { pull: "works", push: "works" },
    silent: { pull: "works", push: "works" },
    hung: { pull: "hangs", push: "hangs" },
    unavailable: { pull: "fails", push: "fails" },
  },
};

/** How long a client that does not end by itself is watched; where it gets on slowly it has longer. */
const PATIENCE_MS: Readonly<Record<Fault, number>> = { dead: 120_000, silent: 400_000, hung: 60_000, unavailable: 120_000 };

/** Faults of a name whose addresses are of IPv6, or of both families. */
const MIXED: readonly (readonly [Fault, Beside])[] = [
  ["dead", "ipv6"],
  ["dead", "other"],
  ["silent", "other"],
];

let scene: DnsScene;
let at: Clients;
let seeds = 0;
const pulled = (client: string, fault: Fault, beside: Beside): string => `dns/${client}-${fault}-${beside}`;

/** A new image, by a name that has good addresses alone. */
async function put(repository: string): Promise<void> {
  seeds += 1;
  const layout = join(scene.folder, "layouts", String(seeds));
  await writeLayout(layout, "v1", [makeImage(seeds, 1, 30_000)]);
  const copy = ["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false"];
  const [command = "", ...args] = [...scene.within, ...copy, `oci:${layout}:v1`, `docker://${GOOD}:${PORT}/${repository}:v1`];
  await sh(command, args, { HOME: join(scene.folder, "home") });
}

function told(what: string, { result, seconds, said }: Attempt): Result {
  const last = result === "works" ? "" : said.split("\n").at(-1);
  process.stdout.write(`${what}: ${result} after ${seconds.toFixed(1)} s ${last}\n`);
  return result;
}

async function prepare(): Promise<void> {
  scene = await openDnsScene();
  at = await startClients(scene.folder, scene.within, scene.registries);
  await mkdir(join(scene.folder, "pulled"));
  await put("dns/seed");
  for (const client of CLIENTS) {
    const prepared = await at.clients[client].prepare(GOOD, "dns/seed");
    expect(prepared, client).toMatchObject({ result: "works" });
  }
  const beside = [...ALL_FAULTS.map((fault) => [fault, "ipv4"] as const), ...MIXED];
  for (const client of CLIENTS) for (const [fault, family] of beside) await put(pulled(client, fault, family));
  for (const fault of ALL_FAULTS) await put(pulled("hosts", fault, "ipv4"));
}

/** A pull by a name for which a hosts.toml has the bad address first. */
async function pullMirrored(fault: Fault): Promise<Attempt> {
  const registry = `${fault}.mirrored`;
  const hosts = join(scene.folder, "hosts", fault);
  const mirror = (address: string): string => `[host."http://${address}:${PORT}"]\n  capabilities = ["pull", "resolve"]\n`;
  await mkdir(join(hosts, `${registry}:${PORT}`), { recursive: true });
  const file = [`server = "http://${NODES[1]}:${PORT}"\n`, mirror(FAULTS[fault].ipv4), mirror(NODES[0])].join("");
  await writeFile(join(hosts, `${registry}:${PORT}`, "hosts.toml"), file);
  return at.containerdWith(hosts).pull(registry, pulled("hosts", fault, "ipv4"), PATIENCE_MS[fault]);
}

describe.skipIf(skip !== undefined)(`names with several addresses${SKIPPED}`, () => {
  beforeAll(prepare, ALL_MS);
  afterAll(async () => {
    await at?.close();
    await scene?.close();
  });

  test("G4: the addresses of a name are asked in turn", async () => {
    const posted = (node: DnsScene["nodes"][number]): boolean => node.log.some(({ method }) => method === "POST");
    while (!scene.nodes.slice(0, 2).every(posted)) await put("dns/turns");
  });

  test.concurrent.for(CLIENTS)(
    "%s does what the README says of a name whose first address is dead, silent, hung, or answers 503",
    { timeout: ALL_MS },
    async (name, { expect: expected }) => {
      const client = at.clients[name];
      const seen = ALL_FAULTS.map(async (fault) => {
        const registry = nameOf(fault, "ipv4");
        const limit = PATIENCE_MS[fault];
        const pull = told(`${name} pull ${fault}`, await client.pull(registry, pulled(name, fault, "ipv4"), limit));
        const push = told(`${name} push ${fault}`, await client.push(registry, `dns/pushed-by-${name}-${fault}`, limit));
        return [fault, { pull, push }] as const;
      });
      expected(Object.fromEntries(await Promise.all(seen))).toEqual(DOCUMENTED[name]);
    },
  );

  test.concurrent.for(CLIENTS)(
    "%s goes from a dead IPv6 address to the next, and from a dead or silent IPv4 address to one of IPv6",
    { timeout: ALL_MS },
    async (name, { expect: expected }) => {
      const seen = MIXED.map(async ([fault, beside]) => {
        const pull = await at.clients[name].pull(nameOf(fault, beside), pulled(name, fault, beside), PATIENCE_MS[fault]);
        return told(`${name} pull ${fault} ${beside}`, pull);
      });
      expected(await Promise.all(seen)).toEqual(MIXED.map(() => "works"));
    },
  );

  test.concurrent("containerd with a hosts.toml goes to the next host where the first is dead, silent, or answers 503, and hangs with one that hangs", {
    timeout: ALL_MS,
  }, async ({ expect: expected }) => {
    const seen = ALL_FAULTS.map(async (fault) => {
      return [fault, told(`containerd with hosts.toml, pull ${fault}`, await pullMirrored(fault))] as const;
    });
    expected(Object.fromEntries(await Promise.all(seen))).toEqual({
      dead: "works",
      silent: "works",
      hung: "hangs",
      unavailable: "works",
    });
  });
});
