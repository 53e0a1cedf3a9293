import { HarnessError } from "./harness-error.ts";
import type { Directive } from "./parser.ts";

interface Shape {
  /** How many words without a value there must be at least; more are ignored where the directive has no use for them. */
  readonly operands: number;
  readonly options: readonly string[];
}

/** Every directive of the interaction tests. The second word of some is data, whatever it looks like. */
export const DIRECTIVES: Readonly<Record<string, Shape & { readonly data?: true }>> = {
  _breakpoint: { operands: 0, options: [] },
  "add-nodes": {
    operands: 1,
    options: [
      "async-storage-writes",
      "checkquorum",
      "content",
      "disable-conf-change-validation",
      "disable-proposal-forwarding",
      "index",
      "inflight",
      "inflight-bytes",
      "learners",
      "max-committed-size-per-ready",
      "max-size-per-msg",
      "max-uncommitted-size",
      "prevote",
      "read-only",
      "step-down-on-removal",
      "voters",
    ],
  },
  campaign: { operands: 1, options: [] },
  compact: { operands: 2, options: [] },
  "deliver-msgs": { operands: 0, options: ["drop", "type"] },
  "forget-leader": { operands: 1, options: [] },
  "log-level": { operands: 1, options: [] },
  "process-append-thread": { operands: 1, options: [] },
  "process-apply-thread": { operands: 1, options: [] },
  "process-ready": { operands: 1, options: [] },
  propose: { operands: 2, options: [], data: true },
  "propose-conf-change": { operands: 1, options: ["transition", "v1"] },
  "raft-log": { operands: 1, options: [] },
  "raft-state": { operands: 0, options: [] },
  "read-index": { operands: 2, options: [], data: true },
  "report-snapshot": { operands: 3, options: [] },
  "report-unreachable": { operands: 2, options: [] },
  "send-snapshot": { operands: 2, options: [] },
  "set-randomized-election-timeout": { operands: 1, options: ["timeout"] },
  stabilize: { operands: 0, options: ["log-level"] },
  status: { operands: 1, options: [] },
  "tick-election": { operands: 1, options: [] },
  "tick-heartbeat": { operands: 1, options: [] },
  "transfer-leadership": { operands: 0, options: ["from", "to"] },
};

/** @throws HarnessError where the command or an option is unknown, or an operand is missing */
export function checkDirective({ command, args }: Directive): void {
  const shape = Object.hasOwn(DIRECTIVES, command) ? DIRECTIVES[command] : undefined;
  if (shape === undefined) throw new HarnessError("unknown command");
  if (shape.data === true) {
    if (args.length < shape.operands) throw new HarnessError(`${command} needs ${shape.operands} operands`);
    return;
  }
  const operands = args.filter(({ values }) => values.length === 0).length;
  if (operands < shape.operands) throw new HarnessError(`${command} needs ${shape.operands} operand${shape.operands === 1 ? "" : "s"}`);
  const unknown = args.find(({ key, values }) => values.length > 0 && !shape.options.includes(key));
  if (unknown !== undefined) throw new HarnessError(`${command} has no option ${unknown.key}`);
}
