import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { pullImage, pushImage } from "../harness/client.ts";
import { type Cluster, freePorts, startCluster } from "../harness/cluster.ts";
import { type Ended, endOf } from "../harness/command.ts";
import { makeImage } from "../harness/image.ts";

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

/** `roadstead serve` of a newcomer that is not taken in. */
async function refused(running: Cluster, address: string, token: string, more: readonly string[] = []): Promise<Ended> {
  const [http, p2p] = await freePorts(2);
  const at = ["--data", join(running.folder, `newcomer-${http}`), "--http", `127.0.0.1:${http}`];
  const to = more.includes("--p2p") ? [] : ["--p2p", `127.0.0.1:${p2p}`];
  return endOf(["serve", ...at, ...to, "--name", `newcomer-${http}`, "--join", address, "--token", token, ...more]);
}

test("a token that is no good gets one line that says what to do, and an audit record; so does a name or an address that is taken", async () => {
  const running = await startCluster({ nodes: 1 });
  cluster = running;
  const [door] = running.nodes;
  const run = (...args: readonly string[]) => endOf([...args, "--data", door!.data]);
  const make = async (...args: readonly string[]) =>
    JSON.parse((await run("token", "create", "--json", ...args)).stdout) as { id: string; token: string; join: readonly [string] };
  const good = await make("--uses", "9");
  const [address] = good.join;
  const short = await make("--ttl", "1s");
  const revoked = await make();
  expect(await run("token", "revoke", revoked.id)).toMatchObject({ code: 0, stdout: expect.stringContaining(revoked.id) });
  const other = await startCluster({ nodes: 1 });
  const foreign = await other.token().finally(() => other.stop());

  const lines: [what: string, end: Promise<Ended>, says: string][] = [
    ["of another cluster", refused(running, address, foreign.token), "belongs to another cluster than the one that made the join token"],
    ["revoked", refused(running, address, revoked.token), 'the join token was revoked: make another with "roadstead token create"'],
    ["taken name", refused(running, address, good.token, ["--name", "n1"]), "a member of the cluster has this node's name"],
    [
      "taken address",
      refused(running, address, good.token, ["--advertise", address]),
      "a member of the cluster that is not down has this node's address",
    ],
  ];
  for (const [what, end, says] of lines) {
    const { code, stdout, stderr } = await end;
    expect([what, code, stderr.trim().split("\n")]).toEqual([what, 1, [expect.stringContaining(says)]]);
    expect(`${stdout}${stderr}`).not.toContain("rst1.");
  }
  // by now other nodes have started and were refused: its second is long over, also in catalog time, which what is written moves
  expect((await refused(running, address, short.token)).stderr).toContain("the join token has expired");
  expect((await run("token", "list")).stdout).toMatch(new RegExp(`^${revoked.id} +revoked`, "m"));

  const reasons = async (): Promise<readonly string[]> => {
    const trail = JSON.parse((await run("audit", "--json")).stdout) as { action: string; detail: string }[];
    const told = trail.filter(({ action }) => action === "join.refused");
    return [...new Set(told.map(({ detail }) => detail.replace(/^(\w+), from 127\.0\.0\.1$/, "$1")))].sort();
  };
  while ((await reasons()).length < 4); // a record comes within a second
  expect(await reasons()).toEqual(["addressTaken", "expired", "nameTaken", "revoked"]);
  expect((await running.status()).nodes).toHaveLength(1);
});

test("--join takes a name with several addresses, of which one is dead; started again, with a token that is good no more, the node goes on", async () => {
  const running = await startCluster({ nodes: 2 });
  cluster = running;
  const given = await running.token();
  const [address = ""] = given.join;
  const port = /tcp\/(\d+)/.exec(address)?.[1];
  // on most machines this is 127.0.0.1 and ::1, and nobody listens at the second
  const third = await running.grow("n3", { ...given, join: [`localhost:${port}`] });
  const image = makeImage(1, 2, 30_000);
  await pushImage(() => third.url, "team/app", "v1", image);
  await third.kill("SIGTERM");
  await third.start(["--join", `localhost:${port}`, "--token", given.token]);
  await pullImage(third.url, "team/app", "v1", image);
  expect((await running.status()).nodes.map(({ name }) => name)).toEqual(["n1", "n2", "n3"]);
  expect(existsSync(join(third.data, "node.json"))).toBe(true);
});

/** A process whose wall clock is off: nothing but its own `Date` is. */
function shifted(byMs: number): NodeJS.ProcessEnv {
  const code = `const Real=Date;globalThis.Date=class extends Real{constructor(...a){if(a.length)super(...a);else super(Real.now()+${byMs})}static now(){return Real.now()+${byMs}}};`;
  return { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(code)}` };
}

/** It takes long: in CI, and where it is asked for. */
const SLOW = process.env.ROADSTEAD_SLOW === "1";

test.runIf(SLOW)("clocks that are minutes apart do no harm to pushes, pulls, joins and elections, and status warns of them", async () => {
  const running = await startCluster({ envOf: (name) => (name === "n2" ? shifted(600_000) : name === "n3" ? shifted(-600_000) : {}) });
  cluster = running;
  const [first, second, third] = running.nodes;
  const urls = [third!.url, second!.url, first!.url];
  const image = makeImage(1, 3, 60_000);
  let at = 0;
  // each request of an upload at another node
  await pushImage(() => urls[at++ % urls.length]!, "team/app", "v1", image);
  const { warnings } = await running.status(first);
  expect(warnings).toContainEqual(expect.stringContaining("the clock of n2 is 10 min ahead of that of this node"));
  expect(warnings).toContainEqual(expect.stringContaining("the clock of n3 is 10 min behind that of this node"));
  const leader = await running.leader();
  await leader.kill("SIGKILL");
  const left = running.nodes.filter((node) => node !== leader);
  await pushImage(() => left[at++ % left.length]!.url, "team/app", "v2", makeImage(2, 2, 30_000));
  const fourth = await running.grow("n4");
  await pullImage(fourth.url, "team/app", "v1", image);
});
