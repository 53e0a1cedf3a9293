/** Why a node does not start or cannot go on, for whoever operates it: what happened and what to do, in one line. */
export class NodeError extends Error {
  override readonly name = "NodeError";
}
