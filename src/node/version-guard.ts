import type { Consensus } from "../consensus/consensus.ts";
import { COMMAND_VERSION } from "../metadata/commands.ts";
import { NodeError } from "./node-error.ts";

type Guarded = Pick<Consensus, "catalog" | "onApplied" | "onInstalled">;

/**
 * A program that is older than `cluster.version` must not serve: it would apply what it does not know (design.md, "Versions"). An unknown command in the log
 * halts it as well; this is for the catalog that it has already, and for one that comes by a snapshot.
 * @param fail ends a node that runs
 * @returns ends it
 * @throws NodeError where the catalog is newer already
 */
export function guardVersion(consensus: Guarded, fail: (error: Error) => void, versionMax: number = COMMAND_VERSION): () => void {
  const error = tooOld(consensus, versionMax);
  if (error !== undefined) throw error;
  const look = (): void => {
    const found = tooOld(consensus, versionMax);
    if (found !== undefined) fail(found);
  };
  const ends = [
    consensus.onApplied(({ command }) => {
      if (command.type === "cluster.raise") look();
    }),
    consensus.onInstalled(look),
  ];
  return () => {
    for (const end of ends) end();
  };
}

function tooOld({ catalog }: Guarded, versionMax: number): NodeError | undefined {
  const version = catalog.cluster()?.version ?? 0;
  if (version <= versionMax) return undefined;
  return new NodeError(
    `the cluster has been raised to version ${version}, and this program knows versions up to ${versionMax}: install the version of roadstead that the other members run`,
  );
}
