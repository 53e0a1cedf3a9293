import type { Operation } from "./model.ts";
import type { RegisterInput, RegisterOutput, StoreInput } from "./specifications.ts";

const JEPSEN_LINE =
  /^INFO\s+jepsen\.util - (?<process>\d+)\s+:(?<type>invoke|ok|fail|info)\s+:(?<what>read|write|cas)\s+(?<value>nil|\d+|\[\d+ \d+\]|:timed-out)$/;
const STORE_LINE =
  /^\{:process (?<process>\d+), :type :(?<type>invoke|ok), :f :(?<what>get|put|append), :key "(?<key>[^"]*)", :value (?:nil|"(?<value>[^"]*)")\}$/;

type Fields = Readonly<Record<string, string | undefined>>;

/** What one line tells of its process: a call, or how it ended. `output` is undefined where nobody knows the answer. */
type Event<Input, Output> = { readonly call: Input } | { readonly output: Output | undefined };

/** Jepsen's log of one etcd register. A line's place is its time. */
export function parseJepsenLog(text: string): Operation<RegisterInput, RegisterOutput>[] {
  return parseEvents<RegisterInput, RegisterOutput>(text, JEPSEN_LINE, ({ type, what, value = "" }) => {
    const numbers = [...value.matchAll(/\d+/g)].map(([digits]) => Number(digits));
    if (type === "invoke") return { call: registerInput(what, numbers) };
    if (type === "info" || value === ":timed-out") return { output: undefined };
    if (type === "ok") return { output: what === "read" ? (numbers[0] ?? null) : true };
    // A compare-and-set that fails has read another value, which is an answer. The logs have no other failure.
    return what === "cas" ? { output: false } : undefined;
  });
}

/** Porcupine's log of a key-value store, in the notation of EDN. A line's place is its time. */
export function parseStoreLog(text: string): Operation<StoreInput, string>[] {
  return parseEvents<StoreInput, string>(text, STORE_LINE, ({ type, what, key = "", value = "" }) => {
    if (type === "ok") return { output: what === "get" ? value : "" };
    return { call: what === "get" ? { type: "get", key } : { type: what === "put" ? "put" : "append", key, value } };
  });
}

function registerInput(what: string | undefined, [first = 0, second = 0]: readonly number[]): RegisterInput {
  if (what === "read") return { type: "read" };
  return what === "write" ? { type: "write", value: first } : { type: "cas", from: first, to: second };
}

function parseEvents<Input, Output>(
  text: string,
  pattern: RegExp,
  eventOf: (fields: Fields) => Event<Input, Output> | undefined,
): Operation<Input, Output>[] {
  const operations: Operation<Input, Output>[] = [];
  const running = new Map<string, number>();
  for (const [at, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const fields = pattern.exec(line)?.groups ?? {};
    const { process: client } = fields;
    const event = client === undefined ? undefined : eventOf(fields);
    if (client === undefined || event === undefined) throw notUnderstood(at, line);
    if ("call" in event) {
      running.set(client, operations.push({ client, input: event.call, calledAt: at }) - 1);
      continue;
    }
    const index = running.get(client);
    const called = index === undefined ? undefined : operations[index];
    if (index === undefined || called === undefined) throw notUnderstood(at, line);
    running.delete(client);
    if (event.output !== undefined) operations[index] = { ...called, returned: { at, output: event.output } };
  }
  return operations;
}

function notUnderstood(at: number, line: string): Error {
  return new Error(`line ${at + 1} is no event of a history, or ends what was not begun: ${line}`);
}
