import { afterAll, beforeAll, expect, test } from "vitest";
import { type Cluster, freePorts, roadstead, startCluster } from "../harness/cluster.ts";

let running: Cluster;
beforeAll(async () => {
  running = await startCluster();
});
afterAll(() => running.stop());

interface Answer {
  readonly nodes: readonly { readonly name: string; readonly url: string; readonly ms?: number }[];
  readonly path: string;
  readonly text: string;
}

async function config(...args: readonly string[]): Promise<Answer> {
  const common = ["--for", "containerd", "--registry", "registry.example", "--json"];
  return JSON.parse(await roadstead("client-config", ...common, ...args)) as Answer;
}

test("all members are listed with what a request to each takes from here, the nearest first", async () => {
  const { nodes, text } = await config("--data", running.nodes[0]!.data);
  expect(new Set(nodes.map(({ url }) => url))).toEqual(new Set(running.nodes.map(({ url }) => url)));
  const times = nodes.map(({ ms }) => ms ?? Number.NaN);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect([...text.matchAll(/^\[host\."(.*)"\]$/gm)].map(([, url]) => url)).toEqual(nodes.map(({ url }) => url));
});

test("from elsewhere the nodes are named by their URLs, and one that does not answer comes last", async () => {
  const [dead = 0] = await freePorts(1);
  const [node] = running.nodes;
  const { nodes } = await config("--node", `http://127.0.0.1:${dead}`, "--node", `${node!.url}/`);
  expect(nodes.map(({ url }) => url)).toEqual([node!.url, `http://127.0.0.1:${dead}`]);
});

test("where no node answers nothing is printed but why", async () => {
  const [dead = 0] = await freePorts(1);
  await expect(config("--node", `http://127.0.0.1:${dead}`)).rejects.toThrow(/no node answers from here/);
});

test("a node tells clients what http.advertise says", async () => {
  const [, second] = running.nodes;
  await second!.kill("SIGTERM");
  await second!.start(["--http-advertise", `localhost:${second!.port}`]);
  for (;;) {
    const { nodes } = await config("--data", running.nodes[0]!.data); // the node says so once it is back
    if (nodes.some(({ url }) => url === `http://localhost:${second!.port}`)) return;
  }
});
