import { lookup as systemLookup } from "node:dns/promises";

/** The addresses of a host name, as the system resolves it (hosts file, then DNS); `family` 0 is both. @throws Error where none is known */
export type Lookup = (name: string, family: 0 | 4 | 6) => Promise<readonly string[]>;

export const lookupHost: Lookup = async (name, family) => {
  const found = await systemLookup(name, { all: true, family });
  return [...new Set(found.map(({ address }) => address))];
};
