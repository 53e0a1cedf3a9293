import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { PeerId } from "../core/peer.ts";
import { type Identity, loadIdentity } from "../exchange/libp2p/identity.ts";
import { factsOf, Scenario, SECRET_HASH } from "../metadata/scenario.ts";
import { createCatalog } from "../metadata/store-catalog.ts";
import { admissionOf, replaceFacts, replacementIn } from "./replace.ts";

const NEWCOMER = "12D3KooWJZ7R7D3t1UQPtBvM8dvCMxkrtEMDNTnnAW4dwAmSYgkN" as PeerId;
const TOKEN = { id: "t", hash: SECRET_HASH };

async function keyFile(): Promise<{ folder: string; path: string; identity: Identity }> {
  const folder = await mkdtemp(join(tmpdir(), "replace-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return { folder, path: join(folder, "identity.key"), identity: await loadIdentity(folder) };
}

/** The second of its members has the key. */
function catalogWith(old: Identity) {
  const scenario = new Scenario();
  scenario.found(1);
  const member = { ...factsOf(1), peerId: old.peerId };
  const { value = 0 } = scenario.run({ type: "member.add", member, token: TOKEN });
  return { catalog: createCatalog(scenario.store), raftId: value, name: member.name };
}

test("a newcomer that shows the old one's key is proven to be that machine; nobody else's key, and no signature for another newcomer, proves it", async () => {
  const { path, identity } = await keyFile();
  const stranger = await keyFile();
  const { catalog, raftId, name } = catalogWith(identity);
  const member = { ...factsOf(9), peerId: NEWCOMER };
  const admit = async (oldIdentity: string | undefined, signedFor = NEWCOMER) => {
    const facts = await replaceFacts({ node: name, lost: false, oldIdentity }, signedFor);
    return admissionOf(catalog, member, TOKEN, replacementIn(facts));
  };
  const command = { type: "member.replace", old: raftId, member, token: TOKEN };
  expect(await admit(path)).toEqual({ ...command, proven: true });
  expect(await admit(undefined)).toEqual({ ...command, proven: false });
  expect(await admit(stranger.path)).toEqual({ ...command, proven: false });
  expect(await admit(path, stranger.identity.peerId)).toEqual({ ...command, proven: false });
});

test("without --replace, and once it was taken in, a newcomer is added; a name that nobody has is refused", async () => {
  const { identity } = await keyFile();
  const { catalog } = catalogWith(identity);
  const replacement = { node: "nobody", lost: true, proof: undefined };
  const member = { ...factsOf(9), peerId: NEWCOMER };
  expect(await admissionOf(catalog, member, TOKEN, replacement)).toEqual({ refused: "replaceUnknown" });
  expect(await admissionOf(catalog, member, TOKEN, undefined)).toMatchObject({ type: "member.add" });
  expect(await admissionOf(catalog, { ...member, peerId: identity.peerId }, TOKEN, replacement)).toMatchObject({ type: "member.add" });
});

test("what would not do is refused: a file that is no key with its name, words of a stranger by their shape", async () => {
  const { folder } = await keyFile();
  const path = join(folder, "other");
  await writeFile(path, "no key");
  await expect(replaceFacts({ node: "n", lost: false, oldIdentity: path }, NEWCOMER)).rejects.toThrow(`--old-identity ${path}`);
  expect(replacementIn({})).toBeUndefined();
  for (const replace of [
    1,
    null,
    {},
    { node: 7, lost: false },
    { node: "x".repeat(129), lost: false },
    { node: "n" },
    { node: "n", lost: true, proof: "p" },
  ])
    expect(() => replacementIn({ replace }), JSON.stringify(replace)).toThrow("is not as it is to be");
});
