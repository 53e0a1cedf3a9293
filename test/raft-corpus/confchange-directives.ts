import { type ChangeOutcome, enterJoint, leaveJoint, simpleChange } from "../../src/raft/membership.ts";
import { describeConfig, describeProgress } from "../../src/raft/text.ts";
import { Tracker } from "../../src/raft/tracker.ts";
import { HarnessError } from "./harness-error.ts";
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
    if (typeof outcome === "string") return outcome;
    if (outcome.refused !== undefined) return outcome.refused;
    this.#tracker.switchTo(outcome.config, outcome.progress);
    const peers = [...this.#tracker.progress].map(([id, progress]) => `${id}: ${describeProgress(progress)}\n`);
    return `${describeConfig(this.#tracker.config)}\n${peers.join("")}`;
  }

  /** @returns the text of an error where the directive itself is wrong */
  #change(directive: Directive): ChangeOutcome | string {
    const unknown = directive.args.find(({ key }) => key !== "autoleave" || directive.command !== "enter-joint");
    if (unknown !== undefined) return `unknown argument ${unknown.key}`;
    try {
      const changes = parseOperations(directive.input);
      switch (directive.command) {
        case "simple":
          return simpleChange(this.#tracker, this.#lastIndex, changes);
        case "enter-joint":
          return enterJoint(this.#tracker, this.#lastIndex, flag(directive, "autoleave"), changes);
        case "leave-joint":
          return changes.length > 0 ? "this command takes no input" : leaveJoint(this.#tracker, this.#lastIndex);
        default:
          return "unknown command";
      }
    } catch (error) {
      if (error instanceof HarnessError) return error.message;
      throw error;
    }
  }
}
