import { randomBytes } from "node:crypto";
import { chmod, link, mkdir, open, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from "@libp2p/crypto/keys";
import type { Ed25519PrivateKey } from "@libp2p/interface";
import { peerIdFromPrivateKey, peerIdFromString } from "@libp2p/peer-id";
import { systemCode } from "../../core/errors.ts";
import type { PeerId } from "../../core/peer.ts";
import { replacementStatement } from "../membership-certificate.ts";

/** Who this node is to the others, for as long as its data folder lives. */
export interface Identity {
  readonly peerId: PeerId;
  readonly privateKey: Ed25519PrivateKey;
}

const FILE = "identity.key";

/**
 * Reads the node's Ed25519 key from `folder`, or makes it there: 0600, fsynced with its name before this returns.
 * @throws Error where the file is no such key; nothing is ever written over it
 */
export async function loadIdentity(folder: string): Promise<Identity> {
  const existing = await readIdentity(folder);
  if (existing !== undefined) return existing;
  const privateKey = await generateKeyPair("Ed25519");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const made = await writeOnce(folder, privateKeyToProtobuf(privateKey));
  if (made) return { peerId: textOf(privateKey), privateKey };
  const other = await readIdentity(folder); // another start was faster: its key is the node's
  if (other === undefined) throw new Error(`${join(folder, FILE)} came and went while this node started: start again`);
  return other;
}

/** The identity in `folder`, or undefined where none was made yet: an empty folder joins only with a token. */
export async function readIdentity(folder: string): Promise<Identity | undefined> {
  const path = join(folder, FILE);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
  const privateKey = parseKey(bytes, path);
  await chmod(path, 0o600); // a restored backup may have opened it
  return { peerId: textOf(privateKey), privateKey };
}

/** A node's key in a file of its own, which is left as it is. @throws Error where there is none */
export async function readKeyFile(path: string): Promise<Identity> {
  const privateKey = parseKey(await readFile(path), path);
  return { peerId: textOf(privateKey), privateKey };
}

/** By the identity of a node whose disk was wiped, for the one that comes in its place. */
export async function signReplacement({ peerId, privateKey }: Identity, newcomer: PeerId): Promise<Uint8Array> {
  return privateKey.sign(replacementStatement(peerId, newcomer));
}

/** Whether whoever has the key of `old` stands for `newcomer`. The id of a peer holds its public key. */
export async function verifyReplacement(old: PeerId, newcomer: PeerId, signature: Uint8Array): Promise<boolean> {
  const { publicKey } = peerIdFromString(old);
  return publicKey !== undefined && (await publicKey.verify(replacementStatement(old, newcomer), signature));
}

function parseKey(bytes: Uint8Array, path: string): Ed25519PrivateKey {
  try {
    const key = privateKeyFromProtobuf(bytes);
    if (key.type === "Ed25519") return key;
  } catch (error) {
    throw unreadable(path, error);
  }
  throw unreadable(path);
}

function unreadable(path: string, cause?: unknown): Error {
  return new Error(
    `${path} holds no Ed25519 key of a node. Restore it from a backup; without it this node must come back as a new member`,
    { cause },
  );
}

function textOf(key: Ed25519PrivateKey): PeerId {
  return peerIdFromPrivateKey(key).toString() as PeerId;
}

/** Durable before visible, and never over a file that is there (`link` fails where `rename` would replace). */
async function writeOnce(folder: string, bytes: Uint8Array): Promise<boolean> {
  const staged = join(folder, `${FILE}.${randomBytes(6).toString("hex")}.tmp`);
  const file = await open(staged, "wx", 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(staged, join(folder, FILE));
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
    return false;
  } finally {
    await unlink(staged);
  }
  await syncFolder(folder);
  return true;
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
