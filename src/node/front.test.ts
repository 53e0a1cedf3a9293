import { expect, test } from "vitest";
import { ManualClock } from "../consensus/manual-clock.ts";
import { json } from "../http/answers.ts";
import { ask } from "../http/app-double.ts";
import { WaitingRoom } from "./front.ts";

test("a request that comes while the node starts is answered once it serves; its health is told at once", async () => {
  const room = new WaitingRoom(new ManualClock(), 10_000);
  const waiting = ask(room.handler, "GET", "/v2/");
  const health = await ask(room.handler, "GET", "/healthz");
  expect([health.status, health.json]).toEqual([200, { status: "starting" }]);
  expect((await ask(room.handler, "GET", "/readyz")).status).toBe(503);
  room.open((request) => json(200, { served: request.path }));
  expect((await waiting).json).toEqual({ served: "/v2/" });
  expect((await ask(room.handler, "GET", "/v2/_catalog")).json).toEqual({ served: "/v2/_catalog" });
});

test("a start that takes longer than a request waits is a 503 with Retry-After", async () => {
  const clock = new ManualClock();
  const room = new WaitingRoom(clock, 10_000);
  const waiting = ask(room.handler, "GET", "/v2/");
  clock.advance(10_000);
  const answer = await waiting;
  expect([answer.status, answer.code, answer.headers.get("retry-after")]).toEqual([503, "UNAVAILABLE", "1"]);
});
