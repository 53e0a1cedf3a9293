import { noteAudit } from "./apply-audit.ts";
import { addCopy, adoptBlob, commitBlob, dropCopy, evictBlob, linkRemoteBlob, mountBlob, renewLinks, unlinkBlob } from "./apply-blob.ts";
import { acknowledgeDeletion, condemnBlob, expireLink, holdCollector, noteRun, reclaimBlob } from "./apply-collect.ts";
import { deleteManifest, deleteTag, purgeManifest, putManifest, renewLease, undeleteManifest } from "./apply-manifest.ts";
import { addMember, initCluster, raiseVersion, removeMember, replaceMember, setMemberState, updateMember } from "./apply-member.ts";
import { recoverCluster } from "./apply-recover.ts";
import { openSession } from "./apply-session.ts";
import { createToken, revokeToken } from "./apply-token.ts";
import type { Command, Outcome } from "./commands.ts";
import { ACCEPTED, type Decision } from "./decision.ts";
import { changesOf, Draft } from "./draft.ts";
import { projectKey } from "./keys.ts";
import type { ApplyContext } from "./policy.ts";
import { PROJECT } from "./rows.ts";
import type { Change, View } from "./view.ts";

/**
 * Decides one committed command, the same on every replica. Pure: no wall clock, no randomness, no I/O, and point reads alone.
 * What an entry carries beside its command (stamp, session, chain) is `applyEntry`'s. The command must have passed `checkCommand`.
 * @returns no changes where it is refused
 */
export function apply(
  view: View,
  context: ApplyContext,
  command: Command,
): { readonly outcome: Outcome; readonly changes: readonly Change[] } {
  const draft = new Draft(view);
  const decision = decide(draft, context, command);
  const outcome: Outcome = { ...decision, index: context.index };
  return { outcome, changes: decision.refused === undefined ? changesOf(draft.changes) : [] };
}

/** Writes to `draft`, which the caller drops where the answer is a refusal. */
export function decide(draft: Draft, context: ApplyContext, command: Command): Decision {
  switch (command.type) {
    case "cluster.init":
      return initCluster(draft, context, command);
    case "cluster.raise":
      return raiseVersion(draft, command);
    case "cluster.recover":
      return recoverCluster(draft, context, command);
    case "session.open":
      return openSession(draft, context, command);
    case "clock.tick":
      return ACCEPTED;
    case "project.set":
      draft.write(PROJECT, projectKey(command.project), command.rules);
      return ACCEPTED;
    case "audit.note":
      return noteAudit(draft, command);
    case "member.add":
      return addMember(draft, context, command);
    case "member.replace":
      return replaceMember(draft, context, command);
    case "member.update":
      return updateMember(draft, command);
    case "member.state":
      return setMemberState(draft, context, command);
    case "member.remove":
      return removeMember(draft, command);
    case "token.create":
      return createToken(draft, context, command);
    case "token.revoke":
      return revokeToken(draft, command);
    case "blob.commit":
      return commitBlob(draft, context, command);
    case "blob.remote":
      return linkRemoteBlob(draft, context, command);
    case "blob.adopt":
      return adoptBlob(draft, context, command);
    case "blob.mount":
      return mountBlob(draft, context, command);
    case "blob.unlink":
      return unlinkBlob(draft, context, command);
    case "lease.renew":
      return renewLease(draft, context, command);
    case "lease.renewLinks":
      return renewLinks(draft, context, command);
    case "copy.add":
      return addCopy(draft, context, command);
    case "copy.drop":
      return dropCopy(draft, context, command);
    case "cache.evict":
      return evictBlob(draft, command);
    default:
      return decideManifest(draft, context, command);
  }
}

function decideManifest(
  draft: Draft,
  context: ApplyContext,
  command: Extract<Command, { type: `manifest.${string}` | `tag.${string}` | `gc.${string}` }>,
): Decision {
  switch (command.type) {
    case "manifest.put":
      return putManifest(draft, context, command);
    case "manifest.delete":
      return deleteManifest(draft, context, command);
    case "manifest.undelete":
      return undeleteManifest(draft, context, command);
    case "manifest.purge":
      return purgeManifest(draft, context, command);
    case "tag.delete":
      return deleteTag(draft, context, command);
    case "gc.hold":
      return holdCollector(draft, context, command);
    case "gc.ran":
      return noteRun(draft, command);
    case "gc.unlink":
      return expireLink(draft, context, command);
    case "gc.condemn":
      return condemnBlob(draft, context, command);
    case "gc.deleted":
      return acknowledgeDeletion(draft, command);
    case "gc.reclaim":
      return reclaimBlob(draft, command);
    default:
      return command satisfies never; // a new command does not compile until it is decided here
  }
}
