/**
 * `node bench/consensus/run.ts [commits] [etcd] [kills] [--seconds S] [--kills N] [--profile FOLDER]`: commits a second of three members on
 * loopback, beside etcd and beside the bare disk. Each section alone by its name.
 */
import { parseArgs } from "node:util";
import { table } from "../report.ts";
import { consensusRows } from "./section.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "5" },
    kills: { type: "string", default: "20" },
    callers: { type: "string", default: "1,64,256" },
    profile: { type: "string" },
  },
});
const rows = await consensusRows({
  sections: positionals.length === 0 ? ["disk", "commits", "etcd", "kills"] : positionals,
  measuredMs: Number(values.seconds) * 1_000,
  kills: Number(values.kills),
  callers: values.callers.split(",").map(Number),
  ...(values.profile === undefined ? {} : { profile: values.profile }),
});
process.stdout.write(`${table(rows, ["value"])}\n`);
