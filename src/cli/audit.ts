import { Command, InvalidArgumentError } from "commander";
import { callAdmin, doorOf, withDoor } from "./admin-client.ts";
import type { Terminal } from "./program.ts";
import { renderTable } from "./table.ts";

const AUDIT_PATH = "/_roadstead/v1/audit";

interface AuditEntry {
  readonly at: string;
  readonly node: string;
  readonly action: string;
  readonly target: string;
  readonly detail: string;
}

export function auditCommand(terminal: Terminal): Command {
  return withDoor(new Command("audit").description("Show the latest of the audit trail: joins that were refused, copies that were bad."))
    .option("--last <n>", "how many records", readCount, 50)
    .action(async (options: { last: number; data?: string; server?: string; json?: boolean }) => {
      const door = doorOf(options, terminal.environment);
      const { entries } = (await callAdmin(door, "GET", `${AUDIT_PATH}?limit=${options.last}`)) as { entries: readonly AuditEntry[] };
      terminal.print(options.json === true ? `${JSON.stringify(entries, undefined, 2)}\n` : renderAudit(entries));
    });
}

/** The newest last, where a terminal ends. */
export function renderAudit(entries: readonly AuditEntry[]): string {
  if (entries.length === 0) return "Nothing is in the audit trail yet.\n";
  const rows = entries.toReversed().map(({ at, node, action, target, detail }) => [at, node, action, target, detail]);
  return renderTable([["AT", "NODE", "WHAT", "TO WHAT", "DETAIL"], ...rows]);
}

function readCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 1_000) throw new InvalidArgumentError("Expected a number from 1 to 1000.");
  return count;
}
