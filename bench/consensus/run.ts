/**
 * `node bench/consensus/run.ts [commits] [etcd] [kills] [--seconds S] [--kills N] [--profile FOLDER]`: commits a second of three members on
 * loopback, beside etcd and beside the bare disk. Each section alone by its name.
 */
import { parseArgs } from "node:util";
import { table } from "../report.ts";
import { CONSENSUS_COLUMNS, consensusRows } from "./section.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "5" },
    kills: { type: "string" },
    callers: { type: "string" },
    profile: { type: "string" },
  },
});
const rows = await consensusRows({
  measuredMs: Number(values.seconds) * 1_000,
  ...(positionals.length === 0 ? {} : { sections: positionals }),
  ...(values.kills === undefined ? {} : { kills: Number(values.kills) }),
  ...(values.callers === undefined ? {} : { callers: values.callers.split(",").map(Number) }),
  ...(values.profile === undefined ? {} : { profile: values.profile }),
});
process.stdout.write(`${table(rows, CONSENSUS_COLUMNS)}\n`);
