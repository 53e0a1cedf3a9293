import { type ChangeOutcome, enterJoint, leaveJoint, simpleChange } from "../../src/raft/membership.ts";
import { describeConfig, describeProgress } from "../../src/raft/text.ts";
import { Tracker } from "../../src/raft/tracker.ts";
import { parseOperations } from "./operations.ts";
import { type Directive, flag } from "./parser.ts";

const WINDOW = 10;

/** One configuration that a file's directives change in turn. */
export class ConfChanges {
  readonly #tracker = new Tracker(WINDOW, Number.POSITIVE_INFINITY);
  #lastIndex = 0;

  run(directive: Directive): string {
    const outcome = this.#change(directive);
    this.#lastIndex += 1;
    if (outcome.refused !== undefined) return outcome.refused;
    this.#tracker.switchTo(outcome.config, outcome.progress);
    const peers = [...this.#tracker.progress].map(([id, progress]) => `${id}: ${describeProgress(progress)}\n`);
    return `${describeConfig(this.#tracker.config)}\n${peers.join("")}`;
  }

  #change(directive: Directive): ChangeOutcome {
    const changes = parseOperations(directive.input);
    if (directive.command === "simple") return simpleChange(this.#tracker, this.#lastIndex, changes);
    if (directive.command === "leave-joint") return leaveJoint(this.#tracker, this.#lastIndex);
    return enterJoint(this.#tracker, this.#lastIndex, flag(directive, "autoleave") ?? false, changes);
  }
}
