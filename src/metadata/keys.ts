import type { Digest } from "../core/digest.ts";
import type { PeerId, RaftId } from "../core/peer.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";
import type { CatalogTime } from "./records.ts";

// The key layout of the catalog, all of it. Keys are ASCII. Parts that vary in length end with NUL, which sorts below every character that a name, tag or
// digest may hold, so that the order of keys is the order of names, and the prefix of one name never holds another. Numbers are padded: they sort by value.
//
//   chain/head                                  index, catalog time and hash of the last entry (G9)
//   cluster                                     cluster record
//   roster                                      ids and states of the members, and the ids that were removed: all that guards need
//   member/<id>                                 member
//   peer/<peer id>                              the raft id of a peer, kept after its removal: an identity never comes back
//   usage/<id>                                  how many copies a member holds, their bytes, and how many records have no other
//   tokens, tokens/<place>, token/<token id>    bounds of the queue of join tokens; id of the one at a place; join token
//   audit, audit/<number>                       bounds of the audit trail; record of it
//   collector                                   whether the garbage collector is held, and its latest runs
//   boot/<id>                                   the newest start of a member that the catalog knows
//   sessions, session/<id>                      ids of the open sessions; session (G8)
//   outcome/<session>/<slot>                    outcomes kept for retries, of several sequences that follow each other; the slots go round
//   blob/<digest>                               blob record
//   link/<repository> NUL <digest>              link, or the edges that wait for one
//   child/<repository> NUL <digest>             edges of indexes to a manifest, there or not, and how many name it as their subject
//   manifest/<repository> NUL <digest>          manifest without its bytes
//   content/<repository> NUL <digest>           bytes of the manifest
//   tag/<repository> NUL <tag>                  tag
//   repository/<repository>                     counters of the repository
//   project/<project>, projectUsage/<project>   what a project allows; what it uses
//   share/<project> NUL <digest>                how many repositories of the project link the digest
//   referrer/<repository> NUL <subject> NUL <digest>   a row of the referrers answer
// Indexes, for scans alone; `apply` writes and never reads them:
//   holder/<id> NUL <digest>                    live records that list the copy, also after the member was removed
//   width/<copies> NUL <digest>                 live records by their number of copies when last written
//   linked/<digest> NUL <repository>            repositories in which a link shows the digest
//   lease/<repository> NUL <lease> NUL <digest>  visible links without references, by the end of their lease: what an upload there renews
//   gc/idle/<due> NUL <repository> NUL <digest> links without references, by the time from which gc.unlink may take them
//   gc/unlinked/<digest>                        records without a link
//   gc/condemned/<digest>                       condemned records
//   gc/trash/<purge after> NUL <repository> NUL <digest>
//   gc/orphans/<repository> NUL <subject>       purged subjects whose referrers are to follow
const NUL = "\0";

export const HEAD_KEY = "chain/head";
export const CLUSTER_KEY = "cluster";
export const ROSTER_KEY = "roster";
export const SESSIONS_KEY = "sessions";
export const TOKENS_KEY = "tokens";
export const COLLECTOR_KEY = "collector";
export const AUDIT_TRAIL_KEY = "audit";
export const MEMBER_PREFIX = "member/";
export const REPOSITORY_PREFIX = "repository/";

export const PROJECT_PREFIX = "project/";
export const PROJECT_USAGE_PREFIX = "projectUsage/";

/** Wide enough for any safe integer, so that the order of keys is the order of numbers. */
function padded(value: number): string {
  return String(value).padStart(16, "0");
}

export const memberKey = (id: RaftId): string => `${MEMBER_PREFIX}${padded(id)}`;
export const peerKey = (peerId: PeerId): string => `peer/${peerId}`;
export const usageKey = (id: RaftId): string => `usage/${padded(id)}`;
export const queuedTokenKey = (place: number): string => `${TOKENS_KEY}/${padded(place)}`;
export const tokenKey = (id: string): string => `token/${id}`;
export const auditKey = (number: number): string => `${AUDIT_TRAIL_KEY}/${padded(number)}`;
export const bootKey = (id: RaftId): string => `boot/${padded(id)}`;
export const sessionKey = (session: number): string => `session/${padded(session)}`;
export const outcomeKey = (session: number, slot: number): string => `outcome/${padded(session)}/${padded(slot)}`;
export const blobKey = (digest: Digest): string => `blob/${digest}`;
export const linkKey = (repository: RepositoryName, digest: Digest): string => `link/${repository}${NUL}${digest}`;
export const childKey = (repository: RepositoryName, digest: Digest): string => `child/${repository}${NUL}${digest}`;
export const manifestPrefix = (repository: RepositoryName): string => `manifest/${repository}${NUL}`;
export const manifestKey = (repository: RepositoryName, digest: Digest): string => `${manifestPrefix(repository)}${digest}`;
export const contentKey = (repository: RepositoryName, digest: Digest): string => `content/${repository}${NUL}${digest}`;
export const tagPrefix = (repository: RepositoryName): string => `tag/${repository}${NUL}`;
export const tagKey = (repository: RepositoryName, tag: Tag): string => `tag/${repository}${NUL}${tag}`;
export const repositoryKey = (repository: RepositoryName): string => `${REPOSITORY_PREFIX}${repository}`;
export const projectKey = (project: string): string => `${PROJECT_PREFIX}${project}`;
export const projectUsageKey = (project: string): string => `${PROJECT_USAGE_PREFIX}${project}`;
export const shareKey = (project: string, digest: Digest): string => `share/${project}${NUL}${digest}`;
export const referrerPrefix = (repository: RepositoryName, subject: Digest): string => `referrer/${repository}${NUL}${subject}${NUL}`;
export const referrerKey = (repository: RepositoryName, subject: Digest, digest: Digest): string =>
  `${referrerPrefix(repository, subject)}${digest}`;
export const holderPrefix = (id: RaftId): string => `holder/${padded(id)}${NUL}`;
export const holderKey = (id: RaftId, digest: Digest): string => `${holderPrefix(id)}${digest}`;
export const widthPrefix = (copies: number): string => `width/${padded(copies)}${NUL}`;
export const widthKey = (copies: number, digest: Digest): string => `${widthPrefix(copies)}${digest}`;
export const linkedPrefix = (digest: Digest): string => `linked/${digest}${NUL}`;
export const linkedKey = (digest: Digest, repository: RepositoryName): string => `${linkedPrefix(digest)}${repository}`;
export const leasePrefix = (repository: RepositoryName): string => `lease/${repository}${NUL}`;
export const leaseKey = (repository: RepositoryName, lease: CatalogTime, digest: Digest): string =>
  `${leasePrefix(repository)}${padded(lease)}${NUL}${digest}`;
/** What follows the prefix in the key of a lease. */
export function parseLeaseRest(rest: string): { readonly lease: CatalogTime; readonly digest: Digest } {
  const [lease = "", digest = ""] = rest.split(NUL);
  return { lease: Number(lease), digest: digest as Digest };
}
export const IDLE_PREFIX = "gc/idle/";
export const UNLINKED_PREFIX = "gc/unlinked/";
export const CONDEMNED_PREFIX = "gc/condemned/";
export const TRASH_PREFIX = "gc/trash/";
export const ORPHANS_PREFIX = "gc/orphans/";
export const idleKey = (due: CatalogTime, repository: RepositoryName, digest: Digest): string =>
  `${IDLE_PREFIX}${padded(due)}${NUL}${repository}${NUL}${digest}`;
export const unlinkedKey = (digest: Digest): string => `${UNLINKED_PREFIX}${digest}`;
export const condemnedKey = (digest: Digest): string => `${CONDEMNED_PREFIX}${digest}`;
export const trashKey = (purgeAfter: CatalogTime, repository: RepositoryName, digest: Digest): string =>
  `${TRASH_PREFIX}${padded(purgeAfter)}${NUL}${repository}${NUL}${digest}`;
export const orphansKey = (repository: RepositoryName, subject: Digest): string => `${ORPHANS_PREFIX}${repository}${NUL}${subject}`;
/** What follows the prefix in a key of the idle links or of the trash. */
export function parsePlaced(rest: string): { readonly time: CatalogTime; readonly repository: RepositoryName; readonly digest: Digest } {
  const [time = "", repository = "", digest = ""] = rest.split(NUL);
  return { time: Number(time), repository: repository as RepositoryName, digest: digest as Digest };
}
