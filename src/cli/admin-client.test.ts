import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ADMIN_SOCKET_POINTER } from "../config/data-folder.ts";
import { callAdmin, doorOf } from "./admin-client.ts";

const folder = mkdtempSync(join(tmpdir(), "roadstead-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a flag goes before the environment, and --data before ROADSTEAD_SERVER only where it is given", () => {
  expect(doorOf({ data: folder }, { ROADSTEAD_SERVER: "http://h:1" })).toEqual({ socket: join(folder, "admin.sock") });
  expect(doorOf({ server: "https://h:2" }, { ROADSTEAD_DATA: folder }).server?.href).toBe("https://h:2/");
  expect(doorOf({}, { ROADSTEAD_SERVER: "h:3" }).server?.href).toBe("http://h:3/");
  expect(doorOf({}, { ROADSTEAD_DATA: folder })).toEqual({ socket: join(folder, "admin.sock") });
});

test("neither, both, and what is no URL are refused with what to give", () => {
  expect(() => doorOf({}, {})).toThrow("Give --data DIR");
  expect(() => doorOf({ server: "h:1", data: folder }, {})).toThrow("not both");
  expect(() => doorOf({ server: "ftp://h" }, {})).toThrow("is no server");
});

test("the socket of a data folder with a long path is where the pointer says", () => {
  writeFileSync(join(folder, ADMIN_SOCKET_POINTER), "/run/short/admin.sock\n");
  expect(doorOf({ data: folder }, {})).toEqual({ socket: "/run/short/admin.sock" });
  rmSync(join(folder, ADMIN_SOCKET_POINTER));
});

test("no node, a refusal of the node and an answer that is no JSON are each one line", async () => {
  await expect(callAdmin({ socket: join(folder, "admin.sock") }, "GET", "/")).rejects.toThrow("no node runs on this data folder");
  let answer: [status: number, body: string] = [400, JSON.stringify({ errors: [{ code: "REQUEST_INVALID", message: "uses is wrong" }] })];
  const server = createServer((_request, response) => response.writeHead(answer[0]).end(answer[1]));
  const socket = join(folder, "admin.sock");
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  await expect(callAdmin({ socket }, "POST", "/", {})).rejects.toThrow("the node answered 400: uses is wrong");
  answer = [200, "<html>"];
  await expect(callAdmin({ socket }, "GET", "/")).rejects.toThrow("the node answered 200: <html>");
  answer = [200, '{"a":1}'];
  expect(await callAdmin({ socket }, "GET", "/")).toEqual({ a: 1 });
  await new Promise((resolve) => server.close(resolve));
});
