import { OciError } from "../core/errors.ts";
import { drawToken, fingerprintOf, hashSecret, makeToken } from "../exchange/join-token.ts";
import type { Admin, TokenStatus } from "../http/admin.ts";
import { tokenRefusal } from "../metadata/apply-token.ts";
import type { CatalogTime, JoinTokenRecord } from "../metadata/records.ts";
import type { AdminOptions } from "./admin.ts";

/** What an administrator does with join tokens. */
export function createTokenAdmin(options: AdminOptions): Pick<Admin, "createToken" | "tokens" | "revokeToken"> {
  return {
    createToken: (wish) => createToken(options, wish),
    tokens: () => tokens(options),
    revokeToken: (id) => revokeToken(options, id),
  };
}

async function createToken(
  { consensus, publicKey, random, host }: AdminOptions,
  { uses, ttlMs }: { readonly uses: number; readonly ttlMs: number },
): Promise<{ readonly id: string; readonly token: string; readonly join: readonly string[] }> {
  const token = drawToken(random, fingerprintOf(publicKey));
  const outcome = await consensus.propose({ type: "token.create", id: token.id, hash: hashSecret(token.secret), uses, ttlMs });
  if (outcome.refused !== undefined) throw new OciError("UNAVAILABLE", `the token was not made (${outcome.refused}): try again`);
  const others = consensus.catalog.members().filter((member) => member.raftId !== consensus.self && !member.down);
  const join = [...new Set([...host.addresses(), ...others.flatMap((member) => member.addresses)])];
  return { id: token.id, token: makeToken(token), join };
}

async function tokens({ consensus }: AdminOptions): Promise<readonly TokenStatus[]> {
  if ((await consensus.barrier()) === "cutOff") throw cutOff();
  const time = consensus.catalog.time();
  return consensus.catalog.joinTokens().map((record) => statusOf(record, time));
}

async function revokeToken({ consensus }: AdminOptions, id: string): Promise<TokenStatus> {
  const { refused } = await consensus.propose({ type: "token.revoke", id });
  const record = consensus.catalog.joinToken(id);
  if (refused === "unknown" || record === undefined) {
    throw new OciError("NOT_FOUND", `no join token has the id ${id}: \`roadstead token list\` shows those that are kept`);
  }
  if (refused !== undefined) throw new OciError("UNAVAILABLE", `the token was not revoked (${refused}): try again`);
  return statusOf(record, consensus.catalog.time());
}

const STATES = { tokenRevoked: "revoked", tokenUsedUp: "used up", tokenExpired: "expired" } as const;

function statusOf(record: JoinTokenRecord, time: CatalogTime): TokenStatus {
  const refusal = tokenRefusal(record, record.hash, time);
  const state = refusal === undefined ? "good" : STATES[refusal as keyof typeof STATES];
  return { id: record.id, state, usesLeft: record.usesLeft, msLeft: Math.max(0, record.expiresAt - time) };
}

function cutOff(): OciError {
  return new OciError("UNAVAILABLE", "this node has no contact with a majority: ask another one, or bring the others back");
}
