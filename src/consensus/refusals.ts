import { OciError } from "../core/errors.ts";
import type { Command } from "../metadata/commands.ts";

/** Why consensus gives a client no answer now: always 503 with `Retry-After`, never a guess. */
function unavailable(message: string, retryAfterSeconds: number): OciError {
  return new OciError("UNAVAILABLE", message, { retryAfterSeconds });
}

export function cutOffError(): OciError {
  return unavailable("This node has no contact with a majority of the cluster, so nothing can be written here now.", 2);
}

export function stoppingError(): OciError {
  return unavailable("This node is stopping.", 1);
}

/** Not `cutOff`: there is no state yet that could be answered from. */
export function outsideError(): OciError {
  return unavailable("This node is no part of a cluster yet: it waits for the leader's snapshot.", 1);
}

export function unansweredError(command: Command): OciError {
  return unavailable(`The cluster did not answer ${command.type} in time. It may still be done; asking again is safe.`, 1);
}

/** No fault of the client's, and asking again does not help. */
export function refusedError(command: Command, reason: string): OciError {
  return new OciError("INTERNAL", `The leader refused the proposal of ${command.type}, and nothing was done: ${reason}.`);
}

export function sessionError(): OciError {
  return unavailable("The session of this node had ended before its command arrived. Whether it was done is not known; ask again.", 1);
}

export function leaderlessError(): OciError {
  return unavailable("The cluster found no leader in time, so a current answer cannot be given.", 1);
}
