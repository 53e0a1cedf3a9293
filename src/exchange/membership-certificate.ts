import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { encode } from "../core/codec.ts";
import type { PeerId, RaftId } from "../core/peer.ts";

/** What the cluster key signs for a member: this peer is this number of this cluster. */
export interface Membership {
  readonly clusterId: string;
  readonly peerId: PeerId;
  readonly raftId: RaftId;
}

/** @param clusterKey the cluster's Ed25519 private key */
export function signMembership(clusterKey: KeyObject, membership: Membership): Uint8Array {
  return sign(null, statement(membership), clusterKey);
}

/** @param publicKey the cluster's public key, SPKI DER */
export function verifyMembership(publicKey: Uint8Array, membership: Membership, certificate: Uint8Array): boolean {
  return verifyWith(publicKey, statement(membership), certificate);
}

/** False for a key that is none, too. */
export function verifyWith(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
    return key.asymmetricKeyType === "ed25519" && verify(null, message, key, signature);
  } catch {
    return false;
  }
}

function statement({ clusterId, peerId, raftId }: Membership): Uint8Array {
  return encode(["roadstead membership 1", clusterId, peerId, raftId]);
}

/** What the cluster signs for one that asks whether it is out: fresh by its nonce, and bound to the two who speak. */
export function standingStatement(nonce: Uint8Array, asker: PeerId, member: PeerId, removed: boolean): Uint8Array {
  return encode(["roadstead standing 1", Buffer.from(nonce), asker, member, removed]);
}

/** A cluster whose quorum was lost goes on as another: what its own key signs, for members of it that come back. */
export interface Supersession {
  readonly clusterId: string;
  readonly successor: string;
  /** Of the last entry that the successor has of its log. */
  readonly lastTerm: number;
  readonly lastIndex: number;
}

/** @param clusterKey of the cluster that is superseded */
export function signSupersession(clusterKey: KeyObject, supersession: Supersession): Uint8Array {
  return sign(null, supersessionStatement(supersession), clusterKey);
}

/** @param publicKey of the cluster that is superseded, SPKI DER */
export function verifySupersession(publicKey: Uint8Array, supersession: Supersession, signature: Uint8Array): boolean {
  return verifyWith(publicKey, supersessionStatement(supersession), signature);
}

function supersessionStatement({ clusterId, successor, lastTerm, lastIndex }: Supersession): Uint8Array {
  return encode(["roadstead supersession 1", clusterId, successor, lastTerm, lastIndex]);
}

/** What the old identity of a node whose disk was wiped signs for the new one: the two are one machine. */
export function replacementStatement(old: PeerId, newcomer: PeerId): Uint8Array {
  return encode(["roadstead replacement 1", old, newcomer]);
}
