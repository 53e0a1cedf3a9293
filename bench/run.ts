/**
 * `npm run bench`: roadstead beside distribution on this machine, in one run; the server on one core, the load on the other.
 * `node bench/run.ts [SECTION...] [--seconds S]`; sections: small big images memory start remote consensus.
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { bigSection } from "./big.ts";
import { CONSENSUS_COLUMNS, consensusRows } from "./consensus/section.ts";
import { memorySection } from "./memory.ts";
import { remoteSection } from "./remote.ts";
import { type Row, table } from "./report.ts";
import { type Bench, openBench } from "./setups.ts";
import { imagesSection, smallSection } from "./small.ts";
import { startSection } from "./start.ts";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { seconds: { type: "string", default: "8" } } });
const seconds = Number(values.seconds);
const wanted = (section: string): boolean => positionals.length === 0 || positionals.includes(section);

async function besidePeer(): Promise<readonly Row[]> {
  const bench: Bench = await openBench();
  try {
    const rows: Row[] = [];
    if (wanted("small")) rows.push(...(await smallSection(bench, seconds)));
    if (wanted("images")) rows.push(...(await imagesSection(bench)));
    if (wanted("big")) rows.push(...(await bigSection(bench)));
    return rows;
  } finally {
    await bench.close();
  }
}

const rows: Row[] = [];
if (wanted("small") || wanted("big") || wanted("images")) rows.push(...(await besidePeer()));
if (wanted("start")) rows.push(...(await startSection()));
if (wanted("memory")) rows.push(...(await memorySection()));
if (wanted("remote")) rows.push(...(await remoteSection()));
const consensus = wanted("consensus") ? await consensusRows({ measuredMs: seconds * 1_000 }) : [];

const machine = `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, Node ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}`;
const tables = [
  ...(rows.length === 0 ? [] : [table(rows, ["distribution", "alone", "leader of 3", "follower of 3"])]),
  ...(consensus.length === 0 ? [] : [table(consensus, CONSENSUS_COLUMNS)]),
];
process.stdout.write(`${machine}\n\n${tables.join("\n\n")}\n`);
