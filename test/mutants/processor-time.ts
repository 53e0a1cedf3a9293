import { readdirSync, readFileSync } from "node:fs";

/** What the kernel counts in: 100 a second on Linux, x64 and arm64. */
const TICKS_PER_SECOND = 100;
/** utime, stime, cutime and cstime of proc(5), counted from the state, which follows the name in brackets. */
const FIRST_TIME = 11;
const TIMES = 4;

/** Processor time that a process and all below it have used so far, in seconds, those included that have ended and were waited for. */
export function processorSeconds(pid: number): number {
  let ticks = 0;
  const open = [pid];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    try {
      const stat = readFileSync(`/proc/${next}/stat`, "latin1");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      for (const field of fields.slice(FIRST_TIME, FIRST_TIME + TIMES)) ticks += Number(field);
      for (const thread of readdirSync(`/proc/${next}/task`)) {
        const children = readFileSync(`/proc/${next}/task/${thread}/children`, "latin1");
        for (const child of children.split(" ")) if (child !== "") open.push(Number(child));
      }
    } catch {
      // It has ended since it was listed: its time is its parent's from now on.
    }
  }
  return ticks / TICKS_PER_SECOND;
}
