import type { MemberCommand, Refusal } from "./commands.ts";
import { ACCEPTED, type Decision, refuse } from "./decision.ts";
import type { Draft } from "./draft.ts";
import { queuedTokenKey, TOKENS_KEY, tokenKey } from "./keys.ts";
import type { ApplyContext } from "./policy.ts";
import type { CatalogTime, JoinTokenRecord } from "./records.ts";
import { QUEUED_TOKEN, TOKEN, TOKENS } from "./rows.ts";

type Of<T extends MemberCommand["type"]> = Extract<MemberCommand, { type: T }>;

/** From so many records on, those that are good no more make room for new ones. */
const TOKENS_KEPT = 256;
/** So many of the oldest are looked at for each new one: one would not do, since a good one goes to the end of the queue and takes the room of the one that went. */
const LOOKED_AT = 2;

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
  let { first, next } = draft.read(TOKENS, TOKENS_KEY) ?? { first: 0, next: 0 };
  for (let looked = 0; looked < LOOKED_AT && next - first >= TOKENS_KEPT; looked += 1) {
    next += moveOldest(draft, context, first, next);
    first += 1;
  }
  draft.write(QUEUED_TOKEN, queuedTokenKey(next), { id });
  draft.write(TOKENS, TOKENS_KEY, { first, next: next + 1 });
  draft.write(TOKEN, tokenKey(id), { id, hash, usesLeft: uses, expiresAt: context.time + ttlMs });
  return ACCEPTED;
}

/** Takes the token at `first` out of the queue, for good or to its end. @returns how many places the end takes */
function moveOldest(draft: Draft, context: ApplyContext, first: number, next: number): number {
  const id = draft.read(QUEUED_TOKEN, queuedTokenKey(first))?.id ?? "";
  draft.remove(queuedTokenKey(first));
  if (isOver(readToken(draft, id), context)) {
    draft.remove(tokenKey(id));
    return 0;
  }
  draft.write(QUEUED_TOKEN, queuedTokenKey(next), { id });
  return 1;
}

/** Of the clusters before this one: their secrets went with members that are lost. */
export function revokeAllTokens(draft: Draft): void {
  const { first, next } = draft.read(TOKENS, TOKENS_KEY) ?? { first: 0, next: 0 };
  for (let place = first; place < next; place += 1) {
    const record = readToken(draft, draft.read(QUEUED_TOKEN, queuedTokenKey(place))?.id ?? "");
    if (record !== undefined) draft.write(TOKEN, tokenKey(record.id), { ...record, revoked: true });
  }
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
