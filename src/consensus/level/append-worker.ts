import { writeSync } from "node:fs";
import { seededRandom } from "../../core/random.ts";
import { LogModel, SOLE_VOTER } from "../log-model.ts";
import { DurableRaftLog } from "../raft-log.ts";
import { levelStorage } from "./level-storage.ts";

// For kill.test.ts, as a process of its own: `node append-worker.ts FOLDER SEED` opens the log in FOLDER and appends what SEED says, for ever. Each line of
// its output is how many works were acknowledged.
const [folder = "", seed = ""] = process.argv.slice(2);
const IN_FLIGHT_MAX = 8;

const fatal = (error: Error): void => {
  throw error;
};
const log = await DurableRaftLog.open({ storage: levelStorage(folder), fatal, bootstrap: SOLE_VOTER });
const random = seededRandom(Number(seed));
const model = LogModel.of(log);
const waiting: Promise<void>[] = [];
for (let made = 1; ; made += 1) {
  const work = model.randomWork(random);
  model.apply(work);
  const count = made;
  waiting.push(log.append(work).then(() => void writeSync(1, `${count}\n`)));
  if (waiting.length >= IN_FLIGHT_MAX) await waiting.shift();
}
