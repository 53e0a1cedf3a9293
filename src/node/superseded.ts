import { join } from "node:path";
import { readIfThere, writeDurably } from "./cluster-state.ts";
import { NodeError } from "./node-error.ts";

const MARK_FILE = "superseded";

/** Remembers, durably, that this folder is of a cluster that is no more: a start on it would serve what nobody stands for any more. */
export function markSuperseded(data: string, error: NodeError): Promise<void> {
  return writeDurably(data, MARK_FILE, Buffer.from(`${error.message}\n`));
}

/** @throws NodeError as it was marked */
export async function refuseSuperseded(data: string): Promise<void> {
  const mark = await readIfThere(join(data, MARK_FILE));
  if (mark !== undefined) throw new NodeError(mark.toString("utf8").trim());
}
