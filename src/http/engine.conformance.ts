import { afterEach, describe } from "vitest";
import { requestBodyTests, requestPaceTests, responseBodyTests, streamPaceTests, unreadBodyTests } from "./engine-bodies.conformance.ts";
import { badClientTests, closingTests, lastAnswerTests, malformedTests } from "./engine-clients.conformance.ts";
import { answerTests, connectionTests } from "./engine-connections.conformance.ts";
import type { Ground, Start } from "./engine-ground.ts";
import type { Handler, HttpListener } from "./http.ts";
import { DEFAULT_LIMITS, type HttpLimits } from "./limits.ts";
import { RawClient } from "./raw-client.ts";

export type Listen = (handler: Handler, limits: HttpLimits) => Promise<HttpListener>;

/** What any HTTP engine has to pass; `listen` starts one on a free port of 127.0.0.1. */
export function engineConformance(name: string, listen: Listen): void {
  const open: { listener: HttpListener; clients: RawClient[] }[] = [];
  afterEach(async () => {
    for (const { listener, clients } of open.splice(0)) {
      for (const client of clients) client.destroy();
      await listener.close(0);
    }
  });
  const start: Start = async (handler, limits = {}): Promise<Ground> => {
    const listener = await listen(handler, { ...DEFAULT_LIMITS, ...limits });
    const clients: RawClient[] = [];
    open.push({ listener, clients });
    return {
      port: listener.port,
      listener,
      async client() {
        const client = await RawClient.open(listener.port);
        clients.push(client);
        return client;
      },
    };
  };
  describe(name, () => {
    describe("connections", () => connectionTests(start));
    describe("answers", () => answerTests(start));
    describe("request bodies", () => requestBodyTests(start));
    describe("request bodies that nobody reads", () => unreadBodyTests(start));
    describe("the pace of request bodies", () => requestPaceTests(start));
    describe("response bodies", () => responseBodyTests(start));
    describe("the pace of response bodies", () => streamPaceTests(start));
    describe("bad clients", () => badClientTests(start));
    describe("malformed requests", () => malformedTests(start));
    describe("closing", () => closingTests(start));
    describe("last answers", () => lastAnswerTests(start));
  });
}
