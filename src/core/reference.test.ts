import { expect, test } from "vitest";
import { parseReference, parseRepositoryName, parseTag, projectOf } from "./reference.ts";

test("repository names follow the grammar of the distribution-spec", () => {
  for (const good of ["hello", "library/hello-world", "a/b/c", "a.b_c__d---e/f0", "0"]) expect(parseRepositoryName(good), good).toBe(good);
  for (const bad of [
    "",
    "/",
    "a/",
    "/a",
    "a//b",
    "A",
    "a/B",
    "a..b",
    "a.-b",
    "a___b",
    "-a",
    "a-",
    "a b",
    "../etc",
    "a/../b",
    "ä",
    "a\n",
    "x".repeat(256),
  ]) {
    expect(parseRepositoryName(bad), JSON.stringify(bad)).toBeUndefined();
  }
  expect(parseRepositoryName("x".repeat(255))).toHaveLength(255);
});

test("tags follow the grammar of the distribution-spec", () => {
  for (const good of ["latest", "_x", "V1.2-3", "a".repeat(128)]) expect(parseTag(good), good).toBe(good);
  for (const bad of ["", ".a", "-a", "a".repeat(129), "a:b", "a b", "a\n"]) expect(parseTag(bad), JSON.stringify(bad)).toBeUndefined();
});

test("a reference with a colon is a digest or nothing", () => {
  const digest = `sha256:${"ab".repeat(32)}`;
  expect(parseReference(digest)).toEqual({ digest });
  expect(parseReference("v1")).toEqual({ tag: "v1" });
  expect(parseReference("sha256:baddigest")).toBeUndefined();
});

test("the project is the first segment of the name", () => {
  expect(projectOf(parseRepositoryName("team/app/web")!)).toBe("team");
  expect(projectOf(parseRepositoryName("hello")!)).toBe("hello");
});
