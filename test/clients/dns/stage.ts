import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server } from "node:net";
import { serveDns, type Zone } from "./dns-server.ts";

/** What the process in the namespace is given as its one argument, in JSON. */
export interface StagePlan {
  readonly nameServer: string;
  readonly zone: Zone;
  /** The port of the registries. */
  readonly port: number;
  /** Addresses that take connections and never say a word. */
  readonly hung: readonly string[];
  /** Addresses that answer every request with 503. */
  readonly unavailable: readonly string[];
}

async function listen(server: Server, port: number, address: string): Promise<void> {
  server.listen(port, address);
  await once(server, "listening");
}

const plan = JSON.parse(process.argv[2] ?? "") as StagePlan;
await serveDns(plan.nameServer, 53, plan.zone);
for (const address of plan.hung) await listen(createServer(), plan.port, address);
for (const address of plan.unavailable) {
  const body = JSON.stringify({ errors: [{ code: "UNAVAILABLE", message: "this one never serves" }] });
  const headers = { "content-type": "application/json", "retry-after": "1" };
  await listen(
    createHttpServer((_request, response) => response.writeHead(503, headers).end(body)),
    plan.port,
    address,
  );
}
process.once("disconnect", () => process.exit());
process.send?.("ready");
