import { Resolver } from "node:dns/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type DnsServer, serveDns, type Zone } from "./dns-server.ts";

const many = Array.from({ length: 40 }, (_, at) => `10.0.0.${at + 1}`);
const ZONE: Zone = {
  "turning.test": { addresses: ["10.1.2.3", "fd00:77::3", "10.1.2.4"], rotates: true },
  "fixed.test": { addresses: ["10.1.2.3", "fd00:77::3", "::1", "10.1.2.4"], rotates: false },
  "many.test": { addresses: many, rotates: false },
};

let server: DnsServer;
const resolver = new Resolver();
beforeAll(async () => {
  server = await serveDns("127.0.0.1", 0, ZONE);
  resolver.setServers([`127.0.0.1:${server.port}`]);
});
afterAll(() => server.close());

test("a name has its A and AAAA records, in turn or as they stand; a name that is not there has none", async () => {
  expect(await resolver.resolve4("turning.test")).toEqual(["10.1.2.3", "10.1.2.4"]);
  expect(await resolver.resolve4("Turning.Test")).toEqual(["10.1.2.4", "10.1.2.3"]);
  expect(await resolver.resolve4("turning.test")).toEqual(["10.1.2.3", "10.1.2.4"]);
  for (let times = 0; times < 2; times += 1) expect(await resolver.resolve6("fixed.test")).toEqual(["fd00:77::3", "::1"]);
  await expect(resolver.resolve6("many.test")).rejects.toMatchObject({ code: "ENODATA" });
  await expect(resolver.resolve4("none.test")).rejects.toMatchObject({ code: "ENOTFOUND" });
});

test("an answer that is too long for UDP is had over TCP", async () => {
  expect(await resolver.resolve4("many.test")).toEqual(many);
});
