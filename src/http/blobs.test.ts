import { expect, test } from "vitest";
import { OciError } from "../core/errors.ts";
import { seededRandom } from "../core/random.ts";
import { appDouble } from "./app-double.ts";

const BYTES = seededRandom(7).bytes(200_000);

function withBlob(bytes: Uint8Array = BYTES) {
  const app = appDouble();
  const digest = app.registry.addBlob("team/app", bytes);
  return { app, digest, target: `/v2/team/app/blobs/${digest}` };
}

test("http-rule 19: a whole blob is 200 with its bytes, Accept-Ranges, digest, and no Content-Encoding", async () => {
  for (const size of [0, 1, 10_240, 65_536, 65_537, 200_000]) {
    const { app, digest, target } = withBlob(BYTES.subarray(0, size));
    const answer = await app.ask("GET", target);
    expect(answer.status).toBe(200);
    expect(answer.body.equals(BYTES.subarray(0, size))).toBe(true);
    expect(answer.headers.get("content-length")).toBe(String(size));
    expect(answer.headers.get("accept-ranges")).toBe("bytes");
    expect(answer.headers.get("docker-content-digest")).toBe(digest);
    expect(answer.headers.has("content-encoding")).toBe(false);
  }
});

test.each([
  ["bytes=0-0", 0, 1],
  ["bytes=500-1499", 500, 1500],
  ["bytes=100000-", 100_000, 200_000],
  ["bytes=-500", 199_500, 200_000],
  ["bytes=-300000", 0, 200_000],
  ["bytes=199999-999999", 199_999, 200_000],
  ["bytes=1000-180000", 1_000, 180_001],
])("http-rule 19: %s is 206 with an exact Content-Range", async (range, start, end) => {
  const { app, target } = withBlob();
  const answer = await app.ask("GET", target, { headers: { range } });
  expect(answer.status).toBe(206);
  expect(answer.headers.get("content-range")).toBe(`bytes ${start}-${end - 1}/200000`);
  expect(answer.headers.get("content-length")).toBe(String(end - start));
  expect(answer.body.equals(BYTES.subarray(start, end))).toBe(true);
});

test.each(["bytes=200000-", "bytes=200000-200001", "bytes=99999999999999999999-", "bytes=-0", "bytes=500-0"])(
  "http-rule 19: %s is 416 with the size",
  async (range) => {
    const { app, target } = withBlob();
    const answer = await app.ask("GET", target, { headers: { range } });
    expect([answer.status, answer.code]).toEqual([416, "RANGE_INVALID"]);
    expect(answer.headers.get("content-range")).toBe("bytes */200000");
  },
);

test.each(["bytes=0-1,5-6", "chunks=0-1", "bytes=a-b", "bytes=-", "0-1"])(
  "http-rule 19: %s, which is not one byte range, is passed over",
  async (range) => {
    const { app, target } = withBlob();
    const answer = await app.ask("GET", target, { headers: { range } });
    expect([answer.status, answer.body.byteLength]).toEqual([200, 200_000]);
  },
);

test("http-rule 19: a range of an empty blob is 416", async () => {
  const { app, target } = withBlob(new Uint8Array(0));
  expect((await app.ask("GET", target, { headers: { range: "bytes=0-" } })).status).toBe(416);
});

test("RFC 9110 section 13.1.5: If-Range of another version passes the range over", async () => {
  const { app, digest, target } = withBlob();
  const ask = (tag: string) => app.ask("GET", target, { headers: { range: "bytes=0-9", "if-range": tag } });
  expect((await ask(`"${digest}"`)).status).toBe(206);
  expect((await ask('"other"')).status).toBe(200);
});

test("http-rule 11: HEAD of a blob has length, type and digest of the GET; a Range changes nothing", async () => {
  const { app, target } = withBlob();
  const get = await app.ask("GET", target);
  const head = await app.ask("HEAD", target, { headers: { range: "bytes=0-9" } });
  expect(head.status).toBe(200);
  const names = ["content-length", "content-type", "docker-content-digest", "etag", "accept-ranges"];
  for (const name of names) expect(head.headers.get(name), name).toBe(get.headers.get(name));
});

test("a blob that the client has is 304", async () => {
  const { app, digest, target } = withBlob();
  for (const method of ["GET", "HEAD"]) {
    expect((await app.ask(method, target, { headers: { "if-none-match": `"${digest}"` } })).status).toBe(304);
  }
});

test("http-rule 17: DELETE of a blob is 202, of one that a manifest names 405, of none 404", async () => {
  const { app, target } = withBlob();
  app.registry.failure = new OciError("REFERENCED", "a manifest names it");
  expect((await app.ask("DELETE", target)).status).toBe(405);
  expect((await app.ask("DELETE", target)).status).toBe(202);
  const gone = await app.ask("DELETE", target);
  expect([gone.status, gone.code]).toEqual([404, "BLOB_UNKNOWN"]);
});

test("G6: a blob that no peer can give is a 503, and not a 200 that breaks off", async () => {
  const { app, target } = withBlob();
  const { blob } = app.registry;
  app.registry.blob = async (...asked) => {
    const read = await blob(...asked);
    return {
      ...read,
      value: {
        ...read.value,
        // biome-ignore lint/correctness/useYield: it fails before its first chunk
        async *open() {
          throw new OciError("UNAVAILABLE", "no peer that has it answers");
        },
      },
    };
  };
  const answer = await app.ask("GET", target);
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
});

test("G6: a small blob that gives fewer bytes than its size is a 500, never a short 200", async () => {
  const { app, target } = withBlob(BYTES.subarray(0, 100));
  const { blob } = app.registry;
  app.registry.blob = async (...asked) => {
    const read = await blob(...asked);
    return { ...read, value: { ...read.value, sizeBytes: 101 } };
  };
  expect((await app.ask("GET", target)).status).toBe(500);
});
