import type { Command } from "../metadata/commands.ts";

/** Commands that `apply` takes without a session: to apply one twice does no harm. */
export function isSessionless(type: Command["type"]): boolean {
  return type === "cluster.init" || type === "session.open" || type === "clock.tick";
}
