import type { MemberCommand, Refusal } from "./commands.ts";
import { ACCEPTED, type Decision, refuse } from "./decision.ts";
import type { Draft } from "./draft.ts";
import { TOKENS_KEY, tokenKey } from "./keys.ts";
import type { ApplyContext } from "./policy.ts";
import type { CatalogTime, JoinTokenRecord } from "./records.ts";
import { TOKEN, TOKENS } from "./rows.ts";

type Of<T extends MemberCommand["type"]> = Extract<MemberCommand, { type: T }>;

/** From so many records on, the oldest that is good no more makes room for a new one. */
const TOKENS_KEPT = 256;

/**
 * Why a join token lets nobody in; undefined where it does. Only who has proven the secret is told what became of the token.
 * @param hash of the secret that was shown
 */
export function tokenRefusal(record: JoinTokenRecord | undefined, hash: Uint8Array, time: CatalogTime): Refusal | undefined {
  if (record === undefined || Buffer.compare(record.hash, hash) !== 0) return "tokenWrong";
  if (record.revoked === true) return "tokenRevoked";
  if (record.usesLeft < 1) return "tokenUsedUp";
  return record.expiresAt < time ? "tokenExpired" : undefined;
}

export function readToken(draft: Draft, id: string): JoinTokenRecord | undefined {
  return draft.read(TOKEN, tokenKey(id));
}

export function useToken(draft: Draft, id: string): void {
  const record = readToken(draft, id);
  if (record !== undefined) draft.write(TOKEN, tokenKey(id), { ...record, usesLeft: record.usesLeft - 1 });
}

export function createToken(draft: Draft, context: ApplyContext, command: Of<"token.create">): Decision {
  const { id, hash, uses, ttlMs } = command;
  if (readToken(draft, id) !== undefined) return refuse("state");
  const { ids } = draft.read(TOKENS, TOKENS_KEY) ?? { ids: [] };
  const oldest = ids.length < TOKENS_KEPT ? undefined : ids.slice(0, TOKENS_KEPT).find((one) => isOver(readToken(draft, one), context));
  if (oldest !== undefined) draft.remove(tokenKey(oldest));
  draft.write(TOKENS, TOKENS_KEY, { ids: [...ids.filter((one) => one !== oldest), id] });
  draft.write(TOKEN, tokenKey(id), { id, hash, usesLeft: uses, expiresAt: context.time + ttlMs });
  return ACCEPTED;
}

function isOver(record: JoinTokenRecord | undefined, { time }: ApplyContext): boolean {
  return record === undefined || tokenRefusal(record, record.hash, time) !== undefined;
}

export function revokeToken(draft: Draft, command: Of<"token.revoke">): Decision {
  const record = readToken(draft, command.id);
  if (record === undefined) return refuse("unknown");
  draft.write(TOKEN, tokenKey(command.id), { ...record, revoked: true });
  return ACCEPTED;
}
