import type { PeerMessage } from "../../src/consensus/transport.ts";

/** A message in a trace. */
export function describe(message: PeerMessage): string {
  if (message.kind !== "raft") return message.kind === "proposal" ? `proposal of ${message.envelope.byteLength} bytes` : message.kind;
  const { from: _from, to: _to, type, ...fields } = message.message;
  const text = Object.entries(fields).map(([name, value]) => {
    if (name === "entries" && Array.isArray(value)) return `entries=${value.map((entry) => `${entry.index}/${entry.term}`).join(",")}`;
    if (value instanceof Uint8Array) return `${name}=${Buffer.from(value).toString("hex").slice(-8)}`;
    return `${name}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`;
  });
  return `${type} ${text.join(" ")}`;
}
