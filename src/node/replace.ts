import { OciError } from "../core/errors.ts";
import type { PeerId } from "../core/peer.ts";
import { readKeyFile, signReplacement, verifyReplacement } from "../exchange/libp2p/identity.ts";
import type { JoinFacts, RefusalReason } from "../exchange/libp2p/join.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { Command, MemberFacts } from "../metadata/commands.ts";
import { NodeError } from "./node-error.ts";

/** In whose place a newcomer is to be. */
export interface ReplaceWish {
  /** Name or peer id. */
  readonly node: string;
  /** Blobs that lie on the old one alone are given up. */
  readonly lost: boolean;
  /** File with the old one's key, where it was kept: it proves that the newcomer is that machine, and the old one need not be found down first. */
  readonly oldIdentity: string | undefined;
}

interface Replacement {
  readonly node: string;
  readonly lost: boolean;
  readonly proof: Uint8Array | undefined;
}

/** What a newcomer says of it, beside what it is itself. @throws NodeError where the file is no key */
export async function replaceFacts(wish: ReplaceWish | undefined, self: PeerId): Promise<JoinFacts> {
  if (wish === undefined) return {};
  const { node, lost, oldIdentity } = wish;
  if (oldIdentity === undefined) return { replace: { node, lost } };
  try {
    const old = await readKeyFile(oldIdentity);
    return { replace: { node, lost, proof: Buffer.from(await signReplacement(old, self)) } };
  } catch (error) {
    throw new NodeError(`--old-identity ${oldIdentity}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** @throws OciError REQUEST_INVALID */
export function replacementIn({ replace }: JoinFacts): Replacement | undefined {
  if (replace === undefined) return undefined;
  const { node, lost, proof } = (typeof replace === "object" && replace !== null ? replace : {}) as Record<string, unknown>;
  const isProof = proof === undefined || proof instanceof Uint8Array;
  if (typeof node === "string" && node.length <= 128 && typeof lost === "boolean" && isProof) return { node, lost, proof };
  throw new OciError("REQUEST_INVALID", "what the node says of the one that it is to replace is not as it is to be");
}

/** What takes the newcomer in. One that was taken in, and did not hear of it, is no newcomer any more: `member.add` answers it again. */
export async function admissionOf(
  catalog: Catalog,
  member: MemberFacts,
  token: { readonly id: string; readonly hash: Uint8Array },
  replacement: Replacement | undefined,
): Promise<Command | { readonly refused: RefusalReason }> {
  const members = catalog.members();
  if (replacement === undefined || members.some(({ peerId }) => peerId === member.peerId)) return { type: "member.add", member, token };
  const { node, lost, proof } = replacement;
  const old = members.find(({ name, peerId }) => name === node || peerId === node);
  if (old === undefined) return { refused: "replaceUnknown" };
  const proven = proof !== undefined && (await verifyReplacement(old.peerId, member.peerId, proof));
  return { type: "member.replace", old: old.raftId, member, token, proven, ...(lost ? { lost } : {}) };
}
