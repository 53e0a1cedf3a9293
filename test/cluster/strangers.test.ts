import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateKeyPair } from "@libp2p/crypto/keys";
import { identify } from "@libp2p/identify";
import type { Connection } from "@libp2p/interface";
import { noise } from "@libp2p/noise";
import { ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { tls } from "@libp2p/tls";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RAFT_PROTOCOL, SNAPSHOT_PROTOCOL } from "../../src/consensus/libp2p/transport.ts";
import { programVersion } from "../../src/core/program-version.ts";
import { systemRandom } from "../../src/core/random.ts";
import { drawToken, makeToken, parseToken } from "../../src/exchange/join-token.ts";
import { Channel } from "../../src/exchange/libp2p/channel.ts";
import { JOIN_PROTOCOL } from "../../src/exchange/libp2p/join.ts";
import { KAD_PROTOCOL } from "../../src/exchange/libp2p/kad-routing.ts";
import { BLOB_PROTOCOL, UPLOAD_PROTOCOL } from "../../src/exchange/libp2p/wire.ts";
import { COMMAND_VERSION } from "../../src/metadata/commands.ts";
import { STATUS_PROTOCOL } from "../../src/node/status-protocol.ts";
import { type Cluster, type ClusterNode, startCluster } from "../harness/cluster.ts";
import { type Ended, endOf } from "../harness/command.ts";

let cluster: Cluster;
let node: ClusterNode;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "roadstead-strangers-"));
  cluster = await startCluster({ nodes: 1 });
  node = cluster.nodes[0]!;
});
afterAll(async () => {
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A libp2p peer with an identity of its own that nobody has taken in. */
async function makeStranger() {
  return createLibp2p({
    privateKey: await generateKeyPair("Ed25519"),
    transports: [tcp()],
    connectionEncrypters: [tls(), noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping() },
  });
}

/** Opens a stream and says nothing: a guard ends it at once, a handler would wait for the first frame (and this test with it). */
async function openOnly(connection: Connection, protocol: string): Promise<unknown> {
  return new Channel(await connection.newStream(protocol)).read();
}

test("G7: a stranger is refused on every protocol that the node offers but join", async () => {
  const { join: addresses } = await cluster.token();
  const stranger = await makeStranger();
  try {
    const connection = await stranger.dial(multiaddr(addresses[0]));
    const members = [RAFT_PROTOCOL, SNAPSHOT_PROTOCOL, BLOB_PROTOCOL, UPLOAD_PROTOCOL, STATUS_PROTOCOL, KAD_PROTOCOL];
    for (const protocol of [...members, "/roadstead/unheard-of/1.0.0"]) {
      await expect(openOnly(connection, protocol), protocol).rejects.toThrow();
    }
    await expect(stranger.services.ping.ping(connection.remotePeer), "ping").rejects.toThrow();
    await expect(stranger.services.identify.identify(connection), "identify").rejects.toThrow();
    const door = new Channel(await connection.newStream(JOIN_PROTOCOL));
    await door.writeFrame({ nonce: Buffer.alloc(32), version: { program: programVersion(), schema: COMMAND_VERSION } });
    expect(await door.readFrame(1_000_000)).toHaveProperty("publicKey");
    door.abort(new Error("seen enough"));
    expect(connection.status, "refusals end streams, not the connection").toBe("open");
  } finally {
    await stranger.stop();
  }
});

/** What an operator is told: one line on standard error, an exit code, and nothing that only a developer can read. */
function oneLine(ended: Ended): string {
  expect(ended.code, ended.stderr).toBe(1);
  const [line = "", ...more] = ended.stderr.trimEnd().split("\n");
  expect(more, ended.stderr).toEqual([]);
  expect(line).toMatch(/^roadstead: /);
  expect(ended.stdout + ended.stderr).not.toMatch(/\n\s+at |\\n\s+at /);
  return line;
}

/** Starts a node that is to be refused, on an own folder where none is given. */
async function refused(flags: readonly string[], data = join(folder, `data-${names++}`)): Promise<string> {
  const at = ["--http", "127.0.0.1:0", "--p2p", "127.0.0.1:0", "--name", "newcomer"];
  return oneLine(await endOf(["serve", "--data", data, ...at, ...flags]));
}
let names = 0;

test("a join token that is wrong, used up, cut short or another cluster's is refused in one clear line", async () => {
  const made = await cluster.token();
  const good = parseToken(made.token);
  const address = made.join[0]!;
  const wrong = makeToken({ ...good, secret: systemRandom.bytes(32) });
  const foreign = makeToken(drawToken(systemRandom, systemRandom.bytes(32)));
  await cluster.grow("n2", made);
  const line = (token: string): Promise<string> => refused(["--join", address, "--token", token]);
  expect(await Promise.all([wrong, made.token, made.token.slice(0, -10), foreign].map(line))).toEqual([
    expect.stringMatching(/knows no such join token/),
    expect.stringMatching(/used up.*make another with "roadstead token create"/),
    expect.stringMatching(/--token: the join token is damaged or not complete/),
    expect.stringMatching(/another cluster/),
  ]);
  const { nodes } = await cluster.status();
  expect(
    nodes.map((member) => member.name),
    "who was refused is in no membership",
  ).toEqual(["n1", "n2"]);
});

test("a data folder that another process uses is refused in one clear line", async () => {
  expect(await refused(["--bootstrap"], node.data)).toMatch(/data folder in use by another process: .*--data/);
  expect((await fetch(`${node.url}/readyz`)).status, "the node that has it goes on").toBe(200);
});

test("an empty folder is in no cluster, and what is made of it is said", async () => {
  const data = join(folder, "empty");
  await mkdir(data);
  expect(await refused([], data)).toMatch(/is in no cluster yet: .*--bootstrap.*--join/);
  expect(await refused(["--join", "127.0.0.1:1"], data)).toMatch(/needs --token/);
  expect(await readdir(data), "nothing was written").toEqual([]);
});

test("an open door without users needs --insecure-open", async () => {
  expect(await refused(["--bootstrap", "--http", "0.0.0.0:0"])).toMatch(/--http 0\.0\.0\.0:0 is open to others.*--insecure-open/);
});

test("an unreadable configuration names file, line and what is allowed", async () => {
  const file = join(folder, "roadstead.yaml");
  const run = async (text: string): Promise<Ended> => {
    await writeFile(file, text);
    return endOf(["serve", "--data", join(folder, "config"), "--bootstrap", "--config", file]);
  };
  expect(oneLine(await run("http:\n  listen: [127.0.0.1\n"))).toContain(`${file}:3: not YAML: `);
  expect(oneLine(await run("log:\n  level: info\nhttp:\n  port: 5000\n"))).toMatch(
    new RegExp(`${file}:4: http\\.port is no setting; expected one of listen, advertise, tlsCert`),
  );
  const values = await run("raft:\n  tick: soon\nlog:\n  level: loud\n");
  expect(values.code).toBe(1);
  expect(values.stderr).toBe(
    `roadstead: ${file}:2: raft.tick is "soon"; expected a duration such as 100ms, 10s, 5m, 24h or 7d, above 0 and at most 24d\n` +
      `roadstead: ${file}:4: log.level is "loud"; expected one of debug, info, warn, error\n`,
  );
  await rm(file);
  expect(oneLine(await endOf(["serve", "--data", folder, "--config", file]))).toContain(`${file}: cannot be read (ENOENT)`);
});
