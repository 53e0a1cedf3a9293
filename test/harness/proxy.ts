import { once } from "node:events";
import { Agent, createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";

export interface RoundRobin {
  readonly host: string;
  readonly requests: number;
  close(): Promise<void>;
}

/** A proxy that sends every request to the next of `targets` (base URLs), so that no two requests of a client meet the same node. */
export async function roundRobinProxy(targets: readonly string[]): Promise<RoundRobin> {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  let requests = 0;
  const server = createServer((incoming, outgoing) => {
    const target = new URL(targets[requests++ % targets.length]!);
    const onward = httpRequest(
      { agent, host: target.hostname, port: target.port, method: incoming.method, path: incoming.url, headers: incoming.headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        pipeline(answer, outgoing, () => {}); // a body that breaks off there breaks off here
      },
    );
    onward.on("error", () => outgoing.headersSent || outgoing.writeHead(502).end());
    pipeline(incoming, onward, () => {});
  });
  server.requestTimeout = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get requests() {
      return requests;
    },
    async close() {
      agent.destroy();
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}
