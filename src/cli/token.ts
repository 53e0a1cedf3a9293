import { Command, InvalidArgumentError } from "commander";
import { callAdmin, doorOf, withDoor } from "./admin-client.ts";
import { Failure } from "./failure.ts";
import type { Terminal } from "./program.ts";
import { formatTimeLeft, renderTable } from "./table.ts";

export const TOKENS_PATH = "/_roadstead/v1/tokens";

interface JoinToken {
  readonly id: string;
  readonly token: string;
  /** Addresses at which a newcomer reaches the cluster. */
  readonly join: readonly string[];
}

export function tokenCommand(terminal: Terminal): Command {
  const create = withDoor(new Command("create").description("Make a join token and print the command that a new node is started with."))
    .option("--uses <n>", "how many nodes may join with it", readUses, 1)
    .option("--ttl <duration>", "how long it is good, such as 30m, 1h or 7d", "1h")
    .action(async (options: { uses: number; ttl: string; data?: string; server?: string; json?: boolean }) => {
      const { uses, ttl } = options;
      const answer = await createToken(doorOf(options, terminal.environment), { uses, ttl });
      terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : renderToken(answer, uses, ttl));
    });
  return new Command("token")
    .description("Join tokens: what lets a new node into the cluster.")
    .addCommand(create)
    .addCommand(listCommand(terminal))
    .addCommand(revokeCommand(terminal));
}

interface TokenStatus {
  readonly id: string;
  readonly state: string;
  readonly usesLeft: number;
  readonly msLeft: number;
}

interface DoorOptions {
  readonly data?: string;
  readonly server?: string;
  readonly json?: boolean;
}

function listCommand(terminal: Terminal): Command {
  return withDoor(new Command("list").description("Show the join tokens that are kept, good or not; never their secrets.")).action(
    async (options: DoorOptions) => {
      const { tokens } = (await callAdmin(doorOf(options, terminal.environment), "GET", TOKENS_PATH)) as { tokens: readonly TokenStatus[] };
      terminal.print(options.json === true ? `${JSON.stringify(tokens, undefined, 2)}\n` : renderTokens(tokens));
    },
  );
}

function revokeCommand(terminal: Terminal): Command {
  return withDoor(new Command("revoke").description("Make a join token good for nothing, at once and on every node."))
    .argument("<id>", "as `roadstead token list` shows it")
    .action(async (id: string, options: DoorOptions) => {
      const token = await callAdmin(doorOf(options, terminal.environment), "POST", `${TOKENS_PATH}/revoke`, { id });
      terminal.print(options.json === true ? `${JSON.stringify(token, undefined, 2)}\n` : `No node joins with the token ${id} any more.\n`);
    });
}

export function renderTokens(tokens: readonly TokenStatus[]): string {
  const rows = tokens.map(({ id, state, usesLeft, msLeft }) => [
    id,
    state,
    String(usesLeft),
    state === "good" ? formatTimeLeft(msLeft) : "-",
  ]);
  return renderTable([["ID", "STATE", "USES LEFT", "TIME LEFT"], ...rows]);
}

/** @throws Failure with what the node said */
export async function createToken(door: Parameters<typeof callAdmin>[0], wish: { uses: number; ttl: string }): Promise<JoinToken> {
  const answer = await callAdmin(door, "POST", TOKENS_PATH, wish);
  if (!isJoinToken(answer)) throw new Failure("the node answered without a token; does it run another version?");
  return answer;
}

function isJoinToken(value: unknown): value is JoinToken {
  if (typeof value !== "object" || value === null || !("id" in value) || !("token" in value) || !("join" in value)) return false;
  return (
    typeof value.id === "string" &&
    typeof value.token === "string" &&
    Array.isArray(value.join) &&
    value.join.every((address) => typeof address === "string")
  );
}

function renderToken({ id, token, join }: JoinToken, uses: number, ttl: string): string {
  const [address, ...others] = join;
  return `Start ${uses === 1 ? "the new node" : `each of up to ${uses} new nodes`} within ${ttl}, with a folder, ports and a name of its own:

  roadstead serve --data DIR --http HOST:PORT --p2p HOST:PORT --join ${address ?? "ADDRESS"} --token ${token}
${others.length === 0 ? "" : `\nThe cluster also listens for it at:\n${others.map((other) => `  ${other}\n`).join("")}`}
It is taken back with: roadstead token revoke ${id}
`;
}

function readUses(text: string): number {
  const uses = Number(text);
  if (!Number.isInteger(uses) || uses < 1 || uses > 1_000) throw new InvalidArgumentError("Expected a number from 1 to 1000.");
  return uses;
}
