import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadConfig } from "../config/load.ts";
import { silentLog } from "../core/log.ts";
import { type RunningNode, startNode } from "./start-node.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "roadstead-foreign-"));
  // Of two clusters, each begun, opened once more so that what they hold is in tables too, and stopped.
  for (const name of ["own", "other"]) for (let count = 0; count < 2; count += 1) await (await start(name)).stop();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function start(name: string): Promise<RunningNode> {
  const flags = { data: join(folder, name), "node.name": name, "http.listen": "127.0.0.1:0", "p2p.listen": "127.0.0.1:0" };
  const fatal = (error: Error): void => {
    throw error;
  };
  return startNode({ config: loadConfig({ flags }), entry: { bootstrap: true, join: undefined, token: undefined }, log: silentLog, fatal });
}

test.each([
  [["identity.key"], /^identity.key in .* is of the peer .*: parts of two data folders were mixed. Put back its own identity.key/],
  [["cluster.key"], /^cluster.key in .* is of another cluster: .* were mixed. Copy cluster.key and cluster.secret from another member/],
  [["cluster.key", "cluster.secret"], /^cluster.key in .* is of another cluster/],
  [["node.json"], /^The Raft log in .* but the folder is of node 1 of the cluster .* were mixed. Put back the folder as it was/],
  [["raft", "raft.witness"], /^The Raft log in .* but the folder is of node 1 of the cluster .* were mixed/],
  [["raft"], /^The Raft log in .* but the folder is of node 1 of the cluster .* were mixed/],
  [["catalog"], /^The catalog in .* is of the cluster .*, but the folder is of the cluster .* were mixed. Put back the catalog as it was/],
  [["raft", "raft.witness", "catalog"], /^The Raft log in .* were mixed/],
  [["node.json", "raft", "raft.witness"], /^The catalog in .* is of the cluster .* were mixed/],
  [["node.json", "catalog"], /^The Raft log in .* were mixed/],
  [["node.json", "raft", "raft.witness", "catalog"], /^identity.key in .* were mixed/],
  [["node.json", "raft", "raft.witness", "catalog", "identity.key"], /^cluster.key in .* is of another cluster/],
])(
  "a data folder that holds %j of a node of another cluster is refused at start, in one line that says what to do",
  async (names, line) => {
    const mixed = join(folder, "mixed");
    await cp(join(folder, "own"), mixed, { recursive: true });
    for (const name of names) {
      await rm(join(mixed, name), { recursive: true });
      await cp(join(folder, "other", name), join(mixed, name), { recursive: true });
    }
    const said = await start("mixed").then(
      async (node) => {
        await node.stop();
        return "it started";
      },
      (error: Error) => error.message,
    );
    await rm(mixed, { recursive: true });
    expect(said).toMatch(line);
    expect(said).not.toContain("\n");
  },
);
