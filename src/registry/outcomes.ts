import { type OciCode, OciError } from "../core/errors.ts";
import type { Outcome, Refusal } from "../metadata/commands.ts";

type Unknown = "BLOB_UNKNOWN" | "MANIFEST_UNKNOWN" | "NAME_UNKNOWN";

/** The one place where a refusal of `apply` becomes an error of the distribution-spec. `unknown` is said by what was asked for. */
const ERRORS = {
  deadline: ["UNAVAILABLE", "the commit came too late to stand; send the request again"],
  need: ["UNAVAILABLE", "the blob has too few durable copies yet; send the request again"],
  missing: ["MANIFEST_BLOB_UNKNOWN", "the manifest names content that this repository does not have; push it first"],
  referenced: ["REFERENCED", "a manifest of this repository names the blob; delete the manifest first"],
  mismatch: ["CONFLICT", "the cluster's record of this digest has another size or piece root: this node's copy or the record is wrong"],
  precondition: ["PRECONDITION_FAILED", "If-Match or If-None-Match does not hold"],
  state: ["CONFLICT", "the state of the content does not allow it"],
  busy: ["CONFLICT", "the content is in use"],
  count: ["CONFLICT", "too few copies would be left"],
  quota: ["DENIED", "the project's quota would be exceeded"],
  immutable: ["DENIED", "the tag is immutable by a rule of its project: it neither moves nor goes; push under another tag"],
  protected: ["DENIED", "the repository is protected by a rule of its project: nothing is deleted in it"],
  held: ["CONFLICT", "the garbage collector is held"],
  stale: ["CONFLICT", "the state has moved on"],
  tokenWrong: ["DENIED", "there is no such token"],
  tokenUsedUp: ["DENIED", "the token is used up"],
  tokenExpired: ["DENIED", "the token has expired"],
  tokenRevoked: ["DENIED", "the token was revoked"],
  nameTaken: ["CONFLICT", "another node has this name"],
  addressTaken: ["CONFLICT", "another node listens at this address"],
  memberUp: ["CONFLICT", "the node that is to be replaced is not down"],
  incarnation: ["UNAVAILABLE", "this node is not the one that the cluster knows; send the request to another"],
  session: ["UNAVAILABLE", "this node is about to open a new session; send the request again"],
  version: ["UNAVAILABLE", "the cluster is not raised to this version yet; send the request again when it is"],
} satisfies Record<Exclude<Refusal, "unknown">, readonly [OciCode, string]>;

const UNKNOWN: Readonly<Record<Unknown, string>> = {
  BLOB_UNKNOWN: "the repository has no such blob",
  MANIFEST_UNKNOWN: "the repository has no such manifest",
  NAME_UNKNOWN: "there is no such repository",
};

export function unknownError(code: Unknown, detail: OciError["detail"]): OciError {
  return new OciError(code, UNKNOWN[code], detail);
}

/** There is a record, and no member that holds a copy any more. */
export function lostError(detail: OciError["detail"]): OciError {
  return new OciError(
    "BLOB_UNKNOWN",
    "every copy of the blob is lost, with the nodes that held it; push it again, and all that name it have it",
    detail,
  );
}

/** As `apply` would refuse it. */
export function missingError(detail: OciError["detail"]): OciError {
  const [code, message] = ERRORS.missing;
  return new OciError(code, message, detail);
}

/** @throws OciError where `apply` refused */
export function assertAccepted(outcome: Outcome, unknown: Unknown, detail: OciError["detail"]): void {
  if (outcome.refused === undefined) return;
  const facts = outcome.digest === undefined ? detail : { ...detail, digest: outcome.digest };
  if (outcome.refused === "unknown") throw unknownError(unknown, facts);
  const [code, message] = ERRORS[outcome.refused];
  throw new OciError(code, message, facts);
}
