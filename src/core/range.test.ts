import { expect, test } from "vitest";
import { parseRange } from "./range.ts";

test("http-rule 19: the three forms of a single range are half-open and cut at the size", () => {
  expect(parseRange("bytes=0-0", 10)).toEqual({ start: 0, end: 1 });
  expect(parseRange("bytes=2-5", 10)).toEqual({ start: 2, end: 6 });
  expect(parseRange("bytes=2-99", 10)).toEqual({ start: 2, end: 10 });
  expect(parseRange("bytes=3-", 10)).toEqual({ start: 3, end: 10 });
  expect(parseRange("bytes=-4", 10)).toEqual({ start: 6, end: 10 });
  expect(parseRange("bytes=-40", 10)).toEqual({ start: 0, end: 10 });
  expect(parseRange("Bytes=2-5", 10)).toEqual({ start: 2, end: 6 });
});

test("http-rule 19: a range at or past the size throws, for 416", () => {
  for (const header of ["bytes=10-", "bytes=10-12", "bytes=-0"]) expect(() => parseRange(header, 10), header).toThrow(RangeError);
  expect(() => parseRange("bytes=0-", 0)).toThrow(RangeError);
});

test("what is not one byte range is ignored, as RFC 9110 14.2 asks", () => {
  for (const header of [undefined, "", "bytes=", "bytes=-", "items=0-1", "bytes=0-1,4-5", "bytes=5-2", "bytes=a-b"]) {
    expect(parseRange(header, 10), String(header)).toBeUndefined();
  }
});
