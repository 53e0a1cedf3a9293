import { parseArgs } from "node:util";
import type { Bug } from "./bug.ts";
import { REQUIRED } from "./bugs/required.ts";
import { ALL, FURTHER } from "./lists.ts";
import { simulate, type Verdict } from "./simulator.ts";
import { Workplace } from "./workplace.ts";

// Plants each bug in a copy of the tree and lets the simulator look for it: a simulator that does not find what is there proves nothing.

const HELP = `Usage: npm run test:mutants -- [--only 3,7] [--further] [--seconds 60] [--clean 30] [--jobs 1]
  --only     numbers of the bugs; each of them has to be found
  --further  the further bugs too
  --seconds  processor time for each bug
  --clean    processor time for the tree without a bug, which must show nothing
  --jobs     so many at once
`;
/** Of the required ones, where all of them are looked for. */
const FOUND_MIN = 18;

interface Choice {
  readonly bugs: readonly Bug[];
  readonly enough: (found: readonly Bug[]) => boolean;
  readonly secondsMax: number;
  readonly cleanSeconds: number;
  readonly jobs: number;
}

function choose(): Choice | undefined {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      further: { type: "boolean", default: false },
      seconds: { type: "string", default: "60" },
      clean: { type: "string", default: "30" },
      jobs: { type: "string", default: "1" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const numbers = {
    secondsMax: positive("seconds", values.seconds),
    cleanSeconds: positive("clean", values.clean),
    jobs: positive("jobs", values.jobs),
  };
  if (values.only === undefined) {
    const enough = (found: readonly Bug[]) => found.filter((bug) => REQUIRED.includes(bug)).length >= FOUND_MIN;
    return { ...numbers, bugs: values.further ? ALL : REQUIRED, enough };
  }
  const bugs = values.only.split(",").map((each) => {
    const bug = ALL.find(({ number }) => number === Number(each));
    if (bug === undefined)
      throw new Error(`there is no bug ${each}: there are 1 to 20, and ${FURTHER.map(({ number }) => number).join(", ")}`);
    return bug;
  });
  return { ...numbers, bugs, enough: (found) => found.length === bugs.length };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} takes a number above 0, not ${text}`);
  return value;
}

async function judge(workplace: Workplace, bug: Bug, secondsMax: number, signal: AbortSignal): Promise<Verdict> {
  const folder = workplace.with(bug);
  try {
    return await simulate(folder, secondsMax, signal);
  } finally {
    workplace.remove(folder);
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function printRow({ number, name, harmless }: Bug, { kind, seed, processorSeconds, line: said }: Verdict): void {
  const verdict = { found: "found", clean: harmless === undefined ? "SURVIVED" : "harmless", broken: "BROKEN" }[kind];
  const line = kind === "clean" ? (harmless ?? said) : said;
  const where = seed === undefined ? "" : String(seed);
  print(`${String(number).padStart(3)}  ${verdict.padEnd(8)}  ${where.padStart(7)}  ${processorSeconds.toFixed(1).padStart(6)}  ${name}`);
  if (line !== "") print(`${" ".repeat(30)}${line.slice(0, LINE_MAX)}`);
}

const LINE_MAX = 160;

/** @returns the exit code */
async function run({ bugs, enough, secondsMax, cleanSeconds, jobs }: Choice, workplace: Workplace, signal: AbortSignal): Promise<number> {
  const clean = await simulate(workplace.clean, cleanSeconds, signal);
  if (signal.aborted) return 1;
  if (clean.kind !== "clean") {
    const what = clean.kind === "found" ? `seed ${clean.seed} shows a violation` : "the simulator fails";
    print(`Without any bug planted ${what}: ${clean.line}`);
    print("So nothing can be said of the planted ones: mend that first.");
    return 1;
  }
  print(`no bug: clean for ${clean.processorSeconds.toFixed(1)} s of processor time`);
  print("bug  verdict      seed  cpu(s)  name");
  const verdicts = new Map<Bug, Verdict>();
  const open = [...bugs];
  const work = async (): Promise<void> => {
    for (let bug = open.shift(); bug !== undefined && !signal.aborted; bug = open.shift()) {
      const verdict = await judge(workplace, bug, secondsMax, signal);
      if (signal.aborted) return;
      verdicts.set(bug, verdict);
      printRow(bug, verdict);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  if (signal.aborted) return 1;
  const found = [...verdicts].filter(([, { kind }]) => kind === "found").map(([bug]) => bug);
  const harmless = [...verdicts].filter(([{ harmless }, { kind }]) => kind === "clean" && harmless !== undefined).length;
  print(`${found.length} found, ${verdicts.size - found.length - harmless} survived, ${harmless} harmless`);
  return enough(found) ? 0 : 1;
}

const choice = choose();
if (choice === undefined) {
  process.stdout.write(HELP);
} else {
  const workplace = new Workplace();
  const stopping = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stopping.abort());
  try {
    process.exitCode = await run(choice, workplace, stopping.signal);
  } finally {
    workplace.close();
  }
}
