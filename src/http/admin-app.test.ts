import { expect, test } from "vitest";
import { seededRandom } from "../core/random.ts";
import type { Admin } from "./admin.ts";
import { createAdminApp } from "./admin-app.ts";
import { appDouble, ask, LogDouble } from "./app-double.ts";
import { DEFAULT_LIMITS } from "./limits.ts";

type ContentAdmin = Pick<
  Admin,
  | ("projects" | "setProject" | "deleteRepository" | "deleteProject" | "trash" | "restore")
  | ("collector" | "collect" | "foreseeCollection" | "verification" | "verify" | "holdCollector" | "releaseCollector")
>;
const PROJECT = { project: "team", immutableTags: [], protectedRepositories: [], quota: {}, usedBytes: 5, blobs: 1, repositories: 1 };
const COLLECTED = { manifests: 1, links: 2, blobs: 3, freed: [{ node: "n1", bytes: 4 }] };
const VERIFICATION = { running: false, failure: undefined, last: undefined };
const COLLECTOR = { held: undefined, running: false, here: undefined, failure: undefined, condemned: 0, awaited: [], runs: [] };
const TOKEN = { id: "i", state: "good", usesLeft: 1, msLeft: 60_000 } as const;

function contentDouble(wishes: unknown[]): ContentAdmin {
  return {
    projects: async () => [PROJECT],
    setProject: async (project, rules) => ({ ...PROJECT, project, ...rules }),
    deleteRepository: async (repository) => {
      wishes.push({ delete: repository });
      return { repositories: 1, manifests: 2 };
    },
    deleteProject: async (project) => {
      wishes.push({ deleteProject: project });
      return { repositories: 3, manifests: 4 };
    },
    trash: async (repository) => [{ digest: repository, mediaType: "m", bytes: 1, tags: ["v1"], msLeft: 2 }],
    restore: async (repository, digest) => void wishes.push({ restore: [repository, digest] }),
    collector: async () => COLLECTOR,
    collect: async () => COLLECTOR,
    foreseeCollection: async () => COLLECTED,
    verification: async () => VERIFICATION,
    verify: async () => ({ ...VERIFICATION, running: true }),
    holdCollector: async (reason) => ({ ...COLLECTOR, held: reason }),
    releaseCollector: async () => COLLECTOR,
  };
}

function adminDouble() {
  const wishes: unknown[] = [];
  const none = { blobs: 0, bytes: 0 };
  const work = { lostBlobs: 0, underReplicated: none, moving: none, quarantined: 0, tasks: [] };
  const status = { clusterId: "c", leader: "n1", commitIndex: 7, cutOff: false, nodes: [], ...work, warnings: ["one copy only"] };
  const handler = createAdminApp(
    {
      status: async () => status,
      createToken: async (wish) => {
        wishes.push(wish);
        return { id: "i", token: "t", join: ["/ip4/127.0.0.1/tcp/1"] };
      },
      tokens: async () => [TOKEN],
      revokeToken: async (id) => {
        wishes.push({ revoke: id });
        return { ...TOKEN, state: "revoked" };
      },
      ...contentDouble(wishes),
      audit: async (limit) => [{ number: limit, at: "", node: "n1", action: "join.refused", target: "p", detail: "wrong" }],
      recoveryPlan: async () => ({ clusterId: "c", chosen: "n1", survivors: [], lost: [{ name: "n2", http: "" }], lostBlobs: 3 }),
      recover: async (clusterId, lost) => {
        wishes.push({ recover: clusterId, lost });
        return { clusterId: "d", leader: "n1" };
      },
      lostBlobs: async () => [{ digest: "sha256:1", repositories: ["a"] }],
      drain: async (node) => {
        wishes.push({ drain: node });
        return { node, copies: 4 };
      },
      undrain: async (node) => {
        wishes.push({ undrain: node });
        return { node, copies: 4 };
      },
      remove: async (node, how) => {
        wishes.push({ remove: node, ...how });
        return { node, copies: 0 };
      },
      transferLeader: async (node) => {
        wishes.push({ lead: node });
        return { leader: node ?? "n2" };
      },
    },
    {
      log: new LogDouble(),
      random: seededRandom(1),
      clock: { wallMs: () => 0, monotonicMs: () => 0, after: () => () => undefined, every: () => () => undefined },
      limits: DEFAULT_LIMITS,
      tally: undefined,
      accessLog: "writes",
    },
  );
  return { handler, wishes, status };
}

test("the admin API answers the cluster's status and makes tokens", async () => {
  const { handler, wishes, status } = adminDouble();
  expect((await ask(handler, "GET", "/_roadstead/v1/status")).json).toEqual(status);
  const made = await ask(handler, "POST", "/_roadstead/v1/tokens", { body: '{"uses":3,"ttl":"2h"}' });
  expect([made.status, made.json]).toEqual([201, { id: "i", token: "t", join: ["/ip4/127.0.0.1/tcp/1"] }]);
  expect(made.headers.get("cache-control")).toBe("no-store");
  await ask(handler, "POST", "/_roadstead/v1/tokens");
  await ask(handler, "POST", "/_roadstead/v1/tokens", { body: '{"ttl":1500}' });
  expect(wishes).toEqual([
    { uses: 3, ttlMs: 7_200_000 },
    { uses: 1, ttlMs: 3_600_000 },
    { uses: 1, ttlMs: 1_500 },
  ]);
});

test("the admin API drains, removes and hands over, and refuses a wish that names no node", async () => {
  const { handler, wishes } = adminDouble();
  const post = async (path: string, body: string) => {
    const { status, json } = await ask(handler, "POST", `/_roadstead/v1/${path}`, { body });
    return [status, json];
  };
  expect(await post("nodes/drain", '{"node":"n1"}')).toEqual([200, { node: "n1", copies: 4 }]);
  expect(await post("nodes/undrain", '{"node":"n1"}')).toEqual([200, { node: "n1", copies: 4 }]);
  expect(await post("nodes/remove", '{"node":"n1","lost":true}')).toEqual([200, { node: "n1", copies: 0 }]);
  expect(await post("leader", '{"node":"n3"}')).toEqual([200, { leader: "n3" }]);
  expect(await post("leader", "")).toEqual([200, { leader: "n2" }]);
  const before = [...wishes];
  expect(before).toEqual([
    { drain: "n1" },
    { undrain: "n1" },
    { remove: "n1", lost: true, force: false },
    { lead: "n3" },
    { lead: undefined },
  ]);
  for (const path of ["nodes/drain", "nodes/undrain", "nodes/remove", "leader"]) {
    for (const body of ["{", "[]", '{"node":7}', '{"node":""}']) expect((await post(path, body))[0], `${path} ${body}`).toBe(400);
    expect((await ask(handler, "GET", `/_roadstead/v1/${path}`)).status).toBe(405);
  }
  expect((await post("nodes/remove", '{"node":"n1","lost":1}'))[0]).toBe(400);
  expect(wishes).toEqual(before);
});

test.each([
  "{",
  "[]",
  "null",
  '{"uses":0}',
  '{"uses":1.5}',
  '{"uses":"1"}',
  '{"ttl":"1y"}',
  '{"ttl":0}',
  '{"ttl":"9999d"}',
  '{"ttl":null}',
])("the admin API refuses the wish %s by 400", async (body) => {
  const { handler, wishes } = adminDouble();
  const answer = await ask(handler, "POST", "/_roadstead/v1/tokens", { body });
  expect([answer.status, answer.code, wishes]).toEqual([400, "REQUEST_INVALID", []]);
});

test("the admin API is not the registry, and the registry's door is not the admin API", async () => {
  const { handler } = adminDouble();
  expect((await ask(handler, "GET", "/v2/")).status).toBe(404);
  expect((await ask(handler, "DELETE", "/_roadstead/v1/status")).headers.get("allow")).toBe("GET");
  expect((await appDouble().ask("GET", "/_roadstead/v1/status")).status).toBe(404);
});

test("the admin API lists and revokes tokens, and shows the latest of the audit trail", async () => {
  const { handler, wishes } = adminDouble();
  expect((await ask(handler, "GET", "/_roadstead/v1/tokens")).json).toEqual({ tokens: [TOKEN] });
  expect((await ask(handler, "POST", "/_roadstead/v1/tokens/revoke", { body: '{"id":"i"}' })).json).toMatchObject({ state: "revoked" });
  expect((await ask(handler, "POST", "/_roadstead/v1/tokens/revoke", { body: '{"id":7}' })).status).toBe(400);
  expect(wishes).toEqual([{ revoke: "i" }]);
  expect((await ask(handler, "GET", "/_roadstead/v1/audit")).json).toMatchObject({ entries: [{ number: 50, action: "join.refused" }] });
  expect((await ask(handler, "GET", "/_roadstead/v1/audit?limit=7")).json).toMatchObject({ entries: [{ number: 7 }] });
  for (const limit of ["0", "1001", "x"]) expect((await ask(handler, "GET", `/_roadstead/v1/audit?limit=${limit}`)).status).toBe(400);
});

test("the admin API plans a recovery and orders it, and lists what is lost", async () => {
  const { handler, wishes } = adminDouble();
  expect((await ask(handler, "GET", "/_roadstead/v1/recovery")).json).toMatchObject({ clusterId: "c", chosen: "n1", lostBlobs: 3 });
  const ordered = await ask(handler, "POST", "/_roadstead/v1/recovery", { body: '{"clusterId":"c","lost":["n2"]}' });
  expect([ordered.status, ordered.json]).toEqual([202, { clusterId: "d", leader: "n1" }]);
  for (const body of ["", '{"clusterId":"c"}', '{"clusterId":"c","lost":"n2"}', '{"lost":["n2"]}', '{"clusterId":"c","lost":[2]}'])
    expect((await ask(handler, "POST", "/_roadstead/v1/recovery", { body })).status, body).toBe(400);
  expect(wishes).toEqual([{ recover: "c", lost: ["n2"] }]);
  expect((await ask(handler, "GET", "/_roadstead/v1/blobs/lost")).json).toEqual({ blobs: [{ digest: "sha256:1", repositories: ["a"] }] });
});

test("the admin API shows, runs, foresees, holds and releases the garbage collector", async () => {
  const { handler } = adminDouble();
  const shown = { running: false, condemned: 0, awaited: [], runs: [] };
  expect((await ask(handler, "GET", "/_roadstead/v1/gc")).json).toEqual(shown);
  const run = await ask(handler, "POST", "/_roadstead/v1/gc/run");
  expect([run.status, run.json]).toEqual([202, shown]);
  expect((await ask(handler, "GET", "/_roadstead/v1/gc/foresee")).json).toEqual(COLLECTED);
  expect((await ask(handler, "POST", "/_roadstead/v1/gc/hold", { body: '{"reason":"an audit"}' })).json).toEqual({
    ...shown,
    held: "an audit",
  });
  expect((await ask(handler, "POST", "/_roadstead/v1/gc/hold", { body: '{"reason":7}' })).status).toBe(400);
  expect((await ask(handler, "POST", "/_roadstead/v1/gc/release")).json).toEqual(shown);
  const verifying = await ask(handler, "POST", "/_roadstead/v1/gc/verify");
  expect([verifying.status, verifying.json]).toEqual([202, { running: true }]);
  expect((await ask(handler, "GET", "/_roadstead/v1/gc/verify")).json).toEqual({ running: false });
  const wrong = await ask(handler, "DELETE", "/_roadstead/v1/gc/run");
  expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"]);
});

test("the admin API shows and sets projects, deletes repositories and projects, and takes back what was deleted", async () => {
  const { handler, wishes } = adminDouble();
  const post = (path: string, body: unknown) => ask(handler, "POST", `/_roadstead/v1${path}`, { body: JSON.stringify(body) });
  expect((await ask(handler, "GET", "/_roadstead/v1/projects")).json).toEqual({ projects: [PROJECT] });
  const set = await post("/projects", { project: "team", quota: { bytes: 9, softBytes: null }, immutableTags: ["v*"] });
  expect(set.json).toEqual({ ...PROJECT, quota: { bytes: 9 }, immutableTags: ["v*"] });
  for (const wrong of [
    {},
    { project: "team", quota: { files: 1 } },
    { project: "team", quota: { bytes: -1 } },
    { project: "team", immutableTags: "v*" },
  ]) {
    expect((await post("/projects", wrong)).status, JSON.stringify(wrong)).toBe(400);
  }
  expect((await post("/repositories/delete", { repository: "team/app" })).json).toEqual({ repositories: 1, manifests: 2 });
  expect((await post("/projects/delete", { project: "team" })).json).toEqual({ repositories: 3, manifests: 4 });
  expect((await ask(handler, "GET", "/_roadstead/v1/trash?repository=team%2Fapp")).json).toMatchObject({
    manifests: [{ digest: "team/app" }],
  });
  expect((await post("/trash/restore", { repository: "team/app", digest: "sha256:0" })).status).toBe(200);
  expect(wishes).toEqual([{ delete: "team/app" }, { deleteProject: "team" }, { restore: ["team/app", "sha256:0"] }]);
});
