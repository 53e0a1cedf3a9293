/** Where the composition looks for it; the adapters that it opens are in `level/`. */
export { type OpenOptions, openConsensus } from "./level/open-consensus.ts";
